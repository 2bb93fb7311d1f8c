"""The journal: what was promised and is not in the tables yet, in a file of its own beside the database.

    head | half | half

A record is on disk when `append` returns. Records follow each other in one half, each from the next block on, so that
no write touches an earlier one; when the half is full the other one is begun anew, once the tables have all that it
had, on disk. So the file keeps its size: to sync what makes it grow would take more than twice as long.

Why not in the database: a database has one writer at a time, and that is its thread. The event loop promises what
comes next here while the tables get what was promised before.

The database names the life of the journal that belongs to it: a random number, made whenever the store is opened. It
names none while all is in the tables. A journal of another life is not looked at.
"""

from __future__ import annotations

import contextlib
import struct
import time
import zlib
from collections.abc import Generator
from pathlib import Path

from flashcore.builtin.sqlite.faults import disk_fault
from flashcore.builtin.sqlite.jobs.records import Unreadable
from flashcore.builtin.sqlite.jobs.synced import BLOCK, NotWhole, SyncedFile, sync_folder

HALF = 4 << 20
"""Bytes of a half: the changes of some thousand jobs."""

LIFE = 8
"""Bytes of the name of a life."""

QUICK = 0.003
"""Seconds that a record may take for the event loop to wait for the next one."""

QUICK_IN_A_ROW = 8
"""Records after which a disk is believed to be quick, until the first slow one, for which the loop stands still."""

_HEAD = struct.Struct(f"<8s{LIFE}s")
"""What marks the file, and its life."""
_MARK = b"flcjrnl1"
_FIRST = BLOCK
"""Where the first half begins."""
_RECORD = struct.Struct(f"<{LIFE}sQII")
"""The life, the number of the batch, the bytes that follow, and the CRC-32 of the bytes and of what comes before it."""
_CHECKED = _RECORD.size - 4


class Journal:
    """The journal at a path, for one thread at a time. Nothing can be appended before `begin`."""

    def __init__(self, path: Path) -> None:
        """Open or create it, for its owner alone. Raises StorageFull or StateError."""
        self.path = path
        self._life = bytes(LIFE)
        self._half = 0
        self._end = 0
        """Where in the half the next record goes."""
        self._last = [0, 0]
        """The last batch in each half."""
        self._safe = 0
        """The tables have all up to this batch, and would have it after a power failure."""
        self._in_doubt = False
        """A record may be there that is said not to be."""
        self._quick_in_a_row = 0
        with self._faults():
            self._file = SyncedFile(path, HALF)

    def records(self, life: bytes) -> list[tuple[int, bytes]]:
        """Numbers and contents of all records of a life, in order. Raises Unreadable or StateError."""
        with self._faults():
            whole = self._file.read(_FIRST + 2 * HALF)
        if whole[: _HEAD.size] != _HEAD.pack(_MARK, life):
            raise Unreadable(f"{self.path.name}, which has the latest of it, is missing or not the one that was here")
        halves = (whole[_FIRST : _FIRST + HALF], whole[_FIRST + HALF :])
        return sorted(record for half in halves for record in _records_in(half, life))

    def begin(self, life: bytes) -> None:
        """Begin a life: what was there before is not looked at any more. Raises StorageFull or StateError."""
        with self._faults():
            self._file.write(_HEAD.pack(_MARK, life), 0)
            self._file.fill(_FIRST + 2 * HALF)
            sync_folder(self.path.parent)
        self._life = life

    @property
    def is_quick(self) -> bool:
        """Whether the event loop may append: the disk has been quick for a while."""
        return self._quick_in_a_row >= QUICK_IN_A_ROW

    def takes(self, size: int) -> bool:
        """Whether there is room for a record of so many bytes."""
        if self._fits(size):
            return True
        return _blocks(size) <= HALF and self._last[1 - self._half] <= self._safe

    def append(self, number: int, record: bytes) -> None:
        """Write a batch that it `takes`, on disk when this returns; numbers grow. Raises StorageFull or StateError."""
        began = time.perf_counter()
        if not self._fits(len(record)):
            self._half, self._end = 1 - self._half, 0
        head = _RECORD.pack(self._life, number, len(record), 0)[:_CHECKED]
        check = zlib.crc32(record, zlib.crc32(head))
        whole = b"".join((head, check.to_bytes(4, "little"), record))
        self._in_doubt = True
        try:
            self._file.write(whole, self._place)
        except NotWhole as problem:
            self._in_doubt = False  # what is cut off is no record
            raise disk_fault(problem, self.path) from problem
        except OSError as problem:
            raise disk_fault(problem, self.path) from problem
        self._in_doubt = False
        self._end += _blocks(len(record))
        self._last[self._half] = number
        self._quick_in_a_row = self._quick_in_a_row + 1 if time.perf_counter() - began < QUICK else 0

    def take_back(self) -> None:
        """Make sure that a record whose writing failed is not there. Raises StorageFull or StateError."""
        if self._in_doubt:
            with self._faults():
                self._file.write(bytes(_RECORD.size), self._place)
            self._in_doubt = False

    def waits_for(self, batch: int) -> bool:
        """Whether there would be room for more if the tables had all up to that batch on disk."""
        return self._safe < self._last[1 - self._half] <= batch

    def settle(self, batch: int) -> None:
        """The tables have all up to that batch on disk."""
        self._safe = max(self._safe, batch)

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        self._file.close()

    @property
    def _place(self) -> int:
        return _FIRST + self._half * HALF + self._end

    def _fits(self, size: int) -> bool:
        return self._end + _blocks(size) <= HALF

    @contextlib.contextmanager
    def _faults(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as problem:
            raise disk_fault(problem, self.path) from problem


def _blocks(size: int) -> int:
    """The bytes that a record of so many takes."""
    return -(-(_RECORD.size + size) // BLOCK) * BLOCK


def _records_in(half: bytes, life: bytes) -> list[tuple[int, bytes]]:
    """The records from the beginning of a half on. Raises Unreadable for one that is followed by a later one."""
    records: list[tuple[int, bytes]] = []
    at, last = 0, 0
    while (found := _record_at(half, at, life, last)) is not None:
        last, record = found
        records.append(found)
        at += _blocks(len(record))
    if _RECORD.size <= len(half) - at:
        found_life, number, size, _ = _RECORD.unpack_from(half, at)
        # What a crash cuts off is the last one.
        if found_life == life and number > last and _record_at(half, at + _blocks(size), life, number):
            raise Unreadable(f"record {number} of its journal was changed")
    return records


def _record_at(half: bytes, at: int, life: bytes, last: int) -> tuple[int, bytes] | None:
    """The record there, if there is one that is later than the last."""
    if _RECORD.size > len(half) - at:
        return None
    found, number, size, check = _RECORD.unpack_from(half, at)
    if found != life or number <= last or size > len(half) - at - _RECORD.size:
        return None
    record = half[at + _RECORD.size : at + _RECORD.size + size]
    head = half[at : at + _CHECKED]
    return (number, record) if zlib.crc32(record, zlib.crc32(head)) == check else None
