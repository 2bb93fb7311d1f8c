"""Memory for large messages: what a socket writes into, and arrays then lie in."""

from __future__ import annotations

import mmap

_LARGE = 4 << 20


def memory_for(size: int) -> memoryview:
    """So many writable bytes.

    Large ones are asked of the kernel in huge pages where it has them: filling 100 MB of ordinary ones takes longer
    than sending the bytes does, most of it spent in 25,000 page faults.
    """
    if size < _LARGE:
        return memoryview(bytearray(size))
    # Shared memory, which is Python's default, has no huge pages.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:  # a kernel that was built without them
            return memoryview(bytearray(size))
    return memoryview(memory)
