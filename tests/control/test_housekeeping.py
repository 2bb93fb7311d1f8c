"""What is done at intervals, and what happens when it cannot be done."""

import asyncio

import pytest

from flashcore.control import housekeeping
from flashcore.hookspecs.state import StateBackend, Transaction
from flashcore.model.errors import StateError
from flashcore.testing.scenes import first
from flashcore.testing.simulation import World, simulate


async def restless(world: World, seconds: int) -> None:
    """Another number of replicas every minute."""
    for minute in range(seconds // 60):
        await world.controller.scale("hello", 1 + minute % 2)
        await asyncio.sleep(60)


def test_old_events_are_forgotten_beyond_the_newest_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an hour; the newest stay whatever their age."""
    monkeypatch.setattr(housekeeping, "KEEP_EVENTS", 50)
    monkeypatch.setattr(housekeeping, "KEEP_SECONDS", 1800.0)

    async def scenario(world: World) -> None:
        await first(world, 1)
        await restless(world, 3 * 3600)
        assert len(world.events) > 500
        kept = await world.controller.events(limit=10_000)
        assert 50 <= len(kept) < 400
        assert [one.event for one in kept] == world.events[-len(kept) :]
        assert len(await world.controller.last_events(7)) == 7

    simulate(scenario)


class Away:
    """A store that does not delete while it is told so."""

    def __init__(self, backend: StateBackend) -> None:
        self.away = False
        self.refused = 0
        self._backend = backend

    def __getattr__(self, name: str) -> object:
        """Everything but commits is as it was."""
        return getattr(self._backend, name)

    async def commit(self, transaction: Transaction) -> int:
        """Refuse to forget events."""
        if self.away and any("/events/" in key for key in transaction.deletes):
            self.refused += 1
            raise StateError("the store is away")
        return await self._backend.commit(transaction)


def test_a_store_that_is_away_ends_nothing_but_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again, and the controller goes on leading."""
    monkeypatch.setattr(housekeeping, "KEEP_EVENTS", 5)
    monkeypatch.setattr(housekeeping, "KEEP_SECONDS", 0.0)
    stores: list[Away] = []

    def store(backend: StateBackend) -> StateBackend:
        stores.append(Away(backend))
        return stores[0]  # type: ignore[return-value]  # __getattr__ has the rest of it

    async def scenario(world: World) -> None:
        await first(world, 1)
        stores[0].away = True
        await restless(world, 4000)
        assert stores[0].refused > 1
        assert not world.controller.lost.done()
        stores[0].away = False
        await asyncio.sleep(3700)
        assert len(await world.controller.events(limit=10_000)) == 5

    simulate(scenario, store=store)


def test_endpoints_may_have_any_name() -> None:
    """Also names that sound like the housekeeping's."""

    async def scenario(world: World) -> None:
        for name in ("sweep", "prune"):
            await world.deploy(name, 1)
            await world.ready(name)

    simulate(scenario)


def test_events_can_be_followed_from_any_point() -> None:
    """Those that were, then those that come."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        seen: list[str] = []

        async def follow() -> None:
            async for recorded in world.controller.watch_events(endpoint="hello"):
                seen.append(recorded.event.kind)  # noqa: PERF401  # it never ends

        following = asyncio.ensure_future(follow())
        await asyncio.sleep(1)
        assert seen == world.kinds()
        await world.controller.scale("hello", 2)
        await world.ready("hello")
        await asyncio.sleep(1)
        following.cancel()
        assert seen == world.kinds()

    simulate(scenario)
