"""A file whose writes are on disk when they return."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

BLOCK = 4096
"""Every write begins at a multiple of so many bytes."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_NOT_DIRECT = frozenset({errno.EINVAL, errno.EOPNOTSUPP})

_sync = getattr(os, "fdatasync", os.fsync)


class NotWhole(OSError):
    """There was no room: at most a beginning of it was written."""


class SyncedFile:
    """The file at a path. Raises OSError.

    Where the system has direct writes they pass its cache by, which spares a copy and takes one turn of the disk, not
    two. They are of whole blocks, from memory that is aligned.
    """

    def __init__(self, path: Path, most: int) -> None:
        """Open or create it, for its owner alone; a write has at most so many bytes."""
        self._most = most
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._direct = self._open_direct(path)
        # Takes memory where it was written to, only.
        self._memory = mmap.mmap(-1, -(-most // BLOCK) * BLOCK)
        self._blocks = memoryview(self._memory)

    def read(self) -> bytes:
        """All of it."""
        return os.pread(self._file, os.fstat(self._file).st_size, 0)

    def write(self, data: bytes, place: int) -> None:
        """Write there; what follows up to the next block is undefined. Raises NotWhole and OSError."""
        if self._direct is not None:
            try:
                self._write_blocks(data, place, self._direct)
            except OSError as problem:
                if problem.errno not in _NOT_DIRECT:
                    raise
                os.close(self._direct)  # a file system that does not know of it
                self._direct = None
            else:
                return
        _write_all(self._file, data, place)
        _sync(self._file)

    def fill(self, size: int) -> None:
        """Have it be of so many bytes, zeros where nothing was written; as it was where there is no room for them."""
        before = os.fstat(self._file).st_size
        if before < size:
            try:
                _write_all(self._file, bytes(size - before), before)
            except NotWhole:
                os.ftruncate(self._file, before)
        os.fsync(self._file)

    def close(self) -> None:
        """Let go of it. Idempotent."""
        file, self._file = self._file, -1
        direct, self._direct = self._direct, None
        for one in (file, direct):
            if one is not None and one >= 0:
                os.close(one)

    def _write_blocks(self, data: bytes, place: int, direct: int) -> None:
        size = -(-len(data) // BLOCK) * BLOCK
        self._memory[: len(data)] = data
        _write_all(direct, self._blocks[:size], place, least=len(data))  # the rest of its last block is nobody's

    @staticmethod
    def _open_direct(path: Path) -> int | None:
        if not hasattr(os, "O_DIRECT"):
            return None
        try:
            return os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC | os.O_CLOEXEC)
        except OSError:
            return None


def _write_all(file: int, data: bytes | memoryview, place: int, least: int | None = None) -> None:
    try:
        written = os.pwrite(file, data, place)
    except OSError as problem:
        if problem.errno in _NO_ROOM:
            raise NotWhole(problem.errno, problem.strerror) from problem
        raise
    if written < (len(data) if least is None else least):
        raise NotWhole(errno.ENOSPC, os.strerror(errno.ENOSPC))
