"""Killing a controller at any of its writes: whatever it was about to do, another one brings it to the same end.

    def test_it_survives_a_crash_anywhere():
        assert crash_update_anywhere(PartRef("acme"), {"acme": lambda: AcmeStrategy(Acme())}) > 1

`crash_anywhere(prepare, begin, end)` is for anything else: `prepare` brings a world to where it begins, `begin` asks
for something, `end` waits until that has come to its end, and returns what is to be compared. It is run once to count
its writes, then once for each write and each side of it: killed just before the write, and just after it, before
anything could follow from it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from flashcore.control.readmodel import DeploymentView
from flashcore.hookspecs.state import Batch, Page, StateBackend, Transaction
from flashcore.hookspecs.strategies import Strategy
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.errors import FlashcoreError, Refused
from flashcore.model.parts import PartRef
from flashcore.testing.conformance import Nonconformance
from flashcore.testing.invariants import Invariants
from flashcore.testing.simulation import World, simulate

T = TypeVar("T")
AFTERMATH = 600.0
"""Seconds after which nothing is left of an update: longer than old sides are kept."""


class Side(Enum):
    """Of a write."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Kill:
    """Where the controller ends."""

    write: int
    """Counted from 1, from when the store begins to count."""
    side: Side


class CountingStore:
    """A StateBackend that counts writes of a controller's passes, and stops answering where it is told to."""

    def __init__(self, backend: StateBackend) -> None:
        self.writes = 0
        self.kill: Kill | None = None
        self.killed = asyncio.Event()
        self._backend = backend

    async def read(self, prefix: str, *, after: str = "", limit: int = 1000, at: int | None = None) -> Page:
        """See StateBackend."""
        return await self._backend.read(prefix, after=after, limit=limit, at=at)

    async def commit(self, transaction: Transaction) -> int:
        """See StateBackend. A killed controller never hears of what it wrote last."""
        if not any("/records/" in put.key or "/events/" in put.key for put in transaction.puts):
            return await self._backend.commit(transaction)
        self.writes += 1
        await self._die_if(Side.BEFORE)
        revision = await self._backend.commit(transaction)
        await self._die_if(Side.AFTER)
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

    async def _die_if(self, side: Side) -> None:
        if self.kill == Kill(self.writes, side):
            self.kill = None
            self.killed.set()
            await asyncio.get_running_loop().create_future()


def crash_anywhere(
    prepare: Callable[[World], Awaitable[None]],
    begin: Callable[[World], Awaitable[object]],
    end: Callable[[World], Awaitable[T]],
) -> int:
    """Run it unharmed, then killed at each write; raises Nonconformance unless every end is the same.

    Writes of `prepare` do not count. Returns how many runs there were.
    """
    expected, writes = _run(prepare, begin, end, None)
    kills = [Kill(write, side) for write in range(1, writes + 1) for side in Side]
    for kill in kills:
        where = f"killed {kill.side.value} write {kill.write}"
        try:
            seen, _ = _run(prepare, begin, end, kill)
        except FlashcoreError as error:
            raise Nonconformance(f"{where}: {error.message}") from error
        if seen != expected:
            raise Nonconformance(f"{where}: {seen!r}, not {expected!r}")
    return len(kills) + 1


def crash_update_anywhere(
    strategy: PartRef, made: Mapping[str, Callable[..., Strategy]] | None = None, *, replicas: int = 3, **policy: Any
) -> int:
    """Update by a strategy, killed at each write: in the end there is the new version, whole and alone.

    `made` makes strategies that no plugin offers, by name. Where it waits for a person, it is promoted. Raises
    Nonconformance; returns how many runs there were.
    """
    settings: dict[str, Any] = {"replicas": replicas, "strategy": strategy, **policy}

    async def prepare(world: World) -> None:
        world.parts.strategies.made.update(made or {})
        await world.deploy("hello", 1, **settings)
        await world.ready("hello")

    async def begin(world: World) -> None:
        await world.deploy("hello", 2, **settings)
        while not (await world.until("hello", _stands_still)).settled:
            with contextlib.suppress(Refused):
                await world.controller.promote("hello")

    async def end(world: World) -> object:
        await world.settled("hello")
        await asyncio.sleep(AFTERMATH)
        view = world.view("hello")
        left = {(side.number, side.live) for side in view.sides if side.live}
        return left, len(world.provider.states()), view.status.value

    return crash_anywhere(prepare, begin, end)


def _stands_still(view: DeploymentView) -> bool:
    return view.settled or view.status is DeploymentStatus.AWAITING_PROMOTION


def _run(
    prepare: Callable[[World], Awaitable[None]],
    begin: Callable[[World], Awaitable[object]],
    end: Callable[[World], Awaitable[T]],
    kill: Kill | None,
) -> tuple[T, int]:
    stores: list[CountingStore] = []
    ends: list[T] = []

    def store(backend: StateBackend) -> StateBackend:
        stores.append(CountingStore(backend))
        return stores[0]

    async def scenario(world: World) -> None:
        invariants = Invariants(world)
        await prepare(world)
        stores[0].writes, stores[0].kill = 0, kill
        begun = asyncio.ensure_future(begin(world))
        if kill is not None:
            await _kill_and_begin_again(world, stores[0], begun, begin)
            invariants.forget()
        await begun if kill is None else None
        ends.append(await end(world))
        invariants.require_kept()

    simulate(scenario, store=store)
    return ends[0], stores[0].writes


async def _kill_and_begin_again(
    world: World,
    store: CountingStore,
    begun: asyncio.Future[object],
    begin: Callable[[World], Awaitable[object]],
) -> None:
    await store.killed.wait()
    begun.cancel()
    await world.restart()
    # Whoever asked has heard nothing, and asks again; operations are idempotent.
    await begin(world)
