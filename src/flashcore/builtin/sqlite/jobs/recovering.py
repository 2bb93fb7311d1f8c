"""Filling memory from the disk again after a batch has failed: what was decided since rests on what was not written.

That begins at once, whether anybody needs the store or not: a process that is killed must leave nothing in the journal
that was refused.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from flashcore.builtin.sqlite.jobs.applying import Seen, see
from flashcore.builtin.sqlite.jobs.backlog import Backlog, Segment
from flashcore.builtin.sqlite.jobs.batch import Batch
from flashcore.builtin.sqlite.jobs.book import Book, Standing
from flashcore.builtin.sqlite.jobs.entry import Loaded
from flashcore.builtin.sqlite.jobs.files import Files
from flashcore.builtin.sqlite.jobs.loading import by_numbers, read_standing


@dataclass(frozen=True, slots=True)
class Found:
    """What is promised."""

    standing: Standing
    segments: list[Segment]
    """What was not in the tables."""
    changed: list[Loaded]
    """The jobs of the segments, as they are with them."""
    applied: bool
    """Whether the tables have the segments now."""

    def book(self, batch: Batch, promised: int) -> Book:
        """Memory anew; it begins with a batch."""
        book = Book(self.standing, batch)
        book.promised = promised  # the tables never have the batch that failed: a close would wait for it
        if not self.applied:
            book.adopt_unapplied(self.changed, _last_changes(self.segments))
        return book


class Recovery:
    """The one that is under way, if any.

    `found` hears what there is in the order of commits, as what is told next may be that the segments are applied.
    """

    def __init__(self, files: Files, backlog: Backlog, found: Callable[[Found], None]) -> None:
        self._files = files
        self._backlog = backlog
        self._found = found
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None

    def begin(self, promised: int) -> asyncio.Task[None]:
        """The one that is under way, or a new one: where the last one failed, it is tried again."""
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._recover(promised))
            self._task.add_done_callback(_heard)
        return self._task

    async def ended(self) -> None:
        """Wait for the one that is under way, however it ends."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def take_back(self, promised: int) -> None:
        """Remove what is in the journal and was not promised: its writing failed, or was interrupted."""
        await self._files.writer.read(lambda _: self._files.journal.take_back(promised))

    async def _recover(self, promised: int) -> None:
        segments = self._backlog.all()

        def told(seen: Seen[tuple[Standing, list[Loaded]]]) -> None:
            standing, changed = seen.result
            self._found(Found(standing, segments, changed, seen.applied))

        await self.take_back(promised)
        query = partial(_read_all, list(_last_changes(segments)))
        await self._files.writer.read(partial(see, segments, query), told)


def _read_all(numbers: Sequence[int], connection: sqlite3.Connection) -> tuple[Standing, list[Loaded]]:
    return read_standing(connection), by_numbers(numbers, connection)


def _last_changes(segments: Sequence[Segment]) -> dict[int, int]:
    """The jobs that segments changed, each with the last of their batches that did, or one after it."""
    return {n: segment.last for segment in segments for n in segment.touched}


def _heard(recovery: asyncio.Task[None]) -> None:
    """Whoever uses the store next hears why it failed, or nobody needs to."""
    if not recovery.cancelled():
        recovery.exception()
