"""The files of a project: found once, in order, each read once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

from flashcore.build.ignore import Rules, is_environment, may_be_packed
from flashcore.build.problems import Place, Problems

KEPT_SIZE = 1 << 20
"""Bytes up to which a file's content is kept in memory once it was read."""

KEPT_IN_ALL = 32 << 20
"""Bytes up to which contents are kept; files of larger projects are read again when they are packed."""


Stamp: TypeAlias = tuple[int, int, int, int, int]
"""Size, times of change of content and of anything (in nanoseconds), number, and mode of a file."""


class SourceFile(NamedTuple):
    """A regular file of the project. `path` is from the root, with `/`."""

    path: str
    location: str
    """Where it is on the disk."""
    size: int
    executable: bool
    stamp: Stamp
    """What the disk says of it, which changes with its content."""

    @property
    def is_python(self) -> bool:
        """Whether Python could import it."""
        return self.path.endswith(".py")


@dataclass(slots=True)
class SourceTree:
    """What is in the project, but for what is left out."""

    root: Path
    files: Mapping[str, SourceFile]
    """By path, sorted."""
    warnings: tuple[str, ...] = ()
    folders: Mapping[str, int] = field(default_factory=dict)
    """When each folder got or lost an entry last, in nanoseconds; files that are left out count too."""
    _read: dict[str, bytes] = field(default_factory=dict)
    _kept: int = 0

    def read(self, path: str) -> bytes:
        """The content of a file. Raises OSError."""
        known = self._read.get(path)
        if known is not None:
            return known
        file = self.files[path]
        data = read_file(file.location, file.size)
        if len(data) <= KEPT_SIZE and self._kept + len(data) <= KEPT_IN_ALL:
            self._read[path] = data
            self._kept += len(data)
        return data

    def kept(self, path: str) -> bytes | None:
        """The content of a file that was read and is kept; None of one that would have to be read again."""
        return self._read.get(path)

    def python_files(self) -> Iterator[SourceFile]:
        """Every Python file."""
        return (file for file in self.files.values() if file.is_python)


def source_file(path: str, location: str, status: os.stat_result) -> SourceFile:
    """A file as the disk describes it."""
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_mode)
    return SourceFile(path, location, status.st_size, bool(status.st_mode & stat.S_IXUSR), stamp)


def read_file(location: str, expected: int) -> bytes:
    """The content of a file of that many bytes. Raises OSError.

    Three times as quick as a file object, and projects have many files.
    """
    descriptor = os.open(location, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, expected + 1)
        if len(data) == expected:
            return data
        pieces = [data]  # it has changed since it was found, or is larger than one read gives
        while piece := os.read(descriptor, KEPT_SIZE):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def walk(root: Path, problems: Problems) -> SourceTree:
    """Find the files of the project at `root`. What cannot be read becomes a problem."""
    walker = _Walker(root.resolve(), problems)
    found = sorted(walker.files(walker.root, "", Rules(), (walker.root,)), key=lambda file: file.path)
    return SourceTree(walker.root, {file.path: file for file in found}, tuple(walker.warnings), walker.folders)


class _Walker:
    def __init__(self, root: Path, problems: Problems) -> None:
        self.root = root
        self.warnings: list[str] = []
        self.folders: dict[str, int] = {}
        self._problems = problems

    def files(self, folder: Path, prefix: str, above: Rules, trail: tuple[Path, ...]) -> Iterator[SourceFile]:
        """Files below `folder`. `trail` holds the real paths of the folders that led here, for links that loop."""
        try:
            rules = above.within(folder, prefix)
            self.folders[prefix] = folder.stat().st_mtime_ns
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._refuse(prefix.rstrip("/") or ".", error)
            return
        for entry in entries:
            path = prefix + entry.name
            if self._nameable(path):
                yield from self._entry(_Entry(path, entry), rules, trail)

    def _entry(self, entry: _Entry, rules: Rules, trail: tuple[Path, ...]) -> Iterator[SourceFile]:
        try:
            status = entry.found.stat()
        except OSError as error:
            if not rules.leave_out(entry.path, entry.found.name, folder=False):
                self._tell(entry, f"is a link to nothing ({error.strerror})")
            return
        folder = stat.S_ISDIR(status.st_mode)
        if rules.leave_out(entry.path, entry.found.name, folder=folder):
            return
        if entry.found.is_symlink() and not may_be_packed(self.root, entry.real):
            self._tell(entry, "leads out of the project, or to what never leaves it")
        elif folder:
            yield from self._folder(entry, rules, trail)
        elif stat.S_ISREG(status.st_mode):
            yield source_file(entry.path, entry.found.path, status)
        else:
            self._tell(entry, "is no regular file")

    def _folder(self, entry: _Entry, rules: Rules, trail: tuple[Path, ...]) -> Iterator[SourceFile]:
        real = entry.real if entry.found.is_symlink() else trail[-1] / entry.found.name
        if real in trail:
            self._tell(entry, "leads back to a folder that it is in")
        elif not is_environment(real):
            yield from self.files(Path(entry.found.path), f"{entry.path}/", rules, (*trail, real))

    def _nameable(self, path: str) -> bool:
        if path.isascii():
            return True
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(path).decode("utf-8", "backslashreplace")
            self._problems.add(Place(shown), "the name of this file is no UTF-8", "rename it")
            return False
        return True

    def _tell(self, entry: _Entry, what: str) -> None:
        self.warnings.append(f"{entry.path} {what}: left out")

    def _refuse(self, path: str, error: OSError) -> None:
        self._problems.add(
            Place(path), f"cannot be read: {error.strerror}", "make it readable, or name it in .flashcoreignore"
        )


@dataclass(slots=True)
class _Entry:
    path: str
    found: os.DirEntry[str]

    @property
    def real(self) -> Path:
        return Path(self.found.path).resolve()


def folder_of(path: str) -> str:
    """The folder of a file, from the root; empty for the root itself."""
    return path.rpartition("/")[0]


@dataclass
class DataFiles:
    """Whose the files are that are not Python: of the nearest folder with Python files at or above them."""

    tree: SourceTree

    @cached_property
    def _by_owner(self) -> Mapping[str, tuple[str, ...]]:
        owners = {folder_of(file.path) for file in self.tree.python_files()}
        found: dict[str, list[str]] = {}
        for file in self.tree.files.values():
            owner = None if file.is_python else _owner(folder_of(file.path), owners)
            if owner is not None:
                found.setdefault(owner, []).append(file.path)
        return {owner: tuple(paths) for owner, paths in found.items()}

    def of(self, folder: str) -> tuple[str, ...]:
        """Paths of the files that belong to a folder with Python files."""
        return self._by_owner.get(folder, ())


def _owner(folder: str, owners: set[str]) -> str | None:
    while folder not in owners:
        if not folder:
            return None
        folder = folder_of(folder)
    return folder
