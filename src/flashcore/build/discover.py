"""Which files can matter: those that speak of flashcore, and those that use what such a file declares.

Every file's bytes are looked at once; only what can matter is parsed. A file that does not speak of flashcore can give
functions to an endpoint only by a decorator, and declare one only by a class of the project's own. Whether what it
imports leads to a file that does speak of it, its import statements tell.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import chain

from flashcore.build.bindings import Assigned, Binding, Defined, Imported
from flashcore.build.evaluate import Evaluator
from flashcore.build.graph import ImportGraph
from flashcore.build.problems import Place, Problems
from flashcore.build.syntax import Unparsable
from flashcore.build.tree import SourceFile, SourceTree
from flashcore.build.values import CannotRead, ResourceClass

_NAME = b"flashcore"
_SETTINGS = "flashcore.toml"
"""A folder that has one of its own is another project: its endpoints are deployed from there."""


class Discovery:
    """Finds the files that can hold endpoints or their functions."""

    def __init__(self, tree: SourceTree, graph: ImportGraph, evaluator: Evaluator, problems: Problems) -> None:
        self._tree = tree
        self._graph = graph
        self._evaluator = evaluator
        self._problems = problems
        self._mentioning: list[str] = []
        self._decorating: list[str] = []
        self._others: list[str] = []

    def files(self) -> list[str]:
        """Paths of the files that can matter and can be parsed, sorted."""
        others = tuple(path.removesuffix(_SETTINGS) for path in self._tree.files if path.endswith(f"/{_SETTINGS}"))
        for file in self._tree.python_files():
            if not file.path.startswith(others):
                self._look_at(file)
        found = {path for path in self._mentioning if self._is_code(path)}
        if found:
            self._add_importers(found)
        return sorted(found)

    def _look_at(self, file: SourceFile) -> None:
        try:
            data = self._tree.read(file.path)
        except OSError as error:
            self._problems.add(
                Place(file.path),
                f"cannot be read: {error.strerror}",
                "make it readable, or name it in .flashcoreignore",
            )
            return
        if _NAME in data:
            self._mentioning.append(file.path)
        elif b"import" in data:
            (self._decorating if b"@" in data else self._others).append(file.path)

    def _add_importers(self, found: set[str]) -> None:
        """Files that decorate with what leads to these, and files that use a class of endpoints of the project's."""
        leading = self._leading_to(found)
        for path in self._decorating:
            if path in leading and self._is_code(path):
                found.add(path)
        pending, classes = sorted(found), set[bytes]()
        while pending:
            new = set(chain.from_iterable(map(self._classes_of, pending))) - classes
            classes |= new
            pending = [path for path in self._using(new) if path not in found and self._is_code(path)]
            found.update(pending)

    def _leading_to(self, found: set[str]) -> set[str]:
        """The files from which imports lead to one of these; what cannot be parsed is a problem where it decorates."""
        importers: dict[str, set[str]] = {}
        seen: set[str] = set()
        pending = list(self._decorating)
        while pending:
            path = pending.pop()
            if path in seen:
                continue
            seen.add(path)
            imports = self._graph.of(path)
            for imported in imports.files:
                importers.setdefault(imported, set()).add(path)
            pending.extend(imports.files - seen - found)
        return _reached(found, importers)

    def _classes_of(self, path: str) -> Iterator[bytes]:
        """The names that a file has for classes of endpoints."""
        code = self._graph.sources.code(path)
        if isinstance(code, Unparsable):
            return
        for name in code.names.telling:
            bindings = code.names.by_name[name]
            if any(map(_may_be_class, bindings)) and self._is_class(path, name, bindings[0]):
                yield name.encode()

    def _is_class(self, path: str, name: str, binding: Binding) -> bool:
        try:
            return isinstance(self._evaluator.names.name(path, name, binding.node), ResourceClass)
        except CannotRead:
            return False

    def _using(self, classes: set[bytes]) -> Iterator[str]:
        for path in chain(self._others, self._decorating) if classes else ():
            data = self._tree.read(path)
            if any(name in data for name in classes):
                yield path

    def _is_code(self, path: str) -> bool:
        code = self._graph.sources.code(path)
        if isinstance(code, Unparsable):
            self._problems.add(code.place, code.reason, code.advice)
        return not isinstance(code, Unparsable)


def _may_be_class(binding: Binding) -> bool:
    if isinstance(binding, Defined):
        return not binding.is_function
    if isinstance(binding, Assigned):
        return isinstance(binding.expression, ast.Name | ast.Attribute)
    return isinstance(binding, Imported)


def _reached(start: set[str], importers: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    pending = list(start)
    while pending:
        path = pending.pop()
        for importer in importers.get(path, ()):
            if importer not in reached:
                reached.add(importer)
                pending.append(importer)
    return reached
