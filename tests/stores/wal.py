"""SQLite's write-ahead log as it lies on disk: it has room beyond what was written, and may hold what was before."""

from __future__ import annotations

import struct
from pathlib import Path

_HEAD = struct.Struct(">8xI4x8s8x")
"""The size of pages, and what marks the frames that are of this round of the log."""
_FRAME = struct.Struct(">I4x8s8x")
"""The number of a page, 0 in what was never written, and the mark."""


def used(log: Path) -> int:
    """Bytes of the log up to the end of its last frame."""
    data = log.read_bytes()
    if len(data) < _HEAD.size:
        return 0
    page, mark = _HEAD.unpack_from(data)
    at = _HEAD.size
    while at + _FRAME.size <= len(data):
        number, found = _FRAME.unpack_from(data, at)
        if not number or found != mark:
            break
        at += _FRAME.size + page
    return at
