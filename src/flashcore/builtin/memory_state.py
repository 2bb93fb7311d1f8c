"""The `memory:` stores: for tests, simulations and `flashcore dev`; gone with the process."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import AsyncGenerator, Iterator

from flashcore.builtin.local.clock import Clock, store_clock
from flashcore.builtin.memory_jobs import MemoryJobs
from flashcore.hookspecs.state import Batch, Change, Check, Compacted, Entry, Page, StaleWrite, Transaction
from flashcore.model.errors import StateError

HISTORY = 10_000
"""Commits that a watch may be behind."""

_Written = tuple[int, bytes | None]
"""The revision of a commit and what it made of a key."""


class MemoryStores:
    """Makes stores that share nothing but a clock. `clock` gives seconds since 1970 and never goes back."""

    def __init__(self, clock: Clock | None = None, history: int = HISTORY) -> None:
        self._clock = clock or store_clock()
        self._history = history

    async def open_state(self, url: str) -> MemoryState:  # noqa: ARG002  # there is one `memory:`, and it is always new
        """A new, empty state."""
        return MemoryState(self._clock, self._history)

    async def open_jobs(self, url: str) -> MemoryJobs:  # noqa: ARG002  # there is one `memory:`, and it is always new
        """A new, empty job store."""
        return MemoryJobs(self._clock)


class MemoryState:
    """A StateBackend of a dict and a list."""

    def __init__(self, clock: Clock, history: int = HISTORY) -> None:
        self._clock = clock
        self._history = history
        self._revision = 0
        self._floor = 0
        self._keys: list[str] = []
        self._written: dict[str, list[_Written]] = {}
        self._batches: deque[Batch] = deque()
        self._committed = asyncio.Event()
        self._closed = False

    async def read(self, prefix: str, *, after: str = "", limit: int = 1000, at: int | None = None) -> Page:
        """See StateBackend."""
        self._require_open()
        revision = self._require_revision(self._revision if at is None else at)
        found: list[Entry] = []
        for entry in self._entries(prefix, after, revision):
            if len(found) == limit:
                return Page(tuple(found), revision, more=True)
            found.append(entry)
        return Page(tuple(found), revision, more=False)

    async def commit(self, transaction: Transaction) -> int:
        """See StateBackend."""
        self._require_open()
        for check in transaction.checks:
            self._require_version(check)
        if transaction.writes:
            self._apply(transaction)
            self._compact()
            self._committed.set()
            self._committed.clear()
        return self._revision

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        """See StateBackend."""
        position = self._require_revision(after)
        while not self._closed:
            for batch in self._batches_after(position):
                position = batch.revision
                mine = tuple(change for change in batch.changes if change.key.startswith(prefix))
                if mine:
                    yield Batch(batch.revision, mine)
            if position == self._revision and not self._closed:
                await self._committed.wait()

    def now(self) -> float:
        """See StateBackend."""
        return self._clock()

    async def close(self) -> None:
        """See StateBackend."""
        self._closed = True
        self._committed.set()

    def _entries(self, prefix: str, after: str, revision: int) -> Iterator[Entry]:
        start = bisect_right(self._keys, after) if after >= prefix else bisect_left(self._keys, prefix)
        for index in range(start, len(self._keys)):
            key = self._keys[index]
            if not key.startswith(prefix):
                return
            version, value = self._last_written(key, revision)
            if value is not None:
                yield Entry(key, value, version)

    def _last_written(self, key: str, revision: int) -> _Written:
        for version, value in reversed(self._written.get(key, ())):
            if version <= revision:
                return version, value
        return 0, None

    def _batches_after(self, position: int) -> list[Batch]:
        self._require_revision(position)
        return [self._batches[index] for index in range(position - self._floor, len(self._batches))]

    def _apply(self, transaction: Transaction) -> None:
        self._revision += 1
        changes = [Change(put.key, put.value) for put in transaction.puts]
        changes += [Change(key, None) for key in transaction.deletes]
        for change in changes:
            if change.key not in self._written:
                self._written[change.key] = []
                insort(self._keys, change.key)
            self._written[change.key].append((self._revision, change.value))
        self._batches.append(Batch(self._revision, tuple(changes)))

    def _compact(self) -> None:
        while len(self._batches) > self._history:
            batch = self._batches.popleft()
            self._floor = batch.revision
            for change in batch.changes:
                self._forget_before(change.key, batch.revision)

    def _forget_before(self, key: str, revision: int) -> None:
        kept = [written for written in self._written[key] if written[0] >= revision]
        if kept == [(revision, None)]:
            del self._written[key]
            del self._keys[bisect_left(self._keys, key)]
        else:
            self._written[key] = kept

    def _require_version(self, check: Check) -> None:
        version, value = self._last_written(check.key, self._revision)
        found = version if value is not None else 0
        if found != check.version:
            raise StaleWrite(
                f"{check.key} is at version {found}, not {check.version}",
                next_step="read it again and decide again",
                key=check.key,
                expected=check.version,
                found=found,
            )

    def _require_revision(self, revision: int) -> int:
        if revision > self._revision:
            raise ValueError(f"revision {revision} has not happened; the store is at {self._revision}")
        if revision < self._floor:
            raise Compacted(
                f"revision {revision} is gone: the history begins at {self._floor}",
                next_step="read everything again, then watch from that revision",
                floor=self._floor,
            )
        return revision

    def _require_open(self) -> None:
        if self._closed:
            raise StateError("the store is closed", next_step="open it again")
