"""Promising a batch, and bringing what was promised into the tables. All of it runs where the database is written.

    promise: one record of the journal, synced         -> the callers hear of it
    apply:   the tables, and up to which batch they go -> in one transaction, not synced

A job that goes through many hands within a moment is written to the tables once, with the rows of hundreds of others
beside it. A power failure takes away the end of SQLite's write-ahead log, from some commit on: the tables are then what
they were after an earlier application, say so, and get the rest from the journal when the store is opened. So the
journal forgets nothing before the tables were synced.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

from flashcore.builtin.sqlite.committer import Call
from flashcore.builtin.sqlite.jobs.backlog import Segment
from flashcore.builtin.sqlite.jobs.batch import ChunkAdded, StreamDropped
from flashcore.builtin.sqlite.jobs.changes import Changes
from flashcore.builtin.sqlite.jobs.flush import flush, let_go_of, rows_in, write_streams
from flashcore.builtin.sqlite.jobs.journal import Journal

T = TypeVar("T")


class Clash(Exception):
    """A job of the batch has an id or a key that another one has. Nothing was written."""


def promise(journal: Journal, number: int, record: bytes, changes: Changes, connection: sqlite3.Connection) -> None:
    """Promise a batch. Raises Clash, as `require_new`."""
    require_new(changes, connection)
    journal.append(number, record)


def require_new(changes: Changes, connection: sqlite3.Connection) -> None:
    """Raise Clash where the tables know an id or key of a new job; what is promised and not in them, memory knows."""
    jobs = changes.jobs.values()
    if found := [*rows_in(connection, "select n from job where id in ({})", [row[1] for row in jobs])]:
        raise Clash(f"job {found[0][0]} has the id of a new one")
    keys: dict[int, list[str]] = {}
    for row in jobs:
        if row[3] is not None:
            keys.setdefault(row[2], []).append(row[3])
    for e, some in keys.items():
        if found := [*rows_in(connection, "select n from job where e = ? and key in ({})", some, e)]:
            raise Clash(f"job {found[0][0]} has the key of a new one")


def write_through(
    number: int,
    changes: Changes,
    streams: Sequence[ChunkAdded | StreamDropped],
    segments: Sequence[Segment],
    connection: sqlite3.Connection,
) -> tuple[str, ...]:
    """Write a batch to the tables, and before it what was promised; returns the files that nobody needs any more."""
    _catch_up(segments, connection)
    try:
        freed = flush(changes, connection, _nobody)
    except sqlite3.IntegrityError as problem:
        raise Clash(str(problem)) from problem
    freed += write_streams(streams, connection)
    for digest, n in changes.lost:
        freed += let_go_of(n, (digest,), connection)
    _note(number, connection)
    return freed


def apply(
    segments: Sequence[Segment], give_way: Callable[[], None], connection: sqlite3.Connection, *, synced: bool
) -> bool:
    """Write what was promised to the tables, in a transaction of its own, between whose statements it gives way.

    Whether there was anything to write: where there was not, nothing was synced.
    """

    def between() -> None:
        give_way()
        if not connection.in_transaction:  # for some errors SQLite ends it, whoever's statement it was that failed
            raise sqlite3.OperationalError("the transaction was ended by a query that failed")

    with nullcontext() if synced else _unsynced(connection):
        connection.execute("BEGIN IMMEDIATE")
        try:
            wrote = _catch_up(segments, connection, between)
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
    return wrote


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
        except sqlite3.Error:  # what was read is so nevertheless; who applies it the next time tells of it
            _roll_back(connection)
            return Seen(result, applied=False)
        return Seen(result, applied=True)


def _nobody() -> None:
    """Where it does not take long."""


def _catch_up(
    segments: Sequence[Segment], connection: sqlite3.Connection, give_way: Callable[[], None] = _nobody
) -> bool:
    """Apply those that have not been applied while this was on its way; whether there were any.

    Nothing that waits removes a job, or a file.
    """
    (applied,) = connection.execute("select applied from standing").fetchone()
    waiting = [segment for segment in segments if segment.last > applied]
    for segment in waiting:
        flush(segment.changes, connection, give_way)
    if waiting:
        _note(waiting[-1].last, connection)
    return bool(waiting)


def _note(applied: int, connection: sqlite3.Connection) -> None:
    connection.execute("update standing set applied = ?", (applied,))


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
