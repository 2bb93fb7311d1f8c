"""The code of the project's files, parsed when it is asked for, once."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from flashcore.build.bindings import Names, names_of
from flashcore.build.problems import Place
from flashcore.build.syntax import Unparsable, parse
from flashcore.build.tree import SourceTree


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """A parsed file."""

    path: str
    tree: ast.Module
    names: Names


@dataclass(slots=True)
class Sources:
    """All code of a tree."""

    tree: SourceTree
    _known: dict[str, Code | Unparsable] = field(default_factory=dict)

    def code(self, path: str) -> Code | Unparsable:
        """A file's code, or why it cannot be had."""
        if path not in self._known:
            self._known[path] = self._read(path)
        return self._known[path]

    def parsed(self) -> int:
        """How many files were parsed so far."""
        return len(self._known)

    def _read(self, path: str) -> Code | Unparsable:
        try:
            data = self.tree.read(path)
        except OSError as error:
            advice = "make it readable, or name it in .flashcoreignore"
            return Unparsable(Place(path), f"it cannot be read: {error.strerror}", advice)
        parsed = parse(path, data)
        return parsed if isinstance(parsed, Unparsable) else Code(path, parsed, names_of(parsed))
