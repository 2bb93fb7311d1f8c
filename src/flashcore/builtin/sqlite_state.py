"""The `sqlite:///` stores: durable, owned by one process, nothing to install."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from functools import partial

from flashcore.builtin.local.clock import Clock
from flashcore.builtin.sqlite import state_log
from flashcore.builtin.sqlite.clock import leave_mark, marked_clock
from flashcore.builtin.sqlite.place import path_of
from flashcore.builtin.sqlite.recent import RecentCommits
from flashcore.builtin.sqlite.schema import Schema
from flashcore.builtin.sqlite.writer import Writer
from flashcore.builtin.sqlite_jobs import SqliteJobs
from flashcore.hookspecs.state import Batch, Change, Page, Transaction
from flashcore.model.errors import StateError, StorageFull

HISTORY = 10_000
"""Commits that a watch may be behind."""
SCHEMA = Schema("state", 0x666C5331)
_WINDOW = 500
"""Revisions that a watch that is behind reads at once."""


class SqliteStores:
    """Makes stores in files. `wall` and `monotonic` give seconds; only tests pass their own."""

    def __init__(self, wall: Clock = time.time, monotonic: Clock = time.monotonic, history: int = HISTORY) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._history = history

    async def open_state(self, url: str) -> SqliteState:
        """Open or create the state in the file of `sqlite:///relative.db` or `sqlite:////absolute.db`."""
        writer = await Writer.open(path_of(url), SCHEMA)
        clock = await marked_clock(writer, self._wall, self._monotonic)
        revision = await writer.read(state_log.newest_revision)
        return SqliteState(writer, clock, revision, self._history)

    async def open_jobs(self, url: str) -> SqliteJobs:
        """Open or create the jobs in the file of `sqlite:///relative.db` or `sqlite:////absolute.db`."""
        return await SqliteJobs.open(path_of(url), self._wall, self._monotonic)


class SqliteState:
    """A StateBackend of one log table. Versions are checked and revisions counted by the writer's thread."""

    def __init__(self, writer: Writer, clock: Clock, revision: int, history: int) -> None:
        self._writer = writer
        self._clock = clock
        self._history = history
        self._recent = RecentCommits(revision, history)
        self._committed = asyncio.Event()
        self._closed = False

    async def read(self, prefix: str, *, after: str = "", limit: int = 1000, at: int | None = None) -> Page:
        """See StateBackend."""
        return await self._writer.read(partial(state_log.read, prefix, after, limit, at))

    async def commit(self, transaction: Transaction) -> int:
        """See StateBackend."""
        work = partial(state_log.commit, transaction, self._history)
        if not transaction.writes:
            return await self._writer.read(work)
        return await self._writer.write(work, partial(self._remember, transaction))

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        """See StateBackend."""
        position = after
        while not self._closed:
            if position == self._recent.revision:
                await self._committed.wait()
                continue
            for batch in await self._batches_after(position):
                position = batch.revision
                mine = tuple(change for change in batch.changes if change.key.startswith(prefix))
                if mine:
                    yield Batch(batch.revision, mine)

    def now(self) -> float:
        """See StateBackend."""
        return self._clock()

    async def close(self) -> None:
        """See StateBackend."""
        try:
            if not self._closed:
                self._closed = True
                self._committed.set()
                with contextlib.suppress(StateError, StorageFull):  # then the mark of the last commit has to do
                    await leave_mark(self._writer, self._clock)
        finally:
            await self._writer.close()

    async def _batches_after(self, position: int) -> Sequence[Batch]:
        if position < self._recent.revision and (kept := self._recent.since(position)) is not None:
            return kept
        return await self._writer.read(partial(state_log.batches, position, _WINDOW))

    def _remember(self, transaction: Transaction, revision: int) -> None:
        changes = (*(Change(put.key, put.value) for put in transaction.puts), *map(_deletion, transaction.deletes))
        self._recent.append(Batch(revision, changes))
        self._committed.set()
        self._committed.clear()


def _deletion(key: str) -> Change:
    return Change(key, None)
