"""A store that misbehaves as stores on a network do, for a controller that must cope with it.

stores: list[UnreliableStore] = []

def store(backend: StateBackend) -> StateBackend:
    stores.append(UnreliableStore(backend))
    return stores[0]

simulate(scenario, store=store)       # and in the scenario: stores[0].lose_answers(1)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from flashcore.hookspecs.state import Batch, Page, StaleWrite, StateBackend, Transaction
from flashcore.model.errors import StateError, StorageFull


class UnreliableStore:
    """A StateBackend around another one. Nothing goes wrong until it is told so."""

    def __init__(self, backend: StateBackend) -> None:
        self.away = False
        """Whether it answers nothing at present."""
        self.full = False
        """Whether it has no room for anything that is written, as a disk."""
        self._backend = backend
        self._refusals = 0
        self._lost_answers = 0
        self._stale_at: int | None = None
        self._freezing = False
        self._thawed = asyncio.Event()
        self.waiting = asyncio.Event()
        """Set when somebody who was about to write stands still."""

    # What a test does to it

    def refuse(self, writes: int) -> None:
        """Let the next writes fail as if somebody else had written."""
        self._refusals += writes

    def lose_answers(self, writes: int) -> None:
        """Let the next writes be made, and say that they failed."""
        self._lost_answers += writes

    def freeze(self) -> None:
        """Whoever writes next stands still just before, as a process does that the system has suspended."""
        self._freezing = True
        self.waiting.clear()
        self._thawed.clear()

    def thaw(self) -> None:
        """Let it go on."""
        self._thawed.set()

    async def go_stale(self) -> None:
        """From now on reads give what is there now, whatever is written: a replica of the store that lags behind."""
        self._stale_at = (await self._backend.read("", limit=1)).revision

    def catch_up(self) -> None:
        """Reads are up to date again."""
        self._stale_at = None

    def behave(self) -> None:
        """From now on nothing goes wrong."""
        self.away = self.full = self._freezing = False
        self._refusals = self._lost_answers = 0
        self._stale_at = None
        self._thawed.set()

    # StateBackend

    async def read(self, prefix: str, *, after: str = "", limit: int = 1000, at: int | None = None) -> Page:
        """See StateBackend."""
        self._require_here()
        return await self._backend.read(prefix, after=after, limit=limit, at=at if at is not None else self._stale_at)

    async def commit(self, transaction: Transaction) -> int:
        """See StateBackend. What only checks, or renews the lease, is never refused and its answer never lost."""
        await self._stand_still()
        self._require_here()
        if self.full and transaction.writes:
            raise StorageFull("there is no room")
        if not any("/records/" in put.key or "/events/" in put.key for put in transaction.puts):
            return await self._backend.commit(transaction)
        if self._refusals:
            self._refusals -= 1
            raise StaleWrite("somebody else wrote")
        revision = await self._backend.commit(transaction)
        if self._lost_answers:
            self._lost_answers -= 1
            raise StateError("the answer was lost")
        return revision

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        """See StateBackend."""
        return self._backend.watch(prefix, after)

    def now(self) -> float:
        """See StateBackend."""
        return self._backend.now()

    async def close(self) -> None:
        """See StateBackend."""
        await self._backend.close()

    async def _stand_still(self) -> None:
        if self._freezing:
            self._freezing = False
            self.waiting.set()
            await self._thawed.wait()

    def _require_here(self) -> None:
        if self.away:
            raise StateError("the store is away")
