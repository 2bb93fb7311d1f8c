"""Jobs as flashcore's own clients ask for them: the status document as JSON, and outputs beside it as they are.

One frame: its head is the document, each buffer one payload. `outputs` in the head has their media types, in order.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from flashcore.model.job import Payload
from flashcore.wire.frames import Frame, frame_pieces, split_frame
from flashcore.wire.seal import Bytes

MEDIA = "application/vnd.flashcore.job"
"""The content type of such a document; a client that can read it says so in its Accept header."""

KIND = 40
"""Of the frame; it is none of the messages."""

_ALIGNMENT = 16


def encode_document(document: Mapping[str, Any], outputs: Sequence[Payload]) -> bytes:
    """The frame. The first output begins at a multiple of 16, so that arrays in it lie where processors like them."""
    return b"".join(document_pieces(document, outputs))


def document_pieces(document: Mapping[str, Any], outputs: Sequence[Payload]) -> tuple[bytes | memoryview, ...]:
    """The same frame as what comes before the outputs, then each of them."""
    head = {**document, "outputs": [payload.media for payload in outputs]}
    buffers = tuple(payload.data for payload in outputs)
    return frame_pieces(Frame(KIND, {**head, "": " " * _gap(head, len(buffers))}, buffers))


def decode_document(data: Bytes) -> tuple[Mapping[str, Any], tuple[tuple[str, memoryview], ...]]:
    """The document, and media type and bytes of each output. Raises ProtocolError."""
    frame, buffers = split_frame(data)
    document = {name: value for name, value in frame.head.items() if name not in ("", "outputs")}
    return document, tuple(zip(map(str, frame.head.get("outputs", ())), buffers, strict=False))


def _gap(head: Mapping[str, Any], count: int) -> int:
    written = json.dumps({**head, "": ""}, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return -(16 + count * struct.calcsize(">Q") + len(written.encode())) % _ALIGNMENT
