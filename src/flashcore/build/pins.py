"""Resolved requirements: which version of which package, with its hashes and by whom it is needed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from flashcore.build.options import PLATFORMS, Target
from flashcore.build.uv import run_uv

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;\\]+)")
_HASH = re.compile(r"--hash=(\S+)")
_VIA = re.compile(r"#\s+(?:via\s*)?(.*)")
_ASKED = "-r"
"""How uv's remarks begin where a requirement itself asks for a package."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a resolution."""

    name: str
    version: str
    hashes: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    """Names of the packages that need it; empty for one that was asked for."""

    @property
    def line(self) -> str:
        """As a requirements file has it."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash={one}" for one in self.hashes)])


def resolve(requirements: Iterable[str], target: Target) -> tuple[Pin, ...]:
    """The packages that meet the requirements there, by name; only wheels count. Raises BuildError."""
    wanted = sorted(requirements)
    with tempfile.TemporaryDirectory(prefix="flashcore-resolve-") as folder:
        asked = Path(folder, "requirements.in")
        asked.write_text("\n".join(wanted) + "\n", encoding="utf-8")
        said = run_uv(
            [
                *("pip", "compile", str(asked), "--quiet", "--no-header", "--generate-hashes"),
                *("--only-binary", ":all:"),
                *("--python-platform", PLATFORMS[target.platform], "--python-version", target.python),
            ],
            f"the dependencies {', '.join(wanted)} cannot be resolved for {target}",
        )
    return tuple(sorted(_parsed(said), key=lambda pin: pin.name))


def without(pins: Iterable[Pin], requirements: Iterable[str], excluded: Iterable[str]) -> tuple[Pin, ...]:
    """The pins but for the excluded packages, and for what only those need."""
    known = {pin.name: pin for pin in pins}
    left_out = frozenset(excluded)
    needed_by: dict[str, list[str]] = {}
    for pin in known.values():
        for needing in pin.via:
            needed_by.setdefault(needing, []).append(pin.name)
    reached: set[str] = set()
    pending: list[str] = [canonicalize_name(Requirement(one).name) for one in requirements]
    while pending:
        name = pending.pop()
        if name in reached or name in left_out or name not in known:
            continue
        reached.add(name)
        pending.extend(needed_by.get(name, ()))
    return tuple(pin for name, pin in known.items() if name in reached)


def _parsed(said: str) -> Iterator[Pin]:
    """Pins from what `uv pip compile` prints: a line for each, its hashes, and remarks on who needs it."""
    entries: list[list[str]] = []
    for line in said.splitlines():
        if _PIN.match(line):
            entries.append([line])
        elif entries:
            entries[-1].append(line)
    for entry in entries:
        found = _PIN.match(entry[0])
        if found is not None:
            remarks = [remark for line in entry[1:] for remark in _VIA.findall(line.strip()) if remark]
            names = (canonicalize_name(one) for one in remarks if not one.startswith(_ASKED))
            hashes = _HASH.findall("\n".join(entry))
            yield Pin(canonicalize_name(found[1]), found[2], tuple(sorted(hashes)), tuple(sorted(names)))
