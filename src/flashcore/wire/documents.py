"""Jobs as flashcore's own clients ask for them: the status document as JSON, and outputs beside it as they are.

One frame: its head is the document, each buffer one payload. `outputs` in the head has their media types, in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flashcore.model.job import Payload
from flashcore.wire.compact import json_text
from flashcore.wire.frames import Frame, frame_pieces, split_frame
from flashcore.wire.seal import Bytes

MEDIA = "application/vnd.flashcore.job"
"""The content type of such a document; a client that can read it says so in its Accept header."""

KIND = 40
"""Of the frame; it is none of the messages."""

_PRELUDE, _LENGTH = 16, 8
"""Bytes of a frame that come before its head, and those for each buffer."""

_ALIGNMENT = 16
_END = b'"}'


def encode_document(opened: str, outputs: Sequence[Payload]) -> bytes:
    """The frame of a document, which is given as its JSON without the brace at its end.

    The first output begins at a multiple of 16, so that arrays in it lie where processors like them.
    """
    return b"".join(document_pieces(opened, outputs))


def document_pieces(opened: str, outputs: Sequence[Payload]) -> tuple[bytes | memoryview, ...]:
    """The same frame as what comes before the outputs, then each of them."""
    media = ",".join([json_text(payload.media) for payload in outputs])
    head = f'{opened},"outputs":[{media}],"":"'.encode()
    before = _PRELUDE + len(outputs) * _LENGTH + len(head) + len(_END)
    padded = b"".join((head, b" " * (-before % _ALIGNMENT), _END))
    return frame_pieces(Frame(KIND, buffers=tuple([payload.data for payload in outputs])), padded)


def decode_document(data: Bytes) -> tuple[Mapping[str, Any], tuple[tuple[str, memoryview], ...]]:
    """The document, and media type and bytes of each output. Raises ProtocolError."""
    frame, buffers = split_frame(data)
    document = {name: value for name, value in frame.head.items() if name not in ("", "outputs")}
    return document, tuple(zip(map(str, frame.head.get("outputs", ())), buffers, strict=False))
