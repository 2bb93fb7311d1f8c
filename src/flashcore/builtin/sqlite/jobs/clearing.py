"""Removing rows that nobody can see any more, bit by bit. Everything here runs in the database's thread.

They are of queues that were purged, and of endpoints that were forgotten. What is on disk decides: a purge that was
asked for but not written yet has not happened.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from flashcore.builtin.sqlite.jobs.flush import delete_jobs


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a step did: files that no job needs any more, and where the next step begins; None after the last one."""

    freed: tuple[str, ...]
    beyond: int | None


def clear_purged(e: int, most: int, connection: sqlite3.Connection) -> Cleared:
    """Delete at most so many jobs of an endpoint that were queued when it was purged."""
    dead = connection.execute(
        "select n from state where e = ? and round < (select round from endpoint where e = ?) and status = 0 limit ?",
        (e, e, most),
    )
    numbers = [n for (n,) in dead]
    return Cleared(delete_jobs(connection, numbers), 0 if len(numbers) == most else None)


def clear_forgotten(e: int, beyond: int, window: int, connection: sqlite3.Connection) -> Cleared:
    """Delete the jobs of a forgotten endpoint among the next `window` numbers; after the last one, the endpoint."""
    (last,) = connection.execute("select coalesce(max(n), 0) from state").fetchone()
    mine = connection.execute("select n from state where n > ? and n <= ? and e = ?", (beyond, beyond + window, e))
    freed = delete_jobs(connection, [n for (n,) in mine])
    if beyond + window < last:
        return Cleared(freed, beyond + window)
    connection.execute("delete from endpoint where e = ? and name is null", (e,))
    return Cleared(freed, None)
