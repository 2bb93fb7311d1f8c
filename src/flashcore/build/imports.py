"""What files of the project import: its own files, files that are left out, and what only running them would tell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flashcore.build.bindings import Imported
from flashcore.build.modules import SOURCES, Found, ModuleIndex
from flashcore.build.problems import Place, place_of
from flashcore.build.sources import Code, Sources
from flashcore.build.syntax import Unparsable
from flashcore.build.tree import folder_of

_BY_NAME = frozenset(
    {
        "__import__",
        "importlib.import_module",
        "importlib.resources.files",
        "importlib.util.find_spec",
        "pkgutil.get_data",
        "runpy.run_module",
    }
)
"""Calls whose first argument names a module."""

_ANYTHING = frozenset(
    {
        "importlib.util.spec_from_file_location",
        "pkgutil.iter_modules",
        "pkgutil.walk_packages",
        "runpy.run_path",
    }
)
"""Calls that may import any file."""


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
    dynamic: tuple[Place, ...] = ()
    """Where modules are imported by names that are computed."""
    left_out: tuple[LeftOut, ...] = ()


@dataclass(slots=True)
class ImportGraph:
    """Which file imports which, looked at when it is asked for, once for each file."""

    sources: Sources
    index: ModuleIndex
    _known: dict[str, Imports] = field(default_factory=dict)

    def of(self, path: str) -> Imports:
        """What a file imports; nothing for one whose code cannot be had."""
        if path not in self._known:
            code = self.sources.code(path)
            self._known[path] = Imports() if isinstance(code, Unparsable) else self._read(code)
        return self._known[path]

    def packages_of(self, path: str) -> Iterator[str]:
        """The `__init__.py` files that run before a module is imported by its dotted name."""
        folder = folder_of(path)
        while folder:
            if f"{folder}/__init__.py" in self.sources.tree.files:
                yield f"{folder}/__init__.py"
            folder = folder_of(folder)

    def _read(self, code: Code) -> Imports:
        files: set[str] = set()
        dynamic: list[Place] = []
        left_out: list[LeftOut] = []
        for node, optional in _walk(code.tree, optional=False):
            for imported in _imported_by(code, node):
                if imported is None:
                    dynamic.append(place_of(code.path, node))
                    continue
                found = list(self._files(code.path, imported))
                files.update(found)
                if not found and not optional:
                    left_out.extend(self._left_out(code.path, imported))
        return Imports(frozenset(files - {code.path}), tuple(dynamic), tuple(left_out))

    def _files(self, importer: str, imported: Imported) -> Iterator[str]:
        found = self._find(importer, imported)
        if found is None:
            return
        yield from _files_of(found)
        child = None if imported.attribute is None else self.index.child(found, imported.attribute)
        if child is not None:
            yield from _files_of(child)
        if not found.path and child is None and imported.attribute is None:
            # A folder without __init__.py imports nothing by itself; it was found all the same.
            yield importer

    def _find(self, importer: str, imported: Imported) -> Found | None:
        if imported.level:
            return self.index.find_relative(imported.module, imported.level, importer)
        return self.index.find(imported.module, importer)

    def _left_out(self, importer: str, imported: Imported) -> Iterator[LeftOut]:
        """Files on the disk that the import means and the tree does not hold."""
        folder = folder_of(importer)
        starts = dict.fromkeys(("", SOURCES, folder))
        if imported.level:
            starts = dict.fromkeys([str(Path(folder, *[".."] * (imported.level - 1)))])
        names = imported.module.replace(".", "/")
        for start in starts:
            for path in (f"{names}.py", f"{names}/__init__.py"):
                on_disk = self.sources.tree.root / start / path
                if names and on_disk.is_file():
                    shown = "." * imported.level + imported.module
                    yield LeftOut(place_of(importer, imported.node), shown, str(Path(start, path)))
                    return


def _files_of(found: Found) -> Iterator[str]:
    yield from found.parents
    if found.path is not None:
        yield found.path


def _walk(node: ast.AST, *, optional: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, with whether the program does without what it imports."""
    yield node, optional
    if isinstance(node, ast.Try) and node.handlers:
        for child in node.body:
            yield from _walk(child, optional=True)
        rest: list[ast.AST] = [*node.handlers, *node.orelse, *node.finalbody]
    else:
        rest = list(ast.iter_child_nodes(node))
    for child_node in rest:
        yield from _walk(child_node, optional=optional or _is_type_checking(node))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).split(".")[-1] == "TYPE_CHECKING"


def _imported_by(code: Code, node: ast.AST) -> Iterator[Imported | None]:
    """What a node imports; None for what only running it would tell."""
    match node:
        case ast.Import(names=names):
            yield from (Imported(node, alias.name) for alias in names)
        case ast.ImportFrom(names=names):
            for alias in names:
                yield Imported(node, node.module or "", node.level, alias.name)
        case ast.Call(func=function, args=args):
            called = _dotted(code, function)
            if called in _ANYTHING:
                yield None
            elif called in _BY_NAME:
                yield _named(node, args)
        case _:
            pass


def _named(node: ast.Call, args: list[ast.expr]) -> Imported | None:
    match args:
        case [ast.Constant(value=str() as name)]:
            return Imported(node, name)
        case _:
            return None


def _dotted(code: Code, function: ast.expr) -> str:
    """A called function by its import path, where a module-level import says so."""
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return ""
    parts.append(function.id)
    binding = next(iter(code.names.by_name.get(function.id, [])), None)
    if isinstance(binding, Imported) and not binding.level:
        parts[-1] = binding.module if binding.attribute is None else f"{binding.module}.{binding.attribute}"
    return ".".join(reversed(parts))
