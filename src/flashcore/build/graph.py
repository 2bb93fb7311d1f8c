"""Which file of the project imports which, which imports lead to files that are left out, and which are computed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from flashcore.build.imports import ImportStatement
from flashcore.build.modules import SOURCES, Found, ModuleIndex
from flashcore.build.problems import Place
from flashcore.build.sources import Sources
from flashcore.build.syntax import Unparsable
from flashcore.build.tree import folder_of


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An import of a file of the project that no archive will hold."""

    place: Place
    statement: str
    path: str


@dataclass(frozen=True, slots=True)
class Imports:
    """What one file imports. `files` are the project's own, with the packages that they are in."""

    files: frozenset[str] = frozenset()
    computed: tuple[Place, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    unparsable: Unparsable | None = None
    """Why its imports are not known."""


@dataclass(slots=True)
class ImportGraph:
    """Imports of files, resolved when they are asked for, once for each file."""

    sources: Sources
    index: ModuleIndex
    _known: dict[str, Imports] = field(default_factory=dict)
    _on_disk: dict[str, bool] = field(default_factory=dict)

    def of(self, path: str) -> Imports:
        """What a file imports."""
        if path not in self._known:
            statements = self.sources.imports(path)
            if isinstance(statements, Unparsable):
                self._known[path] = Imports(unparsable=statements)
            else:
                self._known[path] = self._resolved(path, statements)
        return self._known[path]

    def packages_of(self, path: str) -> Iterator[str]:
        """The `__init__.py` files that run before a module is imported by its dotted name."""
        folder = folder_of(path)
        while folder:
            if f"{folder}/__init__.py" in self.sources.tree.files:
                yield f"{folder}/__init__.py"
            folder = folder_of(folder)

    def _resolved(self, path: str, statements: tuple[ImportStatement, ...]) -> Imports:
        files: set[str] = set()
        left_out: list[LeftOut] = []
        for statement in statements:
            if statement.computed:
                continue
            found = self._find(path, statement)
            files.update(self._files(found, statement))
            if found is None and not statement.optional:
                left_out.extend(self._left_out(path, statement))
        computed = (statement for statement in statements if statement.computed)
        return Imports(
            frozenset(files - {path}), tuple(_place(path, statement) for statement in computed), tuple(left_out)
        )

    def _find(self, importer: str, statement: ImportStatement) -> Found | None:
        if statement.level:
            return self.index.find_relative(statement.module, statement.level, importer)
        return self.index.find(statement.module, importer)

    def _files(self, found: Found | None, statement: ImportStatement) -> Iterator[str]:
        if found is None:
            return
        child = None if statement.attribute is None else self.index.child(found, statement.attribute)
        for module in (found, child):
            if module is not None:
                yield from module.parents
                yield from () if module.path is None else (module.path,)

    def _left_out(self, importer: str, statement: ImportStatement) -> Iterator[LeftOut]:
        """Files on the disk that the import means and the tree does not hold."""
        folder = folder_of(importer)
        starts = dict.fromkeys(("", SOURCES, folder))
        if statement.level:
            starts = dict.fromkeys(["/".join([folder or ".", *[".."] * (statement.level - 1)])])
        names = statement.module.replace(".", "/")
        for start in starts:
            for path in (f"{names}.py", f"{names}/__init__.py"):
                whole = f"{start}/{path}" if start else path
                if names and self._is_on_disk(whole):
                    shown = "." * statement.level + statement.module
                    yield LeftOut(_place(importer, statement), shown, os.path.normpath(whole))
                    return

    def _is_on_disk(self, path: str) -> bool:
        if path not in self._on_disk:
            self._on_disk[path] = os.path.isfile(f"{self.sources.tree.root}/{path}")  # noqa: PTH113 - many are asked for
        return self._on_disk[path]


def _place(path: str, statement: ImportStatement) -> Place:
    return Place(path, statement.line, statement.column + 1)
