"""Memory for the pieces of bodies on their way: kept for the next piece, not given back to the system each time."""

from __future__ import annotations

import ctypes
import sys

LARGEST = 1 << 20
"""Bytes of the largest piece that is kept: several times what is read at once."""
KEPT = 4 << 20
"""Bytes that may lie idle."""

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""As glibc's malloc.h has them."""


def keep_buffers() -> None:
    """Tell this process' allocator. Where that is not glibc's nothing is told, and all goes well but more slowly.

    By itself it asks the system for each piece of 128 KiB or more, and gives it back after use; the pages of the next
    piece are then made anew, and filled with zeros. Of a chunked body that costs more than everything else together.
    """
    if sys.platform != "linux":
        return
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    if tell is not None:
        tell(_M_MMAP_THRESHOLD, LARGEST)
        tell(_M_TRIM_THRESHOLD, KEPT)
