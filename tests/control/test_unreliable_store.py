"""A store that is away, lags behind, loses an answer, or a leader that was suspended: only timing changes (I9)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from flashcore.control.store import LostLeadership
from flashcore.hookspecs.state import StateBackend
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.errors import StateError
from flashcore.testing.invariants import Invariants
from flashcore.testing.scenes import first, live
from flashcore.testing.simulation import World, simulate
from flashcore.testing.unreliable_store import UnreliableStore

Scenario = Callable[[World, UnreliableStore], Awaitable[None]]


def lived_through(scenario: Scenario) -> World:
    """Run it on an unreliable store; the invariants hold throughout."""
    stores: list[UnreliableStore] = []
    attached: list[Invariants] = []

    def store(backend: StateBackend) -> StateBackend:
        stores.append(UnreliableStore(backend))
        return stores[0]

    async def run(world: World) -> None:
        attached.append(Invariants(world))
        await scenario(world, stores[0])

    world = simulate(run, store=store)
    attached[0].require_kept()
    return world


async def updated(world: World) -> None:
    """The second version is there, whole and alone."""
    view = await world.ready("hello")
    await asyncio.sleep(60)
    assert (live(world), len(world.provider.states()), view.status) == ({2: 3}, 3, DeploymentStatus.READY)


@pytest.mark.parametrize("trouble", ["refuse", "lose_answers"])
@pytest.mark.parametrize("writes", [1, 3])
def test_a_write_whose_outcome_is_unknown_is_decided_anew(trouble: str, writes: int) -> None:
    """From what the store holds, in the middle of an update."""

    async def scenario(world: World, store: UnreliableStore) -> None:
        await first(world, 3)
        await world.deploy("hello", 2, replicas=3)
        getattr(store, trouble)(writes)
        await updated(world)

    lived_through(scenario)


def test_an_update_waits_for_a_store_that_is_away() -> None:
    """And goes on as soon as it is back; replicas and traffic stay as they are."""

    async def scenario(world: World, store: UnreliableStore) -> None:
        await first(world, 3)
        await world.deploy("hello", 2, replicas=3)
        store.away = True
        await asyncio.sleep(120)
        assert len(world.dataplane.serving("hello")) == 3
        store.away = False
        await updated(world)

    lived_through(scenario)


def test_a_leader_that_was_suspended_writes_nothing_and_stops() -> None:
    """Another one leads meanwhile; the first one's write, when it goes on, is refused by the epoch."""

    async def scenario(world: World, store: UnreliableStore) -> None:
        await first(world, 3)
        suspended = world.controller
        store.freeze()
        asking = asyncio.ensure_future(world.deploy("hello", 2, replicas=3))
        await store.waiting.wait()

        await world.start()
        store.thaw()

        assert isinstance(await suspended.lost, LostLeadership)
        with pytest.raises(LostLeadership):
            await asking
        assert live(world) == {1: 3}
        await suspended.close()
        await world.deploy("hello", 2, replicas=3)
        await updated(world)

    lived_through(scenario)


def test_a_leader_does_not_begin_with_what_is_outdated() -> None:
    """It would end what it does not know of; a copy of the store that lags behind is told by its revision."""

    async def scenario(world: World, store: UnreliableStore) -> None:
        await first(world, 3)
        await store.go_stale()
        await world.deploy("hello", 2, replicas=3)
        await world.ready("hello")
        await world.controller.close()

        with pytest.raises(StateError, match="is read as it was at revision"):
            await world.start()

        store.catch_up()
        await world.start()
        await updated(world)

    lived_through(scenario)


def test_changes_that_nobody_told_of_are_seen_at_the_next_look() -> None:
    """A provider that tells of nothing makes an update slow, not stuck."""

    async def scenario(world: World, _store: UnreliableStore) -> None:
        await first(world, 3)
        world.provider.mute = True
        await world.deploy("hello", 2, replicas=3)
        await updated(world)

    lived_through(scenario)
