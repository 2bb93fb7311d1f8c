"""The code of the project's files, read when it is asked for, once."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from flashcore.build.bindings import Definition, Names, names_of
from flashcore.build.imports import ImportStatement, statements_of
from flashcore.build.outline import Unread, outline_of
from flashcore.build.problems import Place, Problems
from flashcore.build.syntax import LARGEST_SOURCE, Unparsable, parse
from flashcore.build.tree import SourceTree
from flashcore.build.values import CannotRead
from flashcore.build.written_imports import written_imports

CHECKED_IN_ALL = 1 << 20
"""Bytes of modules that endpoints import up to which each of them is parsed as a whole: a quarter of a second."""


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """A file that was parsed, but for the definitions that nobody asked for yet (see `outline`)."""

    path: str
    names: Names


@dataclass(slots=True)
class Sources:
    """All code of a tree."""

    tree: SourceTree
    parsed: int = 0
    """How many files were parsed so far, whole or in part."""
    _code: dict[str, Code | Unparsable] = field(default_factory=dict)

    def code(self, path: str) -> Code | Unparsable:
        """A file's code, or why it cannot be had."""
        if path not in self._code:
            self._code[path] = self._read_code(path)
        return self._code[path]

    def imports(self, path: str) -> tuple[ImportStatement, ...] | Unparsable:
        """A file's import statements, or why they cannot be had."""
        data = self._read(path)
        if isinstance(data, Unparsable):
            return data
        found = written_imports(data) if len(data) <= LARGEST_SOURCE else None
        if found is not None:
            return found
        parsed = self._parse(path, data)
        return parsed if isinstance(parsed, Unparsable) else statements_of(parsed, data)

    def check_syntax(self, paths: Iterable[str], problems: Problems) -> None:
        """Parse these files as a whole, for what is wrong in parts that nobody asked for.

        It decides no more than when an author learns of it, so that it is done up to a size for which nobody waits.
        """
        checked = sorted(paths)
        if sum(self.tree.files[path].size for path in checked) > CHECKED_IN_ALL:
            return
        for path in checked:
            data = self._read(path)
            found = data if isinstance(data, Unparsable) else self._parse(path, data)
            if isinstance(found, Unparsable):
                problems.add(found.place, found.reason, found.advice)

    def forget(self) -> None:
        """Let go of all code: it is much, and archives are made without it."""
        self._code.clear()

    def _read_code(self, path: str) -> Code | Unparsable:
        data = self._read(path)
        if isinstance(data, Unparsable):
            return data
        outline = outline_of(data) if len(data) <= LARGEST_SOURCE else None
        if outline is not None:
            kept = self._parse(path, outline.kept)
            if isinstance(kept, ast.Module):
                return Code(path, names_of(kept, outline.unread, _reader(path)))
        parsed = self._parse(path, data)
        return parsed if isinstance(parsed, Unparsable) else Code(path, names_of(parsed))

    def _parse(self, path: str, data: bytes) -> ast.Module | Unparsable:
        self.parsed += 1
        return parse(path, data)

    def _read(self, path: str) -> bytes | Unparsable:
        try:
            return self.tree.read(path)
        except OSError as error:
            advice = "make it readable, or name it in .flashcoreignore"
            return Unparsable(Place(path), f"it cannot be read: {error.strerror}", advice)


def _reader(path: str) -> Callable[[Unread], Definition]:
    def read(left_out: Unread) -> Definition:
        found = parse(path, b"\n" * (left_out.line - 1) + left_out.text)
        if isinstance(found, Unparsable):
            raise CannotRead(found.place, found.reason, found.advice)
        match found.body:
            case [(ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef()) as definition]:
                return definition
            case _:
                raise CannotRead(Place(path, left_out.line), f"the definition of {left_out.name} cannot be read")

    return read
