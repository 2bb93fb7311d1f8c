"""Which file of the project an import means.

Replicas import from the project's root, from `src/`, and from the folders of the endpoint's own modules; a file that
does `import helper` finds its neighbour as it does when it is run as a script.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flashcore.build.tree import SourceTree, folder_of

SOURCES = "src"


@dataclass(frozen=True, slots=True)
class Found:
    """A module of the project. `path` is its file, or None for a folder without `__init__.py`."""

    name: str
    """Path without suffix: what tells two modules apart, as in `pkg/sub`."""
    path: str | None
    parents: tuple[str, ...] = ()
    """Files of the packages that importing it runs first."""

    @property
    def is_package(self) -> bool:
        """Whether it can have submodules."""
        return self.path is None or self.path.endswith("__init__.py")


class ModuleIndex:
    """All modules of a tree."""

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self._files = frozenset(file.path for file in tree.python_files())
        self._folders = frozenset(_ancestors(self._files))
        # Most imports are of other people's packages: what is neither a file nor a folder here need not be looked for.
        self._tops = self._folders | {path.removesuffix(".py") for path in self._files}

    def find(self, dotted: str, importer: str) -> Found | None:
        """The module that `import dotted` means in the file `importer`; None if it is none of the project's."""
        folder = folder_of(importer)
        top = dotted.partition(".")[0]
        for start in dict.fromkeys(("", SOURCES, folder)):
            if (f"{start}/{top}" if start else top) not in self._tops:
                continue
            found = self._below(start, dotted.split("."))
            if found is not None and found.path != importer:
                return found
        return None

    def find_relative(self, dotted: str, level: int, importer: str) -> Found | None:
        """The module that `from ..dotted import` means, with `level` dots."""
        folder: str | None = folder_of(importer)
        for _ in range(level - 1):
            folder = folder_of(folder) if folder else None
        if folder is None:
            return None
        return self._below(folder, dotted.split(".") if dotted else [])

    def child(self, package: Found, name: str) -> Found | None:
        """A submodule of a package."""
        return self._below(package.name, [name]) if package.is_package else None

    def _below(self, folder: str, parts: list[str]) -> Found | None:
        at, parents = folder, list(self._initial(folder))
        found = Found(folder, next(iter(self._initial(folder)), None), ())
        for part in parts:
            if not found.is_package:
                return None
            at = f"{at}/{part}" if at else part
            path = next((file for file in (f"{at}/__init__.py", f"{at}.py") if file in self._files), None)
            if path is None and at not in self._folders:
                return None
            found = Found(at, path, tuple(parents))
            parents += [path] if path else []
        return found

    def _initial(self, folder: str) -> Iterator[str]:
        if folder and f"{folder}/__init__.py" in self._files:
            yield f"{folder}/__init__.py"

    def name_of(self, path: str) -> Found:
        """A file as the module that it is."""
        name = folder_of(path) if path.endswith("__init__.py") else path.removesuffix(".py")
        return Found(name, path)


def _ancestors(files: frozenset[str]) -> Iterator[str]:
    for folder in {folder_of(file) for file in files}:
        above = folder
        while above:
            yield above
            above = folder_of(above)
