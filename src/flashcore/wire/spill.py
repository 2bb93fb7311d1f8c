"""Bytes that are too many for memory: written to a file as they come, then read through a view of that file.

A view is as good as bytes wherever bytes are only read, and costs no memory: the pages belong to the file, and the
kernel takes them back when it needs them.
"""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path

SPILLED_FROM = 1 << 20
"""What is longer than so many bytes is worth a file."""


class Spill:
    """Bytes on their way into a file that has no name: it is gone with the last view of it, however this process ends.

    Everything here raises OSError where the disk is full, or where no file may be opened.
    """

    def __init__(self, folder: Path) -> None:
        # Without a buffer: after a failure it is known what is in the file.
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed when it has been read
        self.size = 0
        """Bytes that were added."""

    def append(self, data: bytes | bytearray) -> None:
        """Add bytes at the end: all of them, or none that anybody sees."""
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self.size += len(data)

    def view(self) -> memoryview:
        """What was added, which was not nothing. No more can be."""
        view = view_of(self._file.fileno())
        self._file.close()
        return view

    def take_back(self) -> bytearray:
        """What was added, in memory: for who would rather have it there than not at all."""
        with self._file as file:
            file.seek(0)
            return bytearray(file.read(self.size))

    def close(self) -> None:
        """Nobody wants it."""
        self._file.close()


def view_of(descriptor: int) -> memoryview:
    """The whole content of a file that is not empty and never changes; the file may be closed. Raises OSError."""
    return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
