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
from typing import NamedTuple

from flashcore.builtin.local.folder import sync_folder
from flashcore.builtin.sqlite.faults import disk_fault
from flashcore.builtin.sqlite.jobs.records import Unreadable
from flashcore.builtin.sqlite.jobs.synced import BLOCK, NotWhole, SyncedFile
from flashcore.model.errors import FlashcoreError

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
_RECORD = struct.Struct(f"<{LIFE}sQQI")
"""The life, the number of the batch, that of the record before, and how many bytes of content follow."""
_CHECK = struct.Struct("<I")
"""The CRC-32 of all that. It comes last, so that what is cut off is no record, whatever was there before."""


class Journal:
    """The journal at a path, for one thread at a time. Nothing can be appended before `begin`."""

    def __init__(self, path: Path) -> None:
        """Open or create it, for its owner alone. Raises StorageFull or StateError."""
        self.path = path
        self._life = bytes(LIFE)
        self._tail = _Tail()
        self._before = self._tail
        """The tail before the record that was begun last."""
        self._safe = 0
        """The tables have all up to this batch, and would have it after a power failure."""
        self._quick_in_a_row = 0
        with self._faults():
            self._file = SyncedFile(path, HALF)

    def records(self, life: bytes, applied: int) -> list[tuple[int, bytes]]:
        """Numbers and contents of all records of a life beyond a batch, in order.

        Raises Unreadable where one is missing before the last, and StateError.
        """
        with self._faults():
            whole = self._file.read()
        if whole[: _HEAD.size] != _HEAD.pack(_MARK, life):
            raise Unreadable(f"{self.path.name}, which has the latest of it, is missing or not the one that was here")
        found = [_record_at(whole, at, life) for at in range(_FIRST, len(whole), BLOCK)]
        # Of a half that was begun anew, the tables have what is left of before.
        records = sorted(record for record in found if record is not None and record.number > applied)
        last = applied
        for record in records:
            if record.before > last:
                raise Unreadable(f"record {record.before} of its journal was changed")
            last = record.number
        return [(record.number, record.content) for record in records]

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
        size = _blocks(size)
        return self._tail.end + size <= HALF or (size <= HALF and self._tail.last_of_other <= self._safe)

    def append(self, number: int, record: bytes) -> None:
        """Write a batch that it `takes`, on disk when this returns; numbers grow. Raises StorageFull or StateError.

        What was written nevertheless is taken back before it raises, if the disk lets it: see `take_back`.
        """
        began = time.perf_counter()
        size = _blocks(len(record))
        tail = self._tail if self._tail.end + size <= HALF else self._tail.turned()
        head = _RECORD.pack(self._life, number, self._tail.last, len(record))
        whole = b"".join((head, record, _CHECK.pack(zlib.crc32(record, zlib.crc32(head)))))
        self._before = tail
        self._tail = tail.followed_by(number, size)  # said first: whatever happens now, it can be taken back
        try:
            self._file.write(whole, tail.place)
        except NotWhole as problem:
            self._tail = self._before
            raise disk_fault(problem, self.path) from problem
        except OSError as problem:
            with contextlib.suppress(FlashcoreError):  # whoever asked hears of the first trouble
                self.take_back(self._before.last)
            raise disk_fault(problem, self.path) from problem
        self._quick_in_a_row = self._quick_in_a_row + 1 if time.perf_counter() - began < QUICK else 0

    def take_back(self, promised: int) -> None:
        """Make sure that a record beyond that batch, the last one, is not there. Raises StorageFull or StateError."""
        if self._tail.last > promised:
            with self._faults():
                self._file.write(bytes(_RECORD.size), self._before.place)
            self._tail = self._before

    def waits_for(self, batch: int) -> bool:
        """Whether there would be room for more if the tables had all up to that batch on disk."""
        return self._safe < self._tail.last_of_other <= batch

    def settle(self, batch: int) -> None:
        """The tables have all up to that batch on disk."""
        self._safe = max(self._safe, batch)

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        self._file.close()

    @contextlib.contextmanager
    def _faults(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as problem:
            raise disk_fault(problem, self.path) from problem


class _Tail(NamedTuple):
    """Where the next record goes, and the last batches in this half and in the other one."""

    half: int = 0
    end: int = 0
    last: int = 0
    last_of_other: int = 0

    @property
    def place(self) -> int:
        """In bytes from the beginning of the file."""
        return _FIRST + self.half * HALF + self.end

    def turned(self) -> _Tail:
        """At the beginning of the other half; the last batch of it is forgotten."""
        return _Tail(1 - self.half, 0, self.last, self.last)

    def followed_by(self, number: int, size: int) -> _Tail:
        """Behind a record."""
        return _Tail(self.half, self.end + size, number, self.last_of_other)


class _Record(NamedTuple):
    """One that is whole."""

    number: int
    before: int
    """The number of the record before it."""
    content: bytes


def _blocks(size: int) -> int:
    """The bytes that a record of so many takes."""
    return -(-(_RECORD.size + size + _CHECK.size) // BLOCK) * BLOCK


def _record_at(whole: bytes, at: int, life: bytes) -> _Record | None:
    """The record of that life there, if there is one."""
    if whole[at : at + LIFE] != life or at + _RECORD.size > len(whole):
        return None
    _, number, before, size = _RECORD.unpack_from(whole, at)
    end = at + _RECORD.size + size
    if end + _CHECK.size > len(whole) or _CHECK.unpack_from(whole, end) != (zlib.crc32(whole[at:end]),):
        return None
    return _Record(number, before, whole[at + _RECORD.size : end])
