"""Frames: one JSON head and any number of raw buffers, with lengths in front.

prelude  16 bytes, big-endian: magic "FC", kind u8, flags u8 (0), buffers u16, reserved u16, head length u32, u32
lengths  u64 for each buffer
head     UTF-8 JSON object
buffers  raw bytes, one after the other: payloads travel unparsed and without base64
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from flashcore.model.errors import ProtocolError
from flashcore.model.light import light
from flashcore.wire.compact import compact_encoder

_PRELUDE = struct.Struct(">2sBBHHII")
_LENGTH = struct.Struct(">Q")
_PRELUDE_OF_ONE = struct.Struct(">2sBBHHIIQ")
"""Prelude and length of a frame with one buffer, as most have."""

_MAGIC = b"FC"

# `json.dumps` and `json.loads` make or look for these anew each time, which takes as long as a small head does.
_encode = compact_encoder()
_decoder = json.JSONDecoder()


ReadHead: TypeAlias = Callable[[bytes | bytearray | memoryview], Mapping[str, Any]]
"""Reads a head. Raises ProtocolError."""


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """What a peer may send; more is a ProtocolError before anything is allocated. Sizes in bytes."""

    head: int = 16 << 20
    buffers: int = 4096
    body: int = 4 << 30


@light
class Frame:
    """One message: `kind` says which, `head` holds its fields, `buffers` its payloads."""

    kind: int
    head: Mapping[str, Any] = field(default_factory=dict)
    buffers: tuple[bytes | memoryview, ...] = ()


def encode_head(head: Mapping[str, Any]) -> bytes:
    """The JSON of a head. Raises ValueError for one that is not JSON."""
    return _encode(head).encode()


def encode_frame(frame: Frame, head: bytes | None = None) -> bytes:
    """The frame's bytes; `head` is its head where that is encoded already. Raises ValueError as `encode_head`."""
    if len(frame.buffers) != 1:
        return b"".join(frame_pieces(frame, head))
    head, buffer = encode_head(frame.head) if head is None else head, frame.buffers[0]
    return b"".join((_PRELUDE_OF_ONE.pack(_MAGIC, frame.kind, 0, 1, 0, len(head), 0, len(buffer)), head, buffer))


def frame_pieces(frame: Frame, head: bytes | None = None) -> tuple[bytes | memoryview, ...]:
    """The frame's bytes as what comes before its buffers, then each of them. Raises ValueError as `encode_head`."""
    head = encode_head(frame.head) if head is None else head
    prelude = _PRELUDE.pack(_MAGIC, frame.kind, 0, len(frame.buffers), 0, len(head), 0)
    lengths = struct.pack(f">{len(frame.buffers)}Q", *map(len, frame.buffers))
    return (b"".join((prelude, lengths, head)), *frame.buffers)


def split_frame(
    data: bytes | bytearray | memoryview, read_head: ReadHead | None = None
) -> tuple[Frame, tuple[memoryview, ...]]:
    """The only frame in `data`, without its buffers, and views of those. Raises ProtocolError."""
    view = memoryview(data)
    if len(view) < _PRELUDE.size:
        raise ProtocolError("the answer is no frame: it is too short")
    magic, kind, _, count, _, head_length, _ = _PRELUDE.unpack_from(view)
    start = _PRELUDE.size + count * _LENGTH.size
    if magic != _MAGIC or len(view) < start + head_length:
        raise ProtocolError("the answer is no frame: it begins otherwise, or was cut off")
    lengths = _lengths_in(view, count)
    offset = start + head_length
    if len(view) != offset + sum(lengths):
        raise ProtocolError("the answer is no frame: its parts do not add up")
    head = (read_head or parse_head)(view[start:offset])
    buffers = []
    for length in lengths:
        buffers.append(view[offset : offset + length])
        offset += length
    return Frame(kind, head), tuple(buffers)


class FrameDecoder:
    """Turns a stream of bytes into frames, however it is cut up."""

    def __init__(self, limits: FrameLimits | None = None, read_head: ReadHead | None = None) -> None:
        self._limits = limits or FrameLimits()
        self._read_head = read_head or parse_head
        self._data = bytearray()
        self._needed = _PRELUDE.size

    def feed(self, data: bytes | memoryview) -> Iterator[Frame]:
        """Yield the frames that are complete now. Raises ProtocolError; the connection is then of no more use."""
        if not self._data:
            frame, data = self._first(data)
            if frame is not None:
                self._data += data
                yield frame
                data = b""
        self._data += data
        while len(self._data) >= self._needed:
            frame = self._next()
            if frame is None:
                return
            yield frame

    @property
    def pending(self) -> int:
        """Bytes received of a frame that is not complete; not 0 at the end of a stream means it was cut off."""
        return len(self._data)

    @property
    def missing(self) -> int:
        """Bytes that have to come before anything more can be made of them."""
        return self._needed - len(self._data)

    def take_pending(self) -> bytes:
        """Give up what was received of a frame that is not complete: somebody else reads it from its start."""
        held = bytes(self._data)
        self._data.clear()
        self._needed = _PRELUDE.size
        return held

    def _first(self, data: bytes | memoryview) -> tuple[Frame | None, bytes | memoryview]:
        """The frame that `data` begins with, read where it is, and the rest; None where it is cut off, or wrong."""
        if len(data) < _PRELUDE.size:
            return None, data
        magic, kind, flags, count, reserved, head_length, tail = _PRELUDE.unpack_from(data)
        start = _PRELUDE.size + count * _LENGTH.size
        if magic != _MAGIC or flags or reserved or tail or start > len(data):
            return None, data
        if head_length > self._limits.head or count > self._limits.buffers:
            return None, data
        lengths = _lengths_in(data, count)
        middle, body = start + head_length, sum(lengths)
        end = middle + body
        if end > len(data) or body > self._limits.body:
            return None, data
        buffers = _cut(data, middle, lengths)
        return Frame(kind, self._read_head(data[start:middle]), buffers), data[end:]

    def _next(self) -> Frame | None:
        magic, kind, flags, count, reserved, head_length, tail = _PRELUDE.unpack_from(self._data)
        if magic != _MAGIC or flags or reserved or tail:
            raise ProtocolError("the peer does not speak flashcore's protocol", next_step="check the address")
        if head_length > self._limits.head or count > self._limits.buffers:
            raise ProtocolError(f"a frame with a head of {head_length} bytes and {count} buffers is over the limit")
        lengths_end = _PRELUDE.size + count * _LENGTH.size
        if len(self._data) < lengths_end:
            self._needed = lengths_end
            return None
        lengths = _lengths_in(self._data, count)
        if sum(lengths) > self._limits.body:
            raise ProtocolError(f"a frame of {sum(lengths)} bytes is over the limit of {self._limits.body}")
        total = lengths_end + head_length + sum(lengths)
        if len(self._data) < total:
            self._needed = total
            return None
        middle = lengths_end + head_length
        with memoryview(self._data) as view:
            frame = Frame(kind, self._read_head(view[lengths_end:middle]), _cut(view, middle, lengths))
        del self._data[:total]
        self._needed = _PRELUDE.size
        return frame


def _lengths_in(data: bytes | bytearray | memoryview, count: int) -> tuple[int, ...]:
    """The lengths that follow a prelude."""
    if count == 1:
        return _LENGTH.unpack_from(data, _PRELUDE.size)
    return struct.unpack_from(f">{count}Q", data, _PRELUDE.size)


def _cut(data: bytes | memoryview, at: int, lengths: tuple[int, ...]) -> tuple[bytes, ...]:
    """Buffers of these lengths, one after the other."""
    buffers = []
    for length in lengths:
        end = at + length
        buffers.append(bytes(data[at:end]))
        at = end
    return tuple(buffers)


def parse_head(data: bytes | bytearray | memoryview) -> Mapping[str, Any]:
    """The head that this is the JSON of. Raises ProtocolError."""
    try:
        text = str(data, "utf-8")
        # What peers of ours write has nothing before or behind it, which it would take a while to look for.
        head, end = _decoder.raw_decode(text) if text[:1] == "{" else (None, -1)
        if end != len(text):
            head = _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the head of a frame is not JSON: {error}") from error
    if not isinstance(head, dict):
        raise ProtocolError("the head of a frame is not a JSON object")
    return head


def parse_text_head(data: bytes | bytearray | memoryview) -> Mapping[str, Any]:
    """As `parse_head`, where nothing is half of a surrogate pair: JSON can write that, and no log or frame holds it.

    Raises ProtocolError.
    """
    head = parse_head(data)
    text = str(data, "utf-8")
    if "\\ud" in text or "\\uD" in text:  # nobody of ours escapes a character that is one
        try:
            encode_head(head)
        except UnicodeEncodeError as error:
            raise ProtocolError("the head of a frame has half of a surrogate pair, which is no text") from error
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"the head of a frame is not JSON: {error}") from error
    return head
