"""What is asked of a build beside the project itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from flashcore.model.errors import UsageError

PLATFORMS: Mapping[str, str] = {
    "linux-amd64": "x86_64-manylinux_2_28",
    "linux-arm64": "aarch64-manylinux_2_28",
}
"""Platforms that dependencies are bundled for, with uv's name of the wheels that run there."""

OLDEST_PYTHON, NEWEST_PYTHON = 11, 14

LARGEST_ARTIFACT = 1_500_000_000
"""Bytes of one artifact; what is larger is refused by the clouds that would run it."""

_VERSION = re.compile(r"3\.(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """Where replicas run for which dependencies are bundled."""

    platform: str
    """One of PLATFORMS."""
    python: str
    """A minor version, as in "3.12"."""

    def __str__(self) -> str:
        """As messages name it."""
        return f"{self.platform}, Python {self.python}"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build. Without `bundle_for`, whoever runs the artifact installs its dependencies."""

    bundle_for: Target | None = None
    exclude: tuple[str, ...] = ()
    """Packages that the image has: they are not bundled, nor what only they need."""
    largest: int = LARGEST_ARTIFACT
    run_imports: bool = False
    """Whether files may be imported whose declarations cannot be read, in processes of their own."""


def target(platform: str | None, python: str | None, *, here: str) -> Target:
    """The target that is meant; `here` is the Python that runs the build. Raises UsageError for one that is unknown."""
    version = _VERSION.fullmatch(python or here)
    if version is None or not OLDEST_PYTHON <= int(version[1]) <= NEWEST_PYTHON:
        raise UsageError(
            f"there is no build for Python {python or here!r}",
            next_step=f"use one of 3.{OLDEST_PYTHON} to 3.{NEWEST_PYTHON}, as in --python-version 3.12",
        )
    name = (platform or "linux-amd64").replace("/", "-").replace("x86_64", "amd64").replace("aarch64", "arm64")
    if name not in PLATFORMS:
        known = ", ".join(PLATFORMS)
        raise UsageError(f"there is no build for the platform {platform!r}", next_step=f"use one of {known}")
    return Target(name, version[0])


def names_of(listed: str) -> tuple[str, ...]:
    """Package names from a list with commas, as packages are compared."""
    return tuple(sorted({canonicalize_name(name.strip()) for name in listed.split(",") if name.strip()}))
