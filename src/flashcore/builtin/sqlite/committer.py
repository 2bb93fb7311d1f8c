"""Several calls in one transaction, each with its own fate.

A commit that fails in its last step, its sync, is in SQLite's log, whole. This connection forgets it, and has its next
commit take its place; but whoever opens the log after a crash before that takes it for promised. So nobody hears that
a commit failed before another one, of nothing, has taken its place.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from flashcore.builtin.sqlite.faults import fault, garbled
from flashcore.builtin.sqlite.lock import FileLock
from flashcore.builtin.sqlite.place import make_place
from flashcore.builtin.sqlite.schema import Schema, inspect, migrate
from flashcore.builtin.sqlite.turns import Turns

T = TypeVar("T")

Call = Callable[[sqlite3.Connection], T]
"""Work on a connection. What it raises reaches its caller, and undoes what it wrote."""

_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -32768",  # KiB
    "PRAGMA temp_store = MEMORY",
    # Some builds of SQLite write zeros over each page that is not needed any more. Those of jobs' log would double it.
    "PRAGMA secure_delete = FAST",
)

PAGE = 8192
"""Bytes of a page of a new database: a system call for each page is most of what writing a job costs."""

_BEFORE_CHECKPOINT = 4 << 20
"""Bytes after which SQLite's log is brought back into the database: within its room, and without taking long."""

LOG_ROOM = 6 << 20
"""Bytes that the write-ahead log has from the beginning. To sync what makes a file grow takes up to twice as long."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a call gave; if it wrote, that is on disk."""

    result: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """What a call raised; nothing that it wrote is left."""

    problem: Exception


Outcome = Done | Failed


class Committer:
    """Owns a database: its lock and its one connection, which belongs to a thread that gives way to looks."""

    def __init__(self, path: Path, schema: Schema) -> None:
        """Open or create it. Raises Refused when another process owns it, StateTooNew, StateCorrupt or StateError."""
        self.path = path
        make_place(path)
        self._lock = FileLock(path)
        try:
            inspect(path, schema)
            self._connection = _connect(path, schema)
        except BaseException:
            self._lock.release()
            raise
        self.before_commit: Call[object] = _nothing
        """Done too in every transaction that wrote something."""
        self.turns = Turns()
        self.is_astray = False
        """A crash would bring back a commit that failed: the disk did not let another one take its place so far."""

    def write(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Run calls in one transaction; on disk when this returns, or nowhere unless it `is_astray`."""
        with self.turns.held():
            outcomes = self._write(calls)
            if self.is_astray:
                self._overwrite()
            return outcomes

    def read(self, call: Call[Any]) -> Outcome:
        """Run a call outside of a transaction."""
        with self.turns.held():
            try:
                self._roll_back()
                return Done(call(self._connection))
            except sqlite3.Error as problem:
                return Failed(fault(problem, self.path))
            except Exception as problem:  # noqa: BLE001  # whatever it is, it belongs to whoever waits for the call
                return Failed(problem)

    def look(self, call: Call[T], patience: float) -> T:
        """Run a call that only reads, in another thread than the rest, between two statements of that one.

        It sees what a transaction under way has written. Raises what the call raises, StateError, and Busy when it has
        to wait longer than so many seconds.
        """
        try:
            return self.turns.take(patience, partial(call, self._connection))
        except sqlite3.Error as problem:
            raise fault(problem, self.path) from problem

    def close(self) -> None:
        """Write the log back into the database, if there is room, and let others open it."""
        with contextlib.suppress(sqlite3.Error):  # what was acknowledged is in the log, and will be found there
            self._connection.close()
        self._lock.release()

    def _write(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        if len(calls) == 1:
            return [self._write_alone(calls[0])]
        try:
            return self._write_together(calls)
        except sqlite3.Error:
            # One of them does not fit, or broke a rule of the schema: the others need not suffer for it.
            self._undo()
            return [self._write_alone(call) for call in calls]

    def _write_alone(self, call: Call[Any]) -> Outcome:
        try:
            before = self._begin()
            outcome = Done(call(self._connection))
            self._commit(before)
        except Exception as problem:  # noqa: BLE001  # whatever it is, it belongs to whoever waits for the call
            self._undo()
            return Failed(fault(problem, self.path) if isinstance(problem, sqlite3.Error) else problem)
        return outcome

    def _write_together(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        before = self._begin()
        outcomes = [self._try(call) for call in calls]
        self._commit(before)
        return outcomes

    def _begin(self) -> int:
        self._roll_back()
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection.total_changes

    def _commit(self, before: int) -> None:
        if self._connection.total_changes != before:
            self.before_commit(self._connection)
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self.is_astray = True
            raise

    def _try(self, call: Call[Any]) -> Outcome:
        self._connection.execute("SAVEPOINT one_call")
        try:
            outcome: Outcome = Done(call(self._connection))
        except sqlite3.Error:
            raise
        except Exception as problem:  # noqa: BLE001  # whatever it is, it belongs to whoever waits for the call
            self._connection.execute("ROLLBACK TO one_call")
            outcome = Failed(problem)
        self._connection.execute("RELEASE one_call")
        return outcome

    def _overwrite(self) -> None:
        """Commit a page as it was. What another call commits would not do: it may have changed nothing."""
        with contextlib.suppress(sqlite3.Error):  # it is tried again with the next call that writes
            self._roll_back()
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            self._connection.execute(f"PRAGMA user_version = {version}")
            self.is_astray = False

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # who waits hears what it began with; the next call tries it again
            self._roll_back()

    def _roll_back(self) -> None:
        """End a transaction that failed, or was interrupted."""
        if self._connection.in_transaction:  # for some errors SQLite has done it already
            self._connection.execute("ROLLBACK")


def _connect(path: Path, schema: Schema) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None, cached_statements=512, check_same_thread=False)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute(f"PRAGMA page_size = {PAGE}")
            migrate(connection, path, schema)
            for setting in _SETTINGS:
                connection.execute(setting)
            (page,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA wal_autocheckpoint = {_BEFORE_CHECKPOINT // page}")
            connection.execute("select 1 from sqlite_master limit 1").fetchall()  # opens the log
            _make_room(path.with_name(f"{path.name}-wal"))
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as problem:
        raise fault(problem, path) from problem
    except UnicodeDecodeError as problem:
        raise garbled(path) from problem
    return connection


def _make_room(log: Path) -> None:
    """Fill the log up with zeros, which SQLite takes for the end of what was written; as it was if there is no room."""
    with contextlib.suppress(OSError), log.open("r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        wanted = max(0, LOG_ROOM - size)
        try:
            written = file.write(bytes(wanted))
            os.fsync(file.fileno())
        except OSError:
            written = None
        if written != wanted:
            file.truncate(size)


def _nothing(_: sqlite3.Connection) -> None:
    """Until the store has a clock to stamp with."""
