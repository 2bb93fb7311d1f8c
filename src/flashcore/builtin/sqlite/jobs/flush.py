"""Writing a batch. Everything here runs in the database's thread.

As few statements as possible, each for many rows: with the event loop busy, this thread waits for Python's lock
after every statement, up to 5 ms; the statements themselves run beside the loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from flashcore.builtin.sqlite.jobs.batch import AccountRow, Batch, ChunkAdded, Move
from flashcore.builtin.sqlite.jobs.entry import Shelved
from flashcore.builtin.sqlite.jobs.rows import (
    CHANGING_STATE_COLUMNS,
    JOB_COLUMNS,
    STATE_COLUMNS,
    job_row,
    payload_columns,
    state_row,
)
from flashcore.model.job import Job, Payload

_ROWS_AT_ONCE = (256, 128, 64, *range(48, 0, -1))
"""How many rows a statement has; each number is a statement that SQLite keeps prepared.

A batch of a busy gateway has a dozen or two, and then one statement for each table, not one for each power of two.
"""

_ACCOUNT_COLUMNS = (
    "e", "name", "round", "in_queue", "in_progress", "completed", "failed", "cancelled", "timed_out", "retried",
    "low", "touched",
)  # fmt: skip

_DELETIONS = tuple(f"delete from {table} where n in ({{}})" for table in ("job", "state", "chunk", "blob"))  # noqa: S608  # names of tables, written here


class Clash(Exception):
    """A job of the batch has an id or a key that another one has. Nothing was written."""


def flush(batch: Batch, accounts: Sequence[AccountRow], connection: sqlite3.Connection) -> tuple[str, ...]:
    """Write a batch; returns the files that no job needs any more. Raises Clash."""
    moves = [move for move in batch.moves.values() if move.before is not None or move.after is not None]
    try:
        freed = delete_jobs(connection, [move.n for move in moves if move.after is None])
        _upsert(connection, "endpoint", _ACCOUNT_COLUMNS, accounts, _ACCOUNT_COLUMNS[1:])
        _write_moves(connection, [move for move in moves if move.after is not None])
    except sqlite3.IntegrityError as problem:
        raise Clash(str(problem)) from problem
    _write_streams(connection, batch)
    return freed


def delete_jobs(connection: sqlite3.Connection, numbers: Sequence[int]) -> tuple[str, ...]:
    """Delete all rows of some jobs; returns the files that no job needs any more."""
    if not numbers:
        return ()
    digests = {row[0] for row in _rows(connection, "select digest from blob where n in ({})", numbers)}
    for statement in _DELETIONS:
        _each(connection, statement, numbers)
    _each(connection, "delete from outcome where k in ({})", [2 * n + slot for n in numbers for slot in (0, 1)])
    still = {row[0] for row in _rows(connection, "select digest from blob where digest in ({})", list(digests))}
    return tuple(digests - still)


def _write_moves(connection: sqlite3.Connection, moves: Sequence[Move]) -> None:
    jobs: list[tuple[Any, ...]] = []
    states: list[tuple[Any, ...]] = []
    outcomes: list[tuple[Any, ...]] = []
    cleared: list[int] = []
    blobs: list[tuple[str, int]] = []
    for move in moves:
        before, after = move.before, move.after
        assert after is not None  # noqa: S101  # for the type checker; the caller has sorted them
        states.append(state_row(move.n, move.e, move.round, after))
        if before is None:
            jobs.append(job_row(move.n, move.e, after))
            blobs += _blob_of(move.n, after.new.input)
        for slot, (old, new) in enumerate(_outcomes(before, after)):
            if new is None and old is not None:
                cleared.append(2 * move.n + slot)
            elif new is not None and new is not old:
                outcomes.append((2 * move.n + slot, *payload_columns(new)))
                blobs += _blob_of(move.n, new)
    _insert(connection, "job", JOB_COLUMNS, jobs)
    _upsert(connection, "state", STATE_COLUMNS, states, CHANGING_STATE_COLUMNS)
    _upsert(connection, "outcome", ("k", "media", "data", "blob"), outcomes, ("media", "data", "blob"))
    _each(connection, "delete from outcome where k in ({})", cleared)
    _refer(connection, blobs)


def _outcomes(before: Job | None, after: Job) -> tuple[tuple[Payload | None, Payload | None], ...]:
    """Output and progress, each before and after."""
    was = (None, None) if before is None else (before.output, before.progress)
    return (was[0], after.output), (was[1], after.progress)


def _write_streams(connection: sqlite3.Connection, batch: Batch) -> None:
    for change in batch.streams:
        if isinstance(change, ChunkAdded):
            value = change.item.value
            row = (change.n, change.item.number, *payload_columns(value))
            connection.execute("insert into chunk (n, number, media, data, blob) values (?, ?, ?, ?, ?)", row)
            _refer(connection, _blob_of(change.n, value))
        else:
            connection.execute("delete from chunk where n = ?", (change.n,))


def _blob_of(n: int, payload: Payload) -> list[tuple[str, int]]:
    return [(payload.digest, n)] if isinstance(payload, Shelved) and payload.digest is not None else []


def _refer(connection: sqlite3.Connection, blobs: Sequence[tuple[str, int]]) -> None:
    if blobs:
        connection.executemany("insert or ignore into blob (digest, n) values (?, ?)", blobs)


def _insert(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], then: str = ""
) -> None:
    start = 0
    for size in _sizes(len(rows)):
        values = [value for row in rows[start : start + size] for value in row]
        connection.execute(_insertion(table, tuple(columns), size, then), values)
        start += size


def _upsert(
    connection: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    changing: Sequence[str],
) -> None:
    """Insert rows; of those whose first column is there already, write the changing columns."""
    changes = ", ".join(f"{column} = excluded.{column}" for column in changing)
    _insert(connection, table, columns, rows, f" on conflict ({columns[0]}) do update set {changes}")


def _each(connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> None:
    for _ in _rows(connection, statement, values):
        pass


def _rows(connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
    start = 0
    for size in _sizes(len(values)):
        yield from connection.execute(statement.format(_marks(size)), values[start : start + size])
        start += size


def _sizes(count: int) -> Iterable[int]:
    while count:
        size = next(size for size in _ROWS_AT_ONCE if size <= count)
        yield size
        count -= size


@lru_cache(maxsize=256)
def _insertion(table: str, columns: tuple[str, ...], rows: int, then: str) -> str:
    one = f"({_marks(len(columns))})"
    head = f"insert into {table} ({', '.join(columns)}) values "  # noqa: S608  # names of this file
    return head + ", ".join([one] * rows) + then


@lru_cache(maxsize=64)
def _marks(count: int) -> str:
    return ", ".join("?" * count)
