"""Memory for large messages: what a socket writes into, and arrays then lie in."""

from __future__ import annotations

import mmap

_LARGE = 4 << 20


def memory_for(size: int) -> memoryview:
    """So many writable bytes.

    Large ones come straight from the kernel: a bytearray would be filled with zeros first, which takes as long as
    filling it with what is received.
    """
    if size < _LARGE:
        return memoryview(bytearray(size))
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
