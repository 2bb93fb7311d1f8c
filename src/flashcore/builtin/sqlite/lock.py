"""A file lock that a process holds for as long as it lives: whoever has it owns the store beside it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from flashcore.model.errors import Refused


class FileLock:
    """An exclusive lock on `FILE.lock`; the kernel lets go of it when the process ends, however it ends.

    The file stays: removing it would let two processes lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises Refused, naming the holder."""
        self._descriptor = os.open(_beside(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise _owned(path, holder) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one have it. Once only."""
        os.close(self._descriptor)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _owned(path: Path, holder: str) -> Refused:
    who = f"process {holder}" if holder else "another process"
    return Refused(
        f"{path} is in use by {who}",
        next_step=f"use the server that is running, or stop {who} first",
        path=str(path),
        holder=int(holder) if holder.isdigit() else None,
    )
