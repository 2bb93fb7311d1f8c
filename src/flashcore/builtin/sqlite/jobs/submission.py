"""One call of submit: which of its jobs are known already, and which are new."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeGuard

from flashcore.builtin.local.clock import Clock
from flashcore.builtin.sqlite.jobs import loading
from flashcore.builtin.sqlite.jobs.applying import Clash
from flashcore.builtin.sqlite.jobs.book import Book
from flashcore.builtin.sqlite.jobs.desk import Desk
from flashcore.builtin.sqlite.jobs.entry import Entry, Loaded
from flashcore.model import job_steps
from flashcore.model.job import Job, NewJob
from flashcore.model.names import EndpointName, JobId

WARY = 60.0
"""Seconds after a clash for which keys are looked for before they are used."""


class Repeats:
    """Whether somebody submits again, under its key, what memory does not know.

    Most keys never come a second time. To ask the disk for each would be two visits more to its thread, half of what a
    job that is alone waits. So nothing is asked: the table refuses a key that it has, and the batch is made once more.
    As all of a batch pays for that, the disk is asked first for a while once it has happened.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = 0.0

    @property
    def are_likely(self) -> bool:
        """Whether there was one a moment ago."""
        return self._clock() < self._until

    def note(self) -> None:
        """There was one."""
        self._until = self._clock() + WARY


class Submission:
    """Accepts new jobs. A key that is known gives the job that has it, else an id that is."""

    def __init__(self, desk: Desk, clock: Clock, repeats: Repeats, jobs: Sequence[NewJob]) -> None:
        self._desk = desk
        self._clock = clock
        self._repeats = repeats
        self._jobs = jobs
        self._out: list[Loaded] = []
        self._looked_in: Book | None = None
        """What memory was when it got all that the disk knows of these jobs."""

    async def run(self) -> list[tuple[int, Job]]:
        """Submit; returns numbers and jobs. Raises Conflict for an id that a job of another endpoint has."""
        if self._repeats.are_likely and any(new.idempotency_key is not None for new in self._jobs):
            await self._look()
        # Ids are looked for only when one turned out to be taken: those who make them see to it that they are new.
        return await self._desk.run(self._accept, self._look_again)

    async def _look_again(self) -> None:
        self._repeats.note()
        await self._look()

    async def _look(self) -> None:
        await self._desk.ready()  # what memory was before a clash knows nothing of what is read now
        book = self._desk.book
        ids = [new.id for new in self._jobs]
        keys = [(new.endpoint, new.idempotency_key) for new in self._jobs if new.idempotency_key is not None]
        found = await self._desk.load(partial(loading.by_ids, ids)) + await self._desk.load(
            partial(loading.by_keys, keys)
        )
        self._out = [loaded for loaded, entry in found if entry is None]
        self._looked_in = book

    def _accept(self, book: Book) -> list[tuple[int, Job]]:
        now = self._clock()
        self._require_acceptable(book, now)
        for loaded in self._out:
            if book.alive(loaded) is None:
                book.bury(loaded)  # its rows hold an id or a key that is free again
        return [self._accept_one(book, new, now) for new in self._jobs]

    def _require_acceptable(self, book: Book, now: float) -> None:
        """Raise what there is to raise, before anything is changed: Conflict, or Clash to have the disk looked at."""
        ids: dict[JobId, NewJob] = {}
        keys: set[tuple[EndpointName, str]] = set()
        for new in self._jobs:
            key = None if new.idempotency_key is None else (new.endpoint, new.idempotency_key)
            if key is not None and (key in keys or _lasts(book.find_key(*key), now)):
                continue
            if _lasts(known := book.find(new.id), now):
                job_steps.require_same_endpoint(known.job.new, new)
                if key is not None and self._looked_in is not book:  # the table refuses no key where no row is added
                    raise Clash(f"another job than {new.id} may have its key")
            elif (first := ids.setdefault(new.id, new)) is not new:
                job_steps.require_same_endpoint(first, new)
            elif key is not None:
                keys.add(key)

    def _accept_one(self, book: Book, new: NewJob, now: float) -> tuple[int, Job]:
        while (known := _known(book, new)) is not None:  # its key may be free again, and its id another one's
            if _lasts(known, now):
                return known.n, known.job
            book.remove(known)
        entry = book.submit(new, now)
        return entry.n, entry.job


def _known(book: Book, new: NewJob) -> Entry | None:
    known = None if new.idempotency_key is None else book.find_key(new.endpoint, new.idempotency_key)
    return known or book.find(new.id)


def _lasts(known: Entry | None, now: float) -> TypeGuard[Entry]:
    """Whether there is such a job, and its retention is not over."""
    return known is not None and job_steps.forgotten_at(known.job) > now
