"""A request as its replica is sent it, kept line by line with its head: of the next one like it a few lines differ."""

from __future__ import annotations

from collections.abc import Collection

_LENGTH = b"content-length"


class Outline:
    """The lines of one head that are sent on, all but those that are new in each request.

    `names` are those of the client's headers among the lines, in their order, right behind the first line. The line of
    a length, where the request has a body of a known one, stands behind those.
    """

    __slots__ = ("_asked", "_block", "_lines", "_names", "_places", "added", "traced")

    def __init__(self, added: frozenset[bytes], names: Collection[bytes], lines: list[bytes], *, traced: bool) -> None:
        self.added = added
        """Names that the client's headers were left out for."""
        self.traced = traced
        """Whether the client's request is part of a trace, whose lines then are among these."""
        self._names = names
        self._lines = [b"", *lines]
        self._places: dict[bytes, int] = {}
        self._asked: tuple[bytes, bytes] | None = None
        self._block = b""

    def replace(self, name: bytes, line: bytes) -> None:
        """The client has sent another line of that name; where such lines are not sent on, nothing changes."""
        places = self._places
        if not places:
            places.update(zip(self._names, range(1, len(self._names) + 1), strict=True))
            places[_LENGTH] = len(self._names) + 1
        place = places.get(name)
        if place is not None:
            self._lines[place] = line
            self._asked = None

    def block(self, method: bytes, target: bytes) -> bytes:
        """The request line for this target and all lines, the end of the last one left out."""
        asked = self._asked
        if asked is None or asked[1] != target or asked[0] != method:
            self._asked = (method, target)
            self._lines[0] = method + b" " + target + b" HTTP/1.1"
            self._block = b"\r\n".join(self._lines)
        return self._block
