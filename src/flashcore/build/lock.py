"""flashcore.lock: the packages that endpoints' dependencies stand for, for each platform and Python version.

    version = 1
    [[set]]
    requirements = ["numpy>=2"]
    platform = "linux-amd64"
    python = "3.12"
    [[set.package]]
    name = "numpy"
    version = "2.3.5"
    hashes = ["sha256:..."]
    via = []

It is part of the project, and read again by each build that bundles: the same tree gives the same archives.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flashcore.build.options import Target
from flashcore.build.pins import Pin
from flashcore.model.codec import CodecError, from_json
from flashcore.model.errors import BuildError

LOCK_FILE = "flashcore.lock"
_VERSION = 1
_LINE = re.compile(r"at line (\d+)")
_HEAD = "# Written by `flashcore lock`; it belongs to the project's sources.\n"


@dataclass(frozen=True, slots=True, order=True)
class Locked:
    """What one set of requirements was resolved to."""

    requirements: tuple[str, ...]
    """Sorted."""
    platform: str
    python: str
    package: tuple[Pin, ...] = field(default=(), compare=False)

    @property
    def target(self) -> Target:
        """Where it is for."""
        return Target(self.platform, self.python)


@dataclass(frozen=True, slots=True)
class Lock:
    """All sets of a lock file."""

    sets: tuple[Locked, ...]

    def pins(self, requirements: Iterable[str], target: Target) -> tuple[Pin, ...]:
        """What these requirements are locked to. Raises BuildError where the lock does not know them."""
        wanted = tuple(sorted(requirements))
        for one in self.sets:
            if one.requirements == wanted and one.target == target:
                return one.package
        raise BuildError(
            f"{LOCK_FILE} has no packages for {', '.join(wanted)} on {target}",
            next_step=f"lock them: flashcore lock --platform {target.platform} --python-version {target.python}",
        )


def read_lock(root: Path) -> Lock | None:
    """The project's lock, None where it has none. Raises BuildError for one that cannot be read."""
    path = root / LOCK_FILE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return Lock(tuple(_locked(one) for one in _sets(content)))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, CodecError) as error:
        raise BuildError(
            f"{path} cannot be read: {error}", next_step="write it again: flashcore lock", line=_line_of(error)
        ) from error


def write_lock(root: Path, lock: Lock) -> None:
    """Replace the project's lock in one step. Raises BuildError."""
    path = root / LOCK_FILE
    draft = path.with_name(f".{LOCK_FILE}.{os.getpid()}")
    try:
        draft.write_text(shown(lock), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise BuildError(f"{path} cannot be written: {error}", next_step="check the folder's rights") from error
    finally:
        draft.unlink(missing_ok=True)


def shown(lock: Lock) -> str:
    """The lock as it is written: the same lock gives the same text, and one package more one paragraph more."""
    return _HEAD + f"version = {_VERSION}\n" + "".join(_set_text(one) for one in sorted(lock.sets))


def _set_text(locked: Locked) -> str:
    head = {"requirements": locked.requirements, "platform": locked.platform, "python": locked.python}
    packages = (
        "\n[[set.package]]\n" + _table(_fields(pin)) for pin in sorted(locked.package, key=lambda pin: pin.name)
    )
    return "\n[[set]]\n" + _table(head) + "".join(packages)


def _fields(pin: Pin) -> Mapping[str, Any]:
    return {"name": pin.name, "version": pin.version, "hashes": pin.hashes, "via": pin.via}


def _table(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in values.items())


def _value(value: Any) -> str:
    # A string of JSON is one of TOML, but for a character that no name of a package has.
    if isinstance(value, str):
        return json.dumps(value)
    lines = "".join(f"    {json.dumps(item)},\n" for item in value)
    return f"[\n{lines}]" if lines else "[]"


def _line_of(error: Exception) -> int:
    """The line of which an error in TOML speaks, 0 for none: before Python 3.14 it is in the text alone."""
    found = _LINE.search(str(error))
    return int(found[1]) if found is not None else 0


def _sets(content: Mapping[str, Any]) -> list[Any]:
    if content.get("version") != _VERSION:
        raise CodecError("version", f"{content.get('version')!r} is not {_VERSION}: another flashcore wrote it")
    found = content.get("set", [])
    return found if isinstance(found, list) else [found]


def _locked(value: Any) -> Locked:
    return from_json(Locked, value)
