"""The code of the project's files, parsed when it is asked for, once."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass, field

from flashcore.build.bindings import Names, names_of
from flashcore.build.import_memory import ImportMemory
from flashcore.build.imports import ImportStatement, statements_of
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
    """All code of a tree. What earlier builds saw of the imports of a file that is as it was is remembered."""

    tree: SourceTree
    memory: ImportMemory = field(default_factory=ImportMemory)
    parsed: int = 0
    """How many files were parsed so far."""
    _code: dict[str, Code | Unparsable] = field(default_factory=dict)

    def code(self, path: str) -> Code | Unparsable:
        """A file's code, or why it cannot be had."""
        if path not in self._code:
            parsed = self._parse(path)
            self._code[path] = parsed if isinstance(parsed, Unparsable) else Code(path, parsed, names_of(parsed))
        return self._code[path]

    def imports(self, path: str) -> tuple[ImportStatement, ...] | Unparsable:
        """A file's import statements, or why they cannot be had. Its code is not kept for this: it is large."""
        data = self._read(path)
        if isinstance(data, Unparsable):
            return data
        digest = hashlib.sha256(data).hexdigest()
        remembered = self.memory.recall(digest)
        if remembered is not None:
            return remembered
        known = self._code.get(path)
        parsed = known.tree if isinstance(known, Code) else self._parse(path)
        if isinstance(parsed, Unparsable):
            return parsed
        found = statements_of(parsed, data)
        self.memory.note(digest, found)
        return found

    def _parse(self, path: str) -> ast.Module | Unparsable:
        data = self._read(path)
        if isinstance(data, Unparsable):
            return data
        self.parsed += 1
        return parse(path, data)

    def _read(self, path: str) -> bytes | Unparsable:
        try:
            return self.tree.read(path)
        except OSError as error:
            advice = "make it readable, or name it in .flashcoreignore"
            return Unparsable(Place(path), f"it cannot be read: {error.strerror}", advice)
