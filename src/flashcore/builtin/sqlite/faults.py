"""What SQLite and the disk say, in our words."""

from __future__ import annotations

import errno
import sqlite3
import tempfile
from pathlib import Path

from flashcore.model.errors import FlashcoreError, StateCorrupt, StateError, StorageFull

_FULL = frozenset(
    {
        *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE),
        *(sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP),
    }
)
"""A write that did not fit. A quota and a limit on the size of files show themselves as failed writes; where there is
no room at all, the file of shared memory that even a reader needs cannot be made."""
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What a process runs short of, and has again a moment later."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def fault(problem: sqlite3.Error, path: Path) -> FlashcoreError:
    """The error to raise for what SQLite said about the database at `path`."""
    code = getattr(problem, "sqlite_errorcode", 0)
    if code in _FULL:
        return _unwritten(path)
    if code & 0xFF in _DAMAGED:
        return damaged(path, str(problem))
    return StateError(
        f"{path} cannot be used: {problem}",
        next_step="see that the disk is well, that the file is writable and that nothing else has it open",
        path=str(path),
    )


def _unwritten(path: Path) -> FlashcoreError:
    """The error to raise for a write that failed. SQLite tells a disk that went read-only as it tells a full one."""
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as problem:
        return disk_fault(problem, path)
    return storage_full(path)


def refused(problem: sqlite3.Error, path: Path) -> FlashcoreError:
    """The error to raise when the database at `path` cannot be looked through: it is to blame unless the disk is."""
    if getattr(problem, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR:
        return fault(problem, path)
    return damaged(path, str(problem))


def garbled(path: Path) -> FlashcoreError:
    """The error to raise when SQLite names what is damaged, and the name itself is: Python's module cannot tell it."""
    return damaged(path, "its schema is malformed, and has names that are no text")


def disk_fault(problem: OSError, path: Path) -> FlashcoreError:
    """The error to raise for what the disk said about the file at `path`."""
    if problem.errno in _NO_ROOM:
        return storage_full(path)
    return StateError(
        f"{path} cannot be written: {problem.strerror}",
        next_step="see that the disk is well and the folder writable for this user",
        path=str(path),
    )


def unreadable(problem: OSError, path: Path) -> StateError:
    """The error to raise when a file cannot be opened: it is lost, unless this process is short of means."""
    if problem.errno not in _SHORTAGE:
        return damaged(path, str(problem.strerror or problem))
    return StateError(
        f"{path} cannot be opened now: {problem.strerror}",
        next_step="try again; raise this process's limits (ulimit -n, memory) if it goes on",
        path=str(path),
    )


def storage_full(path: Path) -> StorageFull:
    """There is no room for it."""
    return StorageFull(
        f"there is no room to write {path}: the disk or a quota is full; nothing was half-written",
        next_step="make room and try again, the store goes on by itself",
        path=str(path),
    )


def damaged(path: Path, reason: str) -> StateCorrupt:
    """What is there cannot be trusted."""
    return StateCorrupt(
        f"{path} cannot be read: {reason}; it was left as it is",
        next_step=f"put a backup in its place, or move {path.name} and its -wal away to begin with nothing",
        path=str(path),
    )
