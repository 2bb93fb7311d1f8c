"""Opening: bringing into the tables what a process that is gone has promised, and beginning a journal of our own."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from functools import partial

from flashcore.builtin.sqlite.faults import damaged
from flashcore.builtin.sqlite.jobs.changes import Changes
from flashcore.builtin.sqlite.jobs.flush import flush
from flashcore.builtin.sqlite.jobs.journal import LIFE, Journal
from flashcore.builtin.sqlite.jobs.records import Unreadable, decode
from flashcore.builtin.sqlite.writer import Writer

_AT_ONCE = 1 << 20
"""About how many bytes of promises one transaction has."""


async def take_over(writer: Writer, journal: Journal) -> None:
    """Bring in all that was promised, and begin a life of the journal. Raises StateCorrupt, StorageFull, StateError."""
    try:
        while await writer.write(_bring_in_rows):
            pass
        life, applied = await writer.read(_standing)
        if life is not None:
            for some in _portions(journal.records(life, applied)):
                await writer.write(partial(_bring_in, some))
            await writer.write(_end_life)
    except Unreadable as problem:
        raise damaged(writer.path, str(problem)) from problem
    life = os.urandom(LIFE)
    # The file first: until the tables name it, nobody looks at it.
    await writer.read(lambda _: journal.begin(life))
    await writer.write(partial(_begin_life, life))


def end_life(promised: int, connection: sqlite3.Connection) -> None:
    """The journal is done with, if the tables have all up to that batch."""
    connection.execute("update standing set life = null, applied = 0 where applied >= ?", (promised,))


def _end_life(connection: sqlite3.Connection) -> None:
    connection.execute("update standing set life = null, applied = 0")


def _begin_life(life: bytes, connection: sqlite3.Connection) -> None:
    connection.execute("update standing set life = ?, applied = 0", (life,))


def _standing(connection: sqlite3.Connection) -> tuple[bytes | None, int]:
    life, applied = connection.execute("select life, applied from standing").fetchone()
    return life, applied


def _bring_in(some: list[tuple[int, bytes]], connection: sqlite3.Connection) -> None:
    _write(connection, some, "record {} of its journal")
    connection.execute("update standing set applied = ?", (some[-1][0],))


def _bring_in_rows(connection: sqlite3.Connection) -> bool:
    """Some rows of the table that had what was promised before there was a journal; whether there were any."""
    rows = connection.execute("select seq, data from log order by seq")
    some = next(_portions(rows), [])
    if some:
        _write(connection, some, "row {} of its log")
        connection.execute("delete from log where seq <= ?", (some[-1][0],))
    return bool(some)


def _write(connection: sqlite3.Connection, some: Iterable[tuple[int, bytes]], name: str) -> None:
    changes = Changes()
    for number, record in some:
        try:
            changes.add(decode(record))
        except Unreadable as problem:
            raise Unreadable(f"{name.format(number)}: {problem}") from problem
    flush(changes, connection, lambda: None)


def _portions(records: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """The same, as many together as one transaction has."""
    some: list[tuple[int, bytes]] = []
    size = 0
    for number, record in records:
        some.append((number, record))
        size += len(record)
        if size > _AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some
