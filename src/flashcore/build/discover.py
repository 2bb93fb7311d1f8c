"""Which files can matter: those that speak of flashcore, and those that import such a file, near or far.

Every file's bytes are looked at once; only what can matter is parsed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from pathlib import PurePosixPath

from flashcore.build.graph import ImportGraph
from flashcore.build.problems import Place, Problems
from flashcore.build.syntax import Unparsable
from flashcore.build.tree import SourceFile, SourceTree

_NAME = b"flashcore"
_FROM = re.compile(rb"from\s+([.\w\x80-\xff]+)")
_IMPORT = re.compile(rb"import\s*(\([^)]*\)|[^\n;#]*)")
_WORD = re.compile(rb"[\w\x80-\xff]+")
_CONTINUED = re.compile(rb"\\\r?\n")


class Discovery:
    """Finds the files that can hold endpoints, their functions, or calls of them."""

    def __init__(self, tree: SourceTree, graph: ImportGraph, problems: Problems) -> None:
        self._tree = tree
        self._graph = graph
        self._problems = problems
        self._importers: dict[bytes, list[str]] = {}
        self._mentioning: list[str] = []

    def files(self) -> list[str]:
        """Paths of the files that can matter and can be parsed, sorted."""
        for file in self._tree.python_files():
            self._look_at(file)
        matter: set[str] = set()
        pending = deque(path for path in self._mentioning if self._is_code(path))
        while pending:
            path = pending.popleft()
            if path not in matter:
                matter.add(path)
                pending.extend(self._importers_of(path, matter))
        return sorted(matter)

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
        for word in _imported_words(data):
            self._importers.setdefault(word, []).append(file.path)

    def _importers_of(self, path: str, matter: set[str]) -> Iterator[str]:
        for candidate in self._importers.get(_last_name(path), ()):
            imports = self._graph.of(candidate)
            if imports.unparsable is not None and b"@" in self._tree.read(candidate):
                # Without a decorator it gives no function to an endpoint, and may be as it is.
                self._refuse(imports.unparsable)
            if candidate not in matter and path in imports.files:
                yield candidate

    def _is_code(self, path: str) -> bool:
        code = self._graph.sources.code(path)
        if isinstance(code, Unparsable):
            self._refuse(code)
        return not isinstance(code, Unparsable)

    def _refuse(self, found: Unparsable) -> None:
        self._problems.add(found.place, found.reason, found.advice)


def _imported_words(data: bytes) -> set[bytes]:
    """Every name that occurs in something like an import: too many rather than too few."""
    if b"import" not in data:
        return set()
    if b"\\\n" in data or b"\\\r\n" in data:
        data = _CONTINUED.sub(b" ", data)
    found: set[bytes] = set()
    for pattern in (_FROM, _IMPORT):
        for text in pattern.findall(data):
            found.update(_WORD.findall(text))
    return found


def _last_name(path: str) -> bytes:
    parts = PurePosixPath(path)
    name = parts.parent.name if parts.name == "__init__.py" else parts.stem
    return name.encode()
