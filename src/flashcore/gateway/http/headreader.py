"""Finding the end of a head in bytes that come in any pieces."""

from __future__ import annotations

END = b"\r\n\r\n"
"""Of every head."""


class HeadReader:
    """Holds what has come of one head until all of it is there. Bytes after it are left in `rest`."""

    __slots__ = ("_held", "rest", "size")

    def __init__(self) -> None:
        self._held = bytearray()
        self.size = 0
        """How many bytes of an unfinished head are held."""
        self.rest = b""

    def feed(self, data: bytes) -> bytes | None:
        """The head, blank line included, once it is complete."""
        if self.size:
            return self._feed_held(data)
        at = data.find(END)
        if at < 0:
            self._held = bytearray(data)
            self.size = len(data)
            return None
        end = at + 4
        if end == len(data):
            self.rest = b""
            return data
        self.rest = data[end:]
        return data[:end]

    def _feed_held(self, data: bytes) -> bytes | None:
        held = self._held
        seen = max(0, len(held) - 3)
        held += data
        at = held.find(END, seen)
        if at < 0:
            self.size = len(held)
            return None
        end = at + 4
        self._held = bytearray()
        self.size = 0
        self.rest = bytes(held[end:])
        return bytes(held[:end])
