"""The log table of the state: every function runs in the writer's thread."""

from __future__ import annotations

import sqlite3
from itertools import groupby
from operator import itemgetter

from flashcore.hookspecs.state import Batch, Change, Check, Compacted, Entry, Page, StaleWrite, Transaction

_AFTER_ALL_KEYS = "\x7f"
"""Greater than any character of a key."""

_LISTING = """
select key, value, revision from (
  select key, max(revision) as revision, value from log
  where key >= :first and key > :after and key < :last and revision <= :at
  group by key
) where value is not null limit :limit
"""
# In SQLite, the other columns beside max() are those of the row that has the maximum.

_VERSION = (
    "select case when value is null then 0 else revision end from log where key = ? order by revision desc limit 1"
)


def newest_revision(connection: sqlite3.Connection) -> int:
    """The revision of the last commit, 0 before the first."""
    (revision,) = connection.execute("select coalesce(max(revision), 0) from log").fetchone()
    return int(revision)


def read(prefix: str, after: str, limit: int, at: int | None, connection: sqlite3.Connection) -> Page:
    """One page of a listing."""
    newest = newest_revision(connection)
    revision = newest if at is None else at
    _require_readable(connection, revision, newest)
    bounds = {"first": prefix, "after": after, "last": prefix + _AFTER_ALL_KEYS, "at": revision, "limit": limit + 1}
    rows = connection.execute(_LISTING, bounds).fetchall()
    return Page(tuple(Entry(*row) for row in rows[:limit]), revision, more=len(rows) > limit)


def commit(transaction: Transaction, history: int, connection: sqlite3.Connection) -> int:
    """Apply a transaction, and keep the log from growing for ever. Raises StaleWrite."""
    for check in transaction.checks:
        _require_version(connection, check)
    newest = newest_revision(connection)
    if not transaction.writes:
        return newest
    revision = newest + 1
    rows: list[tuple[str, int, bytes | None]] = [(put.key, revision, put.value) for put in transaction.puts]
    rows += [(key, revision, None) for key in transaction.deletes]
    connection.executemany("insert into log (key, revision, value) values (?, ?, ?)", rows)
    _compact(connection, revision, history)
    return revision


def batches(position: int, window: int, connection: sqlite3.Connection) -> list[Batch]:
    """The commits of the next `window` revisions after a position, whole."""
    _require_readable(connection, position, newest_revision(connection))
    rows = connection.execute(
        "select revision, key, value from log where revision > ? and revision <= ? order by revision, n",
        (position, position + window),
    )
    return [
        Batch(revision, tuple(Change(key, value) for _, key, value in changes))
        for revision, changes in groupby(rows, key=itemgetter(0))
    ]


def _compact(connection: sqlite3.Connection, newest: int, history: int) -> None:
    """Move the floor up in small steps, so that no commit pays for many."""
    (floor,) = connection.execute("select floor from standing").fetchone()
    if newest - history <= floor + history // 64:
        return
    raised = newest - history
    step = (floor, raised)
    connection.execute(
        "delete from log where n in (select older.n from log as newer join log as older"
        " on older.key = newer.key and older.revision < newer.revision"
        " where newer.revision > ? and newer.revision <= ?)",
        step,
    )
    connection.execute("delete from log where revision > ? and revision <= ? and value is null", step)
    connection.execute("update standing set floor = ?", (raised,))


def _require_version(connection: sqlite3.Connection, check: Check) -> None:
    row = connection.execute(_VERSION, (check.key,)).fetchone()
    found = row[0] if row else 0
    if found != check.version:
        raise StaleWrite(
            f"{check.key} is at version {found}, not {check.version}",
            next_step="read it again and decide again",
            key=check.key,
            expected=check.version,
            found=found,
        )


def _require_readable(connection: sqlite3.Connection, revision: int, newest: int) -> None:
    (floor,) = connection.execute("select floor from standing").fetchone()
    if revision > newest:
        raise ValueError(f"revision {revision} has not happened; the store is at {newest}")
    if revision < floor:
        raise Compacted(
            f"revision {revision} is gone: the history begins at {floor}",
            next_step="read everything again, then watch from that revision",
            floor=floor,
        )
