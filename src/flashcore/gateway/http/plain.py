"""Heads as nearly all peers write them, read by one expression; whatever needs judgement is left to the strict parser.

A head is plain when every line is `Name: value` in printable ASCII, no name comes twice, and none of them changes how
the message is read: no transfer coding, no upgrade, no expectation. Of such heads this file says exactly what `parse`
says, at about half the cost, and of any other head nothing: the rules are those of `parse`, and the tests hold the two
against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flashcore.gateway.http.head import NO_TOKENS, RequestHead, ResponseHead, tokens
from flashcore.gateway.http.parse import HOST_BYTES, is_usable_id

# Possessive throughout: no head, however long, is looked at twice.
_FIELDS = rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++: (?! )[ -~]++(?<! )\r\n)*+)\r\n"
_REQUEST = re.compile(rb"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (/[!\"$-~]*+) HTTP/1\.1\r\n" + _FIELDS)
_METHODS = frozenset({b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"})
_TARGET_BYTES = bytes(sorted({*range(0x21, 0x7F)} - {0x23}))
_ANSWER = re.compile(rb"HTTP/1\.1 ([2-9][0-9][0-9]) [ -~]++\r\n" + _FIELDS)
_VALUE = re.compile(rb"(?! )[ -~]++(?<! )")
_JUDGED = frozenset({b"transfer-encoding", b"upgrade", b"expect"})
SPEAKING = frozenset({b"connection", b"content-length", b"x-request-id"}) | _JUDGED
_LENGTH_DIGITS = 18
"""More might not fit into the 64 bits that the strict parser counts in."""
_NAMES_KEPT = 1024
_NAME_BYTES = 64


class _LowerNames(dict[bytes, bytes]):
    """Header names in lower case, by how they are written."""

    def __missing__(self, name: bytes) -> bytes:
        lower = name.lower()
        if len(self) < _NAMES_KEPT and len(name) <= _NAME_BYTES:
            self[name] = lower
        return lower


class PlainHeads:
    """Reads plain heads. What it remembers are names of headers, a bounded number of them."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names = _LowerNames()

    def request(self, raw: bytes, header_count: int, new_id: Callable[[], bytes]) -> RequestHead | None:
        """As `parse.parse_request`, for a plain head."""
        match = _REQUEST.fullmatch(raw)
        if match is None:
            return None
        method, target, block = match.groups()
        names, lines = self._names, _lines(block)
        index = {names[name]: value for name, _, value in [line.partition(b": ") for line in lines]}
        host = index.get(b"host")
        if len(index) != len(lines) or len(index) > header_count or host is None or host.translate(None, HOST_BYTES):
            return None
        path, _, query = target.partition(b"?")
        if SPEAKING.isdisjoint(index):
            return RequestHead(
                method, target, path, query, index, lines, index, 1, None, False, True, NO_TOKENS, b"", new_id()
            )
        length = index.get(b"content-length")
        if not _JUDGED.isdisjoint(index) or not (length is None or is_plain_length(length)):
            return None
        connection = tokens(index[b"connection"]) if b"connection" in index else NO_TOKENS
        request_id = index.get(b"x-request-id")
        size = None if length is None else int(length)
        return RequestHead(
            method,
            target,
            path,
            query,
            index,
            lines,
            index,
            1,
            size,
            False,
            b"close" not in connection,
            connection,
            b"",
            request_id if is_usable_id(request_id) else new_id(),
            bool(size),
        )

    def answer(self, raw: bytes, header_count: int) -> ResponseHead | None:
        """As `parse.parse_response`, for a plain head of a final answer."""
        match = _ANSWER.fullmatch(raw)
        if match is None:
            return None
        status, block = match.groups()
        names, lines = self._names, _lines(block)
        index = {names[name]: value for name, _, value in [line.partition(b": ") for line in lines]}
        length = index.get(b"content-length")
        if len(index) != len(lines) or len(index) > header_count or not _JUDGED.isdisjoint(index):
            return None
        if not (length is None or is_plain_length(length)):
            return None
        connection = tokens(index[b"connection"]) if b"connection" in index else NO_TOKENS
        return ResponseHead(
            int(status),
            index,
            lines,
            index,
            1,
            None if length is None else int(length),
            False,
            b"close" not in connection,
            connection,
        )


def is_plain_length(length: bytes) -> bool:
    """Whether this value of a Content-Length needs no judgement."""
    return length.isdigit() and len(length) <= _LENGTH_DIGITS


def is_plain_value(value: bytes) -> bool:
    """Whether a header with this value may be part of a plain head."""
    return _VALUE.fullmatch(value) is not None


def plain_request_line(line: bytes) -> tuple[bytes, bytes] | None:
    """Method and target of the first line of a plain request; None for any other line."""
    method, _, rest = line.partition(b" ")
    target, _, version = rest.partition(b" ")
    if version != b"HTTP/1.1" or method not in _METHODS or target[:1] != b"/" or target.translate(None, _TARGET_BYTES):
        return None
    return method, target


def _lines(block: bytes) -> list[bytes]:
    lines = block.split(b"\r\n")
    lines.pop()
    return lines
