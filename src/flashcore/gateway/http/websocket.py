"""As much of the WebSocket protocol (RFC 6455) as it takes to close one that somebody else speaks."""

from __future__ import annotations

import struct

RESTARTING = 1012
"""The status of a close that says: come again (IANA's registry of them). Replicas that drain say the same."""

POLICY_VIOLATION = 1008
"""The status of a close that says: you may not (RFC 6455 7.4.1)."""

_LONGEST_REASON = 123
_CLOSE = 0x88
_LENGTH_BITS = 0x7F
_MASKED = 0x80


class FrameEnds:
    """Follows a stream of frames from its start, header by header: only between two of them another one may be sent."""

    __slots__ = ("_begun", "_is_closed", "_left")

    def __init__(self, data: bytes = b"") -> None:
        self._begun = b""
        """A header that is not complete."""
        self._left = 0
        """Bytes of the present frame that are to come."""
        self._is_closed = False
        self.feed(data)

    @property
    def is_between(self) -> bool:
        """Whether the last frame is complete, and was not the one that closes: after that nothing may come."""
        return not (self._left or self._begun or self._is_closed)

    def feed(self, data: bytes) -> None:
        """These bytes were sent."""
        if self._begun:
            data, self._begun = self._begun + data, b""
        at, size = self._left, len(data)
        while at < size:
            length = _frame_length(data, at)
            if length is None:
                self._begun, at = data[at:], size
                break
            self._is_closed = self._is_closed or data[at] & 0x0F == _CLOSE & 0x0F
            at += length
        self._left = at - size


def _frame_length(data: bytes, at: int) -> int | None:
    """Bytes of the frame that begins there, its header included; None where not all of the header is there."""
    head = data[at : at + 10]
    if len(head) < 2:
        return None
    length, size = head[1] & _LENGTH_BITS, 2
    if length >= 126:
        size = 4 if length == 126 else 10
        if len(head) < size:
            return None
        length = int.from_bytes(head[2:size], "big")
    return size + (4 if head[1] & _MASKED else 0) + length


def close_frame(status: int, reason: str) -> bytes:
    """What a server sends as its last frame."""
    payload = struct.pack("!H", status) + reason.encode()[:_LONGEST_REASON]
    return bytes((_CLOSE, len(payload))) + payload
