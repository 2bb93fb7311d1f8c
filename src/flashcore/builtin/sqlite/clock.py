"""A local store's clock with its mark in the file, so that it does not go back when the store is opened again.

The mark is written in every transaction and when the store is closed: no time that is stored is ever ahead of it.
"""

from __future__ import annotations

import sqlite3

from flashcore.builtin.local.clock import Clock, store_clock
from flashcore.builtin.sqlite.writer import Writer


async def marked_clock(writer: Writer, wall: Clock, monotonic: Clock) -> Clock:
    """The clock of a database with a table `standing`."""
    mark = await writer.read(_read_mark)
    clock = store_clock(mark, wall, monotonic)

    def stamp(connection: sqlite3.Connection) -> None:
        connection.execute("update standing set clock = ?", (clock(),))

    writer.stamp_with(stamp)
    return clock


async def leave_mark(writer: Writer, clock: Clock) -> None:
    """Write the mark although nothing else is written."""

    def mark(connection: sqlite3.Connection) -> None:
        connection.execute("update standing set clock = ?", (clock(),))

    await writer.write(mark)


def _read_mark(connection: sqlite3.Connection) -> float:
    (mark,) = connection.execute("select clock from standing").fetchone()
    return float(mark)
