"""Messages whose head is longer than a frame may have: their text goes in parts, each of them an ordinary frame.

A routing table of 100,000 replicas is such a message, and one endpoint may have them all, so that the cut is in the
text and not between routes. Parts of one message follow each other; what was received is held until the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flashcore.model.errors import ProtocolError
from flashcore.model.job import Payload
from flashcore.wire.frames import Frame, encode_frame, encode_head, parse_head
from flashcore.wire.messages import Kind, Message, Part, from_frame, to_frame

_MEDIA = "application/json"


@dataclass(frozen=True, slots=True)
class PartLimits:
    """Sizes in bytes."""

    whole: int = 16 << 20
    """Up to here a head goes as it is: what FrameLimits lets through."""
    part: int = 1 << 20
    all: int = 256 << 20
    """The longest message, which is what a receiver holds at most: some two million replicas."""


class TooLong(ProtocolError):
    """A message that is longer than the peer takes."""

    code = "message_too_long"


def encode(message: Message, limits: PartLimits, *, in_parts: bool) -> Iterator[bytes]:
    """The bytes of a message without buffers. Raises TooLong; `in_parts` False is for a peer that knows no parts."""
    frame = to_frame(message)
    text = encode_head(frame.head)
    longest = limits.all if in_parts else limits.whole
    if len(text) > longest:
        raise TooLong(
            f"it is {len(text) >> 20} MB long, and the gateway takes {longest >> 20} MB",
            next_step="spread the replicas over several environments" if in_parts else "restart the gateway",
        )
    if len(text) <= limits.whole:
        return iter((encode_frame(frame, text),))
    return _parts(frame.kind, text, limits.part)


def _parts(kind: int, text: bytes, size: int) -> Iterator[bytes]:
    view = memoryview(text)
    for start in range(0, len(text), size):
        piece = Payload(view[start : start + size], _MEDIA)
        yield encode_frame(to_frame(Part(kind, piece, last=start + size >= len(text))))


class Parts:
    """Puts the messages of one connection together again; `kinds` are those that may come in parts."""

    def __init__(self, kinds: frozenset[Kind], limits: PartLimits | None = None) -> None:
        self._kinds = kinds
        self._limits = limits or PartLimits()
        self._kind: int | None = None
        self._text = bytearray()

    def take(self, part: Part) -> Message | None:
        """The message that this part was the last of. Raises ProtocolError; the connection is then of no more use."""
        if part.of not in self._kinds or self._kind not in (None, part.of):
            raise ProtocolError(f"a part of a message of kind {part.of} is out of place")
        if len(self._text) + len(part.piece.data) > self._limits.all:
            raise TooLong(f"a message in parts is over the limit of {self._limits.all} bytes")
        self._kind = part.of
        self._text += part.piece.data
        if not part.last:
            return None
        text, self._text, self._kind = self._text, bytearray(), None
        return from_frame(Frame(part.of, parse_head(text)))
