"""What time does to jobs, and the removal of rows that a purge or an endpoint's end has left behind, bit by bit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from flashcore.builtin.local.clock import Clock
from flashcore.builtin.sqlite.jobs import loading
from flashcore.builtin.sqlite.jobs.book import Book
from flashcore.builtin.sqlite.jobs.desk import Desk
from flashcore.builtin.sqlite.jobs.entry import Entry, Loaded
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
    """Applies what time did. `leftovers` are the numbers of endpoints that may have rows nobody can see any more."""

    def __init__(self, desk: Desk, clock: Clock, forgotten: Sequence[int]) -> None:
        self._desk = desk
        self._clock = clock
        self._purged = {account.e for account in desk.book.accounts.values() if account.round}
        self._forgotten = dict.fromkeys(forgotten, 0)
        """For each endpoint the number up to which it has been looked through."""

    def purged(self, e: int) -> None:
        """Rows of that endpoint are to be removed."""
        self._purged.add(e)

    def forgotten(self, e: int) -> None:
        """All rows of that endpoint are to be removed."""
        self._forgotten[e] = 0

    async def sweep(self) -> list[tuple[int, Job]]:
        """Apply what time did to jobs; returns numbers and jobs of those whose status changed."""
        changed = await self._desk.run(self._overtake_running)
        for _ in range(_MOST_STEPS):
            now = self._clock()
            found = await self._desk.load(partial(loading.overdue, now, AT_ONCE))
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
                _bury(book, loaded)
            elif (after := job_steps.overtaken(entry.job, now)) is not None:
                changed.append((entry.n, book.put(entry, after)))
            elif job_steps.forgotten_at(entry.job) <= now:
                book.remove(entry)
        return changed

    async def _clear_purged(self, e: int) -> None:
        for _ in range(_MOST_STEPS):
            account = next((account for account in self._desk.book.accounts.values() if account.e == e), None)
            found = [] if account is None else await self._desk.load(partial(loading.purged, e, account.round, AT_ONCE))
            await self._desk.run(partial(_bury_all, found))
            if len(found) < AT_ONCE:
                self._purged.discard(e)
                return

    async def _clear_forgotten(self, e: int) -> None:
        for _ in range(_MOST_STEPS):
            beyond = self._forgotten[e]
            found = await self._desk.load(partial(loading.of_account, e, beyond, _WINDOW))
            await self._desk.run(partial(_bury_all, found))
            self._forgotten[e] = beyond + _WINDOW
            if beyond > self._desk.book.last_number:
                await self._desk.run(partial(_close_account, e))
                del self._forgotten[e]
                return


def _bury_all(found: _Found, book: Book) -> None:
    for loaded, _ in found:
        _bury(book, loaded)


def _bury(book: Book, loaded: Loaded) -> None:
    if book.alive(loaded) is None:
        book.bury(loaded)


def _close_account(e: int, book: Book) -> None:
    book.batch.buried.append(e)
