"""The statements of a module's level, told apart by their first columns: what is not needed need not be parsed.

A definition without decorators can matter only to who asks for it by name. It is left out of what is parsed at first,
and parsed when it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from flashcore.build.lexical import blanked

_START = re.compile(
    rb"\n(?:(?:async[ \t]+)?(?:def|class)[ \t]+([^\W\d][\w\x80-\xff]*|[\x80-\xff][\w\x80-\xff]*)"
    rb"|(@)|((?:else|elif|except|finally)\b|[)\]}])|[^\s)\]}])"
)


@dataclass(frozen=True, slots=True)
class Unread:
    """A function or class that was not parsed yet."""

    name: str
    line: int
    text: bytes
    """As it stands in the file, from its first line to its last one."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A module in two parts."""

    kept: bytes
    """Its text with empty lines in the place of what was not read, so that every other line keeps its number."""
    unread: tuple[Unread, ...]


def outline_of(data: bytes) -> Outline | None:
    """The outline of a file's content; None where it is in doubt, or where there is nothing to leave out."""
    text = blanked(data)
    if text is None:
        return None
    unread: list[Unread] = []
    kept: list[bytes] = []
    at = line = 0
    for start, end, name in _statements(text):
        if not _is_closed(text, start, end):
            return None
        if name is None:
            continue
        kept.append(data[at:start])
        line += data.count(b"\n", at, start)
        piece = data[start:end]
        unread.append(Unread(name.decode(), line + 1, piece))
        lines = piece.count(b"\n")
        kept.append(b"\n" * lines)
        line += lines
        at = end
    if not unread:
        return None
    kept.append(data[at:])
    return Outline(b"".join(kept), tuple(unread))


def _statements(text: bytes) -> Iterator[tuple[int, int, bytes | None]]:
    """Where each statement begins and ends, with the name of a definition that has no decorators."""
    begun: tuple[int, bytes | None] | None = None
    decorated = False
    for found in _START.finditer(b"\n" + text):
        name, decorator, continued = found.groups()
        if continued is not None:
            continue
        if decorated:
            decorated = name is None  # up to what is decorated
        else:
            if begun is not None:
                yield begun[0], found.start(), begun[1]
            begun, decorated = (found.start(), name), decorator is not None
    if begun is not None:
        yield begun[0], len(text), begun[1]


def _is_closed(text: bytes, start: int, end: int) -> bool:
    """Whether every bracket that is opened in this piece is closed in it: else it was cut in two."""
    count = text.count
    return (
        count(b"(", start, end) == count(b")", start, end)
        and count(b"[", start, end) == count(b"]", start, end)
        and count(b"{", start, end) == count(b"}", start, end)
    )
