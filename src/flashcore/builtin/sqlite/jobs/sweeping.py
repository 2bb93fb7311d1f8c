"""What time does to jobs, and the removal of rows that a purge or an endpoint's end has left behind, bit by bit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from flashcore.builtin.local.clock import Clock
from flashcore.builtin.sqlite.jobs import loading
from flashcore.builtin.sqlite.jobs.batch import Batch
from flashcore.builtin.sqlite.jobs.book import Book, Standing
from flashcore.builtin.sqlite.jobs.clearing import clear_forgotten, clear_purged
from flashcore.builtin.sqlite.jobs.desk import Desk
from flashcore.builtin.sqlite.jobs.entry import Entry, Loaded
from flashcore.builtin.sqlite.writer import Writer
from flashcore.model import job_steps
from flashcore.model.job import Job

AT_ONCE = 500
"""Jobs of one transaction: others get their turn between two."""
_MOST_STEPS = 20
"""Transactions of one sweep; what is left is for the next."""
_WINDOW = 5_000
"""Numbers among which the jobs of a forgotten endpoint are looked for at once."""

_Found = list[tuple[Loaded, Entry | None]]


class Sweeper:
    """Applies what time did. `freed` hears which files no job needs any more."""

    def __init__(
        self, desk: Desk, writer: Writer, clock: Clock, standing: Standing, freed: Callable[[tuple[str, ...]], None]
    ) -> None:
        self._desk = desk
        self._writer = writer
        self._clock = clock
        self._freed = freed
        self._turn = asyncio.Lock()
        self._purged = {account.e for account in standing.accounts if account.round}
        """Endpoints that may have rows of purged jobs."""
        self._forgotten = dict.fromkeys(standing.forgotten, 0)
        """Endpoints that may have rows of any kind, with the number up to which they have been looked through."""

    def leave(self, batch: Batch) -> None:
        """A batch is on disk: note what it leaves to be cleared."""
        self._purged.update(batch.purged)
        self._forgotten.update(dict.fromkeys(batch.forgotten, 0))

    async def sweep(self) -> list[tuple[int, Job]]:
        """Apply what time did to jobs; returns numbers and jobs of those whose status changed."""
        async with self._turn:
            changed = await self._desk.run(self._overtake_running)
            for _ in range(_MOST_STEPS):
                now = self._clock()
                found = await self._desk.load_all(partial(loading.overdue, now, AT_ONCE))
                changed += await self._desk.run(partial(self._overtake, found, now))
                if len(found) < AT_ONCE:
                    break
            for e in list(self._purged):
                await self._clear_purged(e)
            for e in list(self._forgotten):
                await self._clear_forgotten(e)
        return changed

    def _overtake_running(self, book: Book) -> list[tuple[int, Job]]:
        now = self._clock()
        overtaken = [(entry, job_steps.overtaken(entry.job, now)) for entry in book.overdue(now)]
        return [(entry.n, book.put(entry, job)) for entry, job in overtaken if job is not None]

    def _overtake(self, found: _Found, now: float, book: Book) -> list[tuple[int, Job]]:
        changed: list[tuple[int, Job]] = []
        for loaded, _ in found:
            entry = book.at(loaded.n)
            if entry is None:
                if book.alive(loaded) is None:
                    book.bury(loaded)
            elif (after := job_steps.overtaken(entry.job, now)) is not None:
                changed.append((entry.n, book.put(entry, after)))
            elif job_steps.forgotten_at(entry.job) <= now:
                book.remove(entry)
        return changed

    async def _clear_purged(self, e: int) -> None:
        for _ in range(_MOST_STEPS):
            cleared = await self._writer.write(partial(clear_purged, e, AT_ONCE))
            self._freed(cleared.freed)
            if cleared.beyond is None:
                self._purged.discard(e)
                return

    async def _clear_forgotten(self, e: int) -> None:
        for _ in range(_MOST_STEPS):
            cleared = await self._writer.write(partial(clear_forgotten, e, self._forgotten[e], _WINDOW))
            self._freed(cleared.freed)
            if cleared.beyond is None:
                del self._forgotten[e]
                return
            self._forgotten[e] = cleared.beyond
