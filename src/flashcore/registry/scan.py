"""Entry points of the group `flashcore` on a search path. Nothing of a plugin is imported.

Directories are read as they are: asking importlib_metadata for the entry points of 150 distributions takes fifty times
as long as looking for the few that have any of ours. Zip files, eggs and finders of other kinds are left to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flashcore import __version__
from flashcore.registry.reports import FRAMEWORK, Origin, normal

GROUP = "flashcore"
_BUILT_IN = ("builtin", "flashcore.builtin.hooks")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that was found and not yet looked at."""

    origin: Origin
    module: str
    """What its entry point names: a module, if its author did it right."""
    source: str
    """Path of the metadata, or of a project's own file."""
    requires: tuple[str, ...] = ()
    """Requirements of its distribution, as its metadata has them."""
    file: str | None = None
    """The one file that it consists of, when it is no installed module."""


def scan(path: Sequence[str], finders: Sequence[object] = ()) -> tuple[Candidate, ...]:
    """All plugins on the search path `path` and behind the import finders `finders`: built in first, then by name.

    Of two distributions with one name the first on the path counts, as it does for imports.
    """
    found = _by_metadata(path) if needs_metadata(path, finders) else _by_directory(path)
    ordered = sorted(found, key=lambda one: (not one.origin.built_in, one.origin.name, one.origin.key))
    return tuple(ordered if any(one.origin.built_in for one in ordered) else [_built_in(), *ordered])


def needs_metadata(path: Sequence[str], finders: Sequence[object]) -> bool:
    """Whether there may be distributions that looking into directories does not find."""
    return any(foreign_finders(finders)) or any(
        entry.endswith(".egg") or (entry and Path(entry).is_file()) for entry in path
    )


def foreign_finders(finders: Sequence[object]) -> Iterator[str]:
    """Names of the finders that may know of distributions and are not the interpreter's own."""
    for finder in finders:
        kind = finder if isinstance(finder, type) else type(finder)
        own = kind.__module__.split(".")[0] in {"_frozen_importlib_external", "importlib_metadata", "importlib"}
        if hasattr(finder, "find_distributions") and not own:
            yield f"{kind.__module__}.{kind.__qualname__}"


def metadata_directories(folder: Path) -> list[str]:
    """Names of the metadata directories in `folder`, sorted; none if it cannot be read."""
    try:
        names = [entry.name for entry in folder.iterdir() if entry.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return []
    # pip leaves `~name` behind when it could not remove a distribution.
    return sorted((name for name in names if not name.startswith("~")), reverse=True)


def _built_in() -> Candidate:
    # Without our own metadata, as in an archive of modules, the built-in parts are there all the same.
    name, module = _BUILT_IN
    return Candidate(Origin(name, FRAMEWORK, __version__), module, source="")


def _by_directory(path: Iterable[str]) -> Iterator[Candidate]:
    seen: set[str] = set()
    for folder in dict.fromkeys(Path(entry) for entry in path):
        for directory in metadata_directories(folder):
            name = normal(directory.rpartition(".")[0].split("-")[0])
            if name not in seen:
                seen.add(name)
                yield from _from_directory(folder / directory)


def _from_directory(directory: Path) -> Iterator[Candidate]:
    entries = list(_entries(_read(directory / "entry_points.txt")))
    if not entries:
        return
    headers = list(_headers(_read(directory / "METADATA") or _read(directory / "PKG-INFO")))
    first = dict(reversed(headers))
    fallback = directory.name.rpartition(".")[0].split("-")
    distribution = first.get("name") or fallback[0]
    version = first.get("version") or (fallback[1] if len(fallback) > 1 else None)
    requires = [value for name, value in headers if name == "requires-dist"] + _legacy_requires(directory)
    for name, module in entries:
        yield Candidate(Origin(name, distribution, version), module, str(directory), tuple(requires))


def _by_metadata(path: Sequence[str]) -> Iterator[Candidate]:
    from importlib_metadata import distributions

    seen: set[str] = set()
    for distribution in distributions(path=list(path)):
        name = distribution.metadata["Name"]
        if not name or normal(name) in seen:
            continue
        seen.add(normal(name))
        for entry in distribution.entry_points.select(group=GROUP):
            origin = Origin(entry.name, name, distribution.version)
            source = str(distribution.locate_file(""))
            yield Candidate(origin, entry.value, source, tuple(distribution.requires or ()))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _entries(text: str) -> Iterator[tuple[str, str]]:
    if f"[{GROUP}]" not in text:
        return
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == GROUP and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.partition("[")[0].strip()


def _headers(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if not line:
            return
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            yield name.lower(), value.strip()


def _legacy_requires(directory: Path) -> list[str]:
    if directory.name.endswith(".dist-info"):
        return []
    unconditional = _read(directory / "requires.txt").partition("[")[0]
    return [line.strip() for line in unconditional.splitlines() if line.strip()]
