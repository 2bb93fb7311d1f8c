"""Writing changes into the tables. Everything here runs where the database is written.

Statements are for many rows: with the event loop busy, its thread waits for Python's lock after each of them, up to
5 ms; the statements themselves run beside the loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

from flashcore.builtin.sqlite.jobs.batch import ChunkAdded, StreamDropped
from flashcore.builtin.sqlite.jobs.changes import Changes
from flashcore.builtin.sqlite.jobs.entry import Shelved
from flashcore.builtin.sqlite.jobs.rows import (
    ACCOUNT_COLUMNS,
    CHANGING_STATE_COLUMNS,
    JOB_COLUMNS,
    STATE_COLUMNS,
    payload_columns,
)

_FEW, _MANY = 32, 64
"""How many rows a statement has: as many as are left up to a few, else one of the two. Each number is a statement that
SQLite keeps prepared, and whoever wants a look waits until one has come to its end.
"""

_CHUNK = 64
"""About how many bytes a chunk takes beside its payload."""

_ADD_CHUNK = """
insert into chunk (n, number, media, data, blob, upto)
values (?, ?, ?, ?, ?, ? + coalesce((select upto from chunk where n = ? order by c desc limit 1), 0))
"""

_HAS_FILE = """
select 1 from chunk where n = ? and blob = ?
union all select 1 from outcome where k in (?, ?) and blob = ?
union all select 1 from job where n = ? and blob = ?
limit 1
"""

_DELETIONS = tuple(f"delete from {table} where n in ({{}})" for table in ("job", "state", "chunk", "blob"))  # noqa: S608  # names of tables, written here


def flush(changes: Changes, connection: sqlite3.Connection, between: Callable[[], None]) -> tuple[str, ...]:
    """Write changes; returns the files that no job needs any more. Raises IntegrityError for an id or key twice.

    `between` is called between two statements for many rows.
    """
    freed = delete_jobs(connection, list(changes.gone))
    writing = _Writing(connection, between)
    writing.upsert("endpoint", ACCOUNT_COLUMNS, list(changes.accounts.values()), ACCOUNT_COLUMNS[1:])
    writing.insert("job", JOB_COLUMNS, list(changes.jobs.values()))
    writing.upsert("state", STATE_COLUMNS, list(changes.states.values()), CHANGING_STATE_COLUMNS)
    outcomes = [row for row in changes.outcomes.values() if row is not None]
    writing.upsert("outcome", ("k", "media", "data", "blob"), outcomes, ("media", "data", "blob"))
    cleared = [k for k, row in changes.outcomes.items() if row is None]
    _each(connection, "delete from outcome where k in ({})", cleared)
    _refer(connection, changes.blobs)
    return freed


def write_streams(streams: Sequence[ChunkAdded | StreamDropped], connection: sqlite3.Connection) -> tuple[str, ...]:
    """Write what became of jobs' streams, in order; returns the files that no job needs any more."""
    freed: list[str] = []
    for change in streams:
        if isinstance(change, ChunkAdded):
            value = change.item.value
            row = (change.n, change.item.number, *payload_columns(value), change.size + _CHUNK, change.n)
            connection.execute(_ADD_CHUNK, row)
            if isinstance(value, Shelved) and value.digest is not None:
                _refer(connection, [(value.digest, change.n)])
        else:
            files = connection.execute(
                "select blob from chunk where n = ? and blob is not null", (change.n,)
            ).fetchall()
            connection.execute("delete from chunk where n = ?", (change.n,))
            freed += let_go_of(change.n, {blob for (blob,) in files}, connection)
    return tuple(freed)


def let_go_of(n: int, digests: Iterable[str], connection: sqlite3.Connection) -> tuple[str, ...]:
    """Forget files that a job had, unless it has the same elsewhere; returns those that no job needs any more."""
    freed: list[str] = []
    for digest in digests:
        if connection.execute(_HAS_FILE, (n, digest, 2 * n, 2 * n + 1, digest, n, digest)).fetchone() is None:
            connection.execute("delete from blob where digest = ? and n = ?", (digest, n))
            if connection.execute("select 1 from blob where digest = ? limit 1", (digest,)).fetchone() is None:
                freed.append(digest)
    return tuple(freed)


def delete_jobs(connection: sqlite3.Connection, numbers: Sequence[int]) -> tuple[str, ...]:
    """Delete all rows of some jobs; returns the files that no job needs any more."""
    if not numbers:
        return ()
    digests = {row[0] for row in rows_in(connection, "select digest from blob where n in ({})", numbers)}
    for statement in _DELETIONS:
        _each(connection, statement, numbers)
    _each(connection, "delete from outcome where k in ({})", [2 * n + slot for n in numbers for slot in (0, 1)])
    still = {row[0] for row in rows_in(connection, "select digest from blob where digest in ({})", list(digests))}
    return tuple(digests - still)


def _refer(connection: sqlite3.Connection, blobs: Sequence[tuple[str, int]]) -> None:
    if blobs:
        connection.executemany("insert or ignore into blob (digest, n) values (?, ?)", blobs)


@dataclass(frozen=True, slots=True)
class _Writing:
    """Rows into tables."""

    connection: sqlite3.Connection
    between: Callable[[], None]

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], then: str = "") -> None:
        """Insert rows; `then` says what to do with those that are there already."""
        start = 0
        for size in _sizes(len(rows)):
            values = chain.from_iterable(rows[start : start + size])
            self.connection.execute(_insertion(table, tuple(columns), size, then), list(values))
            start += size
            self.between()

    def upsert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], changing: Sequence[str]
    ) -> None:
        """Insert rows; of those whose first column is there already, write the changing columns."""
        changes = ", ".join(f"{column} = excluded.{column}" for column in changing)
        self.insert(table, columns, rows, f" on conflict ({columns[0]}) do update set {changes}")


def _each(connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> None:
    for _ in rows_in(connection, statement, values):
        pass


def rows_in(
    connection: sqlite3.Connection, statement: str, values: Sequence[Any], *first: object
) -> Iterable[tuple[Any, ...]]:
    """What a statement gives for some values, whose marks take the place of its braces; `first` come before them."""
    start = 0
    for size in _sizes(len(values)):
        yield from connection.execute(_marked(statement, size), (*first, *values[start : start + size]))
        start += size


def _sizes(count: int) -> Iterable[int]:
    while count:
        size = _MANY if count >= _MANY else min(count, _FEW)
        yield size
        count -= size


@lru_cache(maxsize=256)
def _insertion(table: str, columns: tuple[str, ...], rows: int, then: str) -> str:
    one = f"({_marks(len(columns))})"
    head = f"insert into {table} ({', '.join(columns)}) values "  # noqa: S608  # names of this file
    return head + ", ".join([one] * rows) + then


@lru_cache(maxsize=512)
def _marked(statement: str, values: int) -> str:
    return statement.format(_marks(values))


def _marks(count: int) -> str:
    return ", ".join("?" * count)
