"""Another life of the controller: what runs is found again, what nobody knows is ended, nothing else changes."""

import asyncio

import pytest

from flashcore.control.sweep import GRACE
from flashcore.hookspecs.providers import Hints, Running
from flashcore.model.names import ReplicaId
from flashcore.model.revision import Revision
from flashcore.testing.scenes import first, live, update, watched
from flashcore.testing.simulated_provider import NEVER, Life
from flashcore.testing.simulation import World


def test_a_restart_at_rest_changes_nothing() -> None:
    """Not one replica, not one event."""

    async def scenario(world: World) -> None:
        await first(world, 3)
        await asyncio.sleep(5)
        before, running = len(world.events), world.provider.running()
        await world.restart()
        await asyncio.sleep(3600)
        assert len(world.events) == before
        assert world.provider.running() == running

    watched(scenario)


def test_the_first_table_of_a_new_leader_is_newer_and_serves_the_same() -> None:
    """Gateways went on with the old one; there is no table without the endpoint between them."""

    async def scenario(world: World) -> None:
        await first(world, 3)
        await asyncio.sleep(5)
        before = world.dataplane.table
        count = len(world.dataplane.tables)
        await world.restart()
        await asyncio.sleep(5)
        assert all(table.version > before.version for table in world.dataplane.tables[count:])
        assert all(table.endpoints == before.endpoints for table in world.dataplane.tables[count:])
        assert len(world.dataplane.tables) > count

    watched(scenario)


def test_a_rollout_goes_on_where_it_was() -> None:
    """In the middle of it."""

    async def scenario(world: World) -> None:
        await first(world, 4)
        await update(world, 2, 4)
        await asyncio.sleep(0.8)
        await world.restart()
        view = await world.ready("hello")
        await asyncio.sleep(5)
        assert live(world) == {2: 4}
        assert view.deployment.generation == 2

    watched(scenario)


def test_what_died_while_nobody_looked_is_replaced() -> None:
    """It was gone before the new controller began."""

    async def scenario(world: World) -> None:
        await first(world, 3)
        await asyncio.sleep(5)
        await world.controller.close()
        world.provider.kill(min(world.provider.states()))
        await asyncio.sleep(5)
        await world.start()
        await world.until("hello", lambda view: view.ready == 2, 1)
        await world.ready("hello", 5)

    watched(scenario)


def test_e44_the_deadline_of_warming_up_survives_a_restart() -> None:
    """E44: what is only in memory is lost; since when the process runs is not."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(ready_after=NEVER)
        await world.deploy("hello", 1, initial_delay=60.0)
        await asyncio.sleep(40)
        await world.restart()
        await world.until("hello", lambda _view: "replica.draining" in world.kinds(), 60)
        begun = next(event.at for event in world.events if event.kind == "replica.warming_up")
        ended = next(event.at for event in world.events if event.kind == "replica.draining")
        assert ended - begun == pytest.approx(60, abs=0.1)

    watched(scenario)


def test_taking_down_goes_on_after_a_restart() -> None:
    """To the end."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(stops_after=20)
        await first(world, 3)
        await world.controller.undeploy("hello")
        await world.restart()
        await world.controller.wait_gone("hello", 60)
        assert world.provider.states() == {}

    watched(scenario)


def test_what_runs_and_is_in_no_record_is_ended_after_a_grace() -> None:
    """State was lost, or an older leader made it; a state that is being restored may yet know it."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        (known,) = world.provider.states()
        (revision,) = world.view("hello").revisions
        stranger = Revision("f" * 64, revision.content, 9, 0.0)  # type: ignore[arg-type]  # a revision of another time
        await world.provider.apply(stranger, frozenset({ReplicaId("hello-ffffff-0001")}), Hints())
        await asyncio.sleep(GRACE - 1)
        assert len(world.provider.states()) == 2
        await asyncio.sleep(5)
        assert set(world.provider.states()) == {known}
        assert "revision.swept" in world.kinds()

    watched(scenario)


def test_a_replica_too_many_of_a_known_revision_is_ended_at_once() -> None:
    """The store knows which there are."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        (known,) = world.provider.states()
        (revision,) = world.view("hello").revisions
        await world.provider.apply(revision, frozenset({known, ReplicaId("hello-000000-9999")}), Hints())
        await asyncio.sleep(2)
        assert set(world.provider.states()) == {known}

    watched(scenario)


def test_a_reboot_of_the_machine_brings_everything_back() -> None:
    """Nothing runs, the records say that all is well: they are trusted for an interval and made true."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await asyncio.sleep(5)
        await world.controller.close()
        for replica in tuple(world.provider.states()):
            world.provider.vanish(replica)
        await world.start()
        await world.until("hello", lambda view: view.ready == 0, 30)
        view = await world.ready("hello", 30)
        assert view.ready == 2
        assert len([one for one in world.provider.states().values() if isinstance(one, Running)]) == 2

    watched(scenario)
