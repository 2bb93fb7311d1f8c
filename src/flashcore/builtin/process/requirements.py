"""Whether this interpreter has what a template declares; environments of an endpoint's own come later."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def unmet(requirements: Sequence[str], code: Path) -> tuple[str, ...]:
    """Those that neither the code's own folder nor this interpreter can meet, each with what is there instead.

    Blocks for milliseconds.
    """
    path = [str(code), *sys.path]
    return tuple(problem for text in requirements for problem in _problems(text, path, extras=frozenset()))


def install_command(requirements: Sequence[str]) -> str:
    """What to type so that they are there."""
    quoted = " ".join(f"'{requirement}'" for requirement in requirements)
    return f"{sys.executable} -m pip install {quoted}"


def _problems(text: str, path: list[str], extras: frozenset[str]) -> Iterator[str]:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        yield f"{text} (it cannot be read: {error})"
        return
    if requirement.marker is not None and not _applies(requirement, extras):
        return
    found = next(iter(Distribution.discover(name=requirement.name, path=path)), None)
    if found is None:
        yield f"{text} (not installed)"
    elif requirement.specifier and not requirement.specifier.contains(found.version, prereleases=True):
        yield f"{text} (version {found.version} is installed)"
    elif requirement.extras:
        wanted = frozenset(canonicalize_name(extra) for extra in requirement.extras)
        for inner in found.requires or ():
            if "extra" in inner:
                yield from _problems(inner, path, wanted)


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""}))
