"""The log: what is promised in one row, and is in the tables only later. All of it runs where the database is written.

    append: one row in `log`, synced     -> the callers hear of it
    apply:  the tables, and the row goes -> in one transaction, not synced

A job that goes through many hands within a moment is written to the tables once, with the rows of hundreds of others
beside it; each of its changes costs one page. A power failure takes away the end of SQLite's write-ahead log, from
some commit on. As every row of the log is synced when its callers hear of it, no more is lost than an application of
it, with the removal of the rows that it was of: they are there again, and are applied when the store is opened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from flashcore.builtin.sqlite.committer import Call
from flashcore.builtin.sqlite.jobs.backlog import Segment
from flashcore.builtin.sqlite.jobs.batch import ChunkAdded, StreamDropped
from flashcore.builtin.sqlite.jobs.changes import Changes
from flashcore.builtin.sqlite.jobs.flush import flush, rows_in, write_streams
from flashcore.builtin.sqlite.jobs.records import Unreadable, decode

T = TypeVar("T")

_REPLAYED_AT_ONCE = 1 << 20
"""About how many bytes of the log memory holds while it is replayed."""


class Clash(Exception):
    """A job of the batch has an id or a key that another one has. Nothing was written."""


def append(number: int, record: bytes, changes: Changes, connection: sqlite3.Connection) -> None:
    """Promise a batch. Raises Clash; in the tables alone: what is promised and not in them, memory knows."""
    if changes.jobs:
        _require_new(changes, connection)
    connection.execute("insert into log (seq, data) values (?, ?)", (number, record))


def write_through(
    changes: Changes,
    streams: Sequence[ChunkAdded | StreamDropped],
    segments: Sequence[Segment],
    connection: sqlite3.Connection,
) -> tuple[str, ...]:
    """Write a batch to the tables, and before it what was promised; returns the files that nobody needs any more."""
    _catch_up(segments, connection)
    try:
        freed = flush(changes, connection)
    except sqlite3.IntegrityError as problem:
        raise Clash(str(problem)) from problem
    write_streams(streams, connection)
    return freed


def apply(segments: Sequence[Segment], connection: sqlite3.Connection) -> None:
    """Write what was promised to the tables, in a transaction of its own."""
    with _unsynced(connection):
        connection.execute("BEGIN IMMEDIATE")
        try:
            _catch_up(segments, connection)
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """What a query gave over the tables with all that was promised, and whether the tables have it now."""

    result: T
    applied: bool


def see(segments: Sequence[Segment], query: Call[T], connection: sqlite3.Connection) -> Seen[T]:
    """Read from the tables as if everything promised were in them, also where the disk has no room for that."""
    if not segments:
        return Seen(query(connection), applied=True)
    with _unsynced(connection):
        connection.execute("BEGIN IMMEDIATE")
        try:
            _catch_up(segments, connection)
            result = query(connection)
        except BaseException:
            _roll_back(connection)
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error:  # what was read is so nevertheless; who applies the log the next time tells of it
            _roll_back(connection)
            return Seen(result, applied=False)
        return Seen(result, applied=True)


def replay(after: int, connection: sqlite3.Connection) -> int | None:
    """Apply some of what a process that is gone has promised, beyond a row; gives the last row, None after all.

    Raises Unreadable.
    """
    changes, last = Changes(), None
    for seq, record in connection.execute("select seq, data from log where seq > ? order by seq", (after,)):
        try:
            changes.add(decode(record))
        except Unreadable as problem:
            raise Unreadable(f"row {seq} of its log: {problem}") from problem
        last = seq
        if changes.size > _REPLAYED_AT_ONCE:
            break
    if last is not None:
        flush(changes, connection)
        connection.execute("delete from log where seq <= ?", (last,))
    return last


def take_back(promised: int, connection: sqlite3.Connection) -> None:
    """Remove what is in the log beyond a row: it was interrupted as it was written, and is said not to be."""
    if connection.execute("select 1 from log where seq > ? limit 1", (promised,)).fetchone():
        connection.execute("delete from log where seq > ?", (promised,))


def _catch_up(segments: Sequence[Segment], connection: sqlite3.Connection) -> None:
    """Apply those that have not been applied while this was on its way. Nothing that waits removes a job, or a file."""
    (first,) = connection.execute("select min(seq) from log").fetchone()
    waiting = [segment for segment in segments if first is not None and segment.last >= first]
    for segment in waiting:
        flush(segment.changes, connection)
    if waiting:
        connection.execute("delete from log where seq <= ?", (waiting[-1].last,))


def _require_new(changes: Changes, connection: sqlite3.Connection) -> None:
    jobs = changes.jobs.values()
    for n in rows_in(connection, "select n from job where id in ({})", [row[1] for row in jobs]):
        raise Clash(f"job {n} has the id of a new one")
    keys: dict[int, list[str]] = {}
    for row in jobs:
        if row[3] is not None:
            keys.setdefault(row[2], []).append(row[3])
    for e, some in keys.items():
        for n in rows_in(connection, "select n from job where e = ? and key in ({})", some, e):
            raise Clash(f"job {n} has the key of a new one")


@contextmanager
def _unsynced(connection: sqlite3.Connection) -> Generator[None, None, None]:
    """Commits of this block are written in their order, and are on disk with the next one that is synced."""
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        connection.execute("PRAGMA synchronous = FULL")


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # for some errors SQLite has done it already
        connection.execute("ROLLBACK")
