"""The text of one field of a JSON document that may be cut off: a gateway holds only the start of a body.

The value is taken as it is written, without decoding escapes: equal texts are equal, and that is all that a key needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# Possessive quantifiers: a body without a closing quote is read once, not once per character.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[{}\[\]:,]|[^\s{}\[\]:,"]++', re.DOTALL)
_OPENING, _CLOSING = frozenset("{["), frozenset("}]")


def field_text(body: bytes, path: Sequence[str], characters: int | None = None) -> str | None:
    """The first characters of the value at `path`, None where there is no such field in what is there of the body."""
    text = body.decode("utf-8", errors="ignore")
    tokens = _TOKEN.finditer(text)
    try:
        for name in path:
            _enter(tokens, name)
        start, end = _extent(tokens, len(text))
    except (StopIteration, _Absent):
        return None
    return text[start:end] if characters is None else text[start : min(end, start + characters)]


class _Absent(Exception):
    """The document has no such field."""


def _enter(tokens: Iterator[re.Match[str]], name: str) -> None:
    """Read up to the value of a field of the object, or of a position of the list, that comes next."""
    opening = next(tokens).group()
    if opening == "{":
        _enter_object(tokens, name)
    elif opening == "[" and name.isdecimal():
        for _ in range(int(name)):
            _skip(tokens, next(tokens).group())
            _expect(tokens, ",")
    else:
        raise _Absent


def _enter_object(tokens: Iterator[re.Match[str]], name: str) -> None:
    while True:
        key = next(tokens).group()
        _expect(tokens, ":")
        if key == f'"{name}"':
            return
        _skip(tokens, next(tokens).group())
        _expect(tokens, ",")


def _expect(tokens: Iterator[re.Match[str]], mark: str) -> None:
    if next(tokens).group() != mark:
        raise _Absent


def _skip(tokens: Iterator[re.Match[str]], first: str) -> int:
    """Read to the end of the value that begins with the token `first`; returns where that is, 0 for a single token."""
    depth, end = int(first in _OPENING), 0
    while depth:
        token = next(tokens)
        depth += (token.group() in _OPENING) - (token.group() in _CLOSING)
        end = token.end()
    return end


def _extent(tokens: Iterator[re.Match[str]], length: int) -> tuple[int, int]:
    """Where the next value is; to the end of the text when it is cut off. A string is taken without its quotes."""
    first = next(tokens)
    text = first.group()
    if text.startswith('"'):
        closed = len(text) > 1 and _is_closed(text)
        return first.start() + 1, first.end() - closed
    if text in _CLOSING or text in {",", ":"}:
        raise _Absent
    try:
        return first.start(), _skip(tokens, text) or first.end()
    except StopIteration:
        return first.start(), length


def _is_closed(string: str) -> bool:
    body = string[1:-1]
    backslashes = len(body) - len(body.rstrip("\\"))
    return string.endswith('"') and backslashes % 2 == 0
