"""What earlier builds saw of the imports of files, by the files' content: a second build parses what changed.

One JSON file, written in one step. Whatever is wrong with it, it is forgotten: nothing but time depends on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from flashcore.build.imports import ImportStatement
from flashcore.build.syntax import minor_version

_FORMAT = 1
"""Grows when the way changes in which imports are read."""


@dataclass(slots=True)
class ImportMemory:
    """Import statements by sha256 of the file that they stand in."""

    _known: dict[str, tuple[ImportStatement, ...]] = field(default_factory=dict)
    _seen: dict[str, tuple[ImportStatement, ...]] = field(default_factory=dict)

    def recall(self, digest: str) -> tuple[ImportStatement, ...] | None:
        """The imports of a file with this content, if it was seen before."""
        found = self._known.get(digest)
        if found is not None:
            self._seen[digest] = found
        return found

    def note(self, digest: str, statements: tuple[ImportStatement, ...]) -> None:
        """Remember a file's imports."""
        self._known[digest] = self._seen[digest] = statements

    def write(self, path: Path) -> None:
        """Keep what this build has seen; what could not be kept is looked at again the next time."""
        content = {
            "made_by": _maker(),
            "imports": {digest: [astuple(one) for one in found] for digest, found in self._seen.items()},
        }
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(content, file, separators=(",", ":"))
                Path(draft).replace(path)
            finally:
                Path(draft).unlink(missing_ok=True)


def read_memory(path: Path) -> ImportMemory:
    """What was kept at `path`; nothing if that is missing, torn, or of another version."""
    try:
        content = json.loads(path.read_bytes())
        if content["made_by"] != _maker():
            return ImportMemory()
        return ImportMemory(_statements(content["imports"]))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ImportMemory()


def _maker() -> list[Any]:
    return [_FORMAT, minor_version()]


def _statements(kept: Mapping[str, Any]) -> dict[str, tuple[ImportStatement, ...]]:
    return {digest: tuple(ImportStatement(*fields) for fields in found) for digest, found in kept.items()}
