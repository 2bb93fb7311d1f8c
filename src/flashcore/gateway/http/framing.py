"""Where a body ends: three ways to be told, one way to be asked.

Bodies are taken apart here and not by llhttp, because a gateway has to know at which byte the next message begins:
llhttp reads on into it. A chunked body is always taken apart and put together again, so that a peer never sees framing
that another peer wrote.
"""

from __future__ import annotations

import re
from typing import Protocol

from flashcore.gateway.http.errors import BadFraming

LAST_CHUNK = b"0\r\n\r\n"

_SIZE_LINE_BYTES = 512
_TRAILER_BYTES = 8_192
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|%b))?)*" % (_TOKEN, _TOKEN, _QUOTED))
_TRAILER_LINE = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*" % _TOKEN)


class BodyReader(Protocol):
    """Takes the bytes of a connection, gives back those of one body."""

    done: bool
    """The body has ended."""

    rest: bytes
    """Bytes that came after the end."""

    def feed(self, data: bytes) -> bytes:
        """The part of `data` that belongs to the body, without framing. Raises `BadFraming`."""
        ...


class LengthBody:
    """A body of a known number of bytes."""

    __slots__ = ("done", "remaining", "rest")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """All of `data` until the length is reached."""
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data
        self.done = True
        if size > self.remaining:
            self.rest = data[self.remaining :]
            data = data[: self.remaining]
        self.remaining = 0
        return data


class EndlessBody:
    """A body that ends with its connection, or the bytes of a tunnel."""

    __slots__ = ("done", "rest")

    def __init__(self) -> None:
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """All of `data`."""
        return data


class ChunkedBody:
    """A body in chunks (RFC 9112 7.1). Extensions and trailers are checked, bounded and dropped."""

    __slots__ = ("_held", "_in_trailers", "_remaining", "_trailer_bytes", "done", "rest")

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self._held = b""
        self._remaining = 0  # bytes of the chunk that is being read, its CRLF included
        self._in_trailers = False
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """The data of every chunk, or part of one, within `data`."""
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        at = 0
        while not self.done and at < len(data):
            if self._remaining:
                at = self._read_data(data, at, pieces)
            else:
                line_end = self._line_end(data, at)
                if line_end < 0:
                    break
                self._read_line(data[at:line_end])
                at = line_end + 2
        self._keep(data[at:])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _keep(self, rest: bytes) -> None:
        if self.done:
            self.rest = rest
        else:
            self._held = rest

    def _read_data(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take what there is of the current chunk; returns where to read on."""
        end = min(at + self._remaining, len(data))
        data_end = min(at + self._remaining - 2, end)
        if data_end > at:
            pieces.append(data[at:data_end])
        else:
            data_end = at
        self._remaining -= end - at
        ending = data[data_end:end]
        # What is expected of CR LF depends on how much of it is still to come.
        if ending and ending != b"\r\n"[2 - self._remaining - len(ending) : 2 - self._remaining]:
            raise BadFraming("A chunk is longer than its size says.")
        return end

    def _line_end(self, data: bytes, at: int) -> int:
        limit = _TRAILER_BYTES if self._in_trailers else _SIZE_LINE_BYTES
        end = data.find(b"\r\n", at, at + limit)
        if end < 0 and len(data) - at >= limit:
            raise BadFraming("A chunk's size line, or its trailers, are too long.")
        return end

    def _read_line(self, line: bytes) -> None:
        if self._in_trailers:
            self._read_trailer(line)
            return
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise BadFraming("A chunk's size is not a plain hexadecimal number.")
        size = int(match[1], 16)
        if size:
            self._remaining = size + 2
        else:
            self._in_trailers = True

    def _read_trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailer_bytes += len(line) + 2
        if self._trailer_bytes > _TRAILER_BYTES or _TRAILER_LINE.fullmatch(line) is None:
            raise BadFraming("A trailer is malformed, or there are too many.")


def encode_chunk(data: bytes) -> bytes:
    """One chunk; `data` must not be empty, because an empty chunk is the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)
