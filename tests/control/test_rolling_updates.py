"""Rolling updates on the real controller, in virtual time; each with the invariants checked at every commit."""

import asyncio

import pytest

from flashcore.model.declaration import ProbePolicy
from flashcore.model.deployment import DeploymentStatus, RolloutState
from flashcore.model.names import RevisionId
from flashcore.model.parts import PartRef
from flashcore.testing.scenes import first, live, started, update, watched
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import World

BY_ONE = PartRef("rolling", options={"max_surge": 1, "max_unavailable": 0})
QUARTERS = PartRef("rolling")


@pytest.mark.parametrize("goal", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("strategy", [BY_ONE, QUARTERS, PartRef("rolling", options={"max_surge": 0})])
def test_an_update_ends_with_the_goal_of_the_new_revision(goal: int, strategy: PartRef) -> None:
    """And with nothing of the old one."""

    async def scenario(world: World) -> None:
        old = await first(world, goal, strategy=strategy)
        new = await update(world, 2, goal, strategy=strategy)
        view = await world.ready("hello")
        await asyncio.sleep(10)
        assert (view.stable, view.deployment.history) == (new, (old,))
        assert live(world) == {2: goal}

    watched(scenario)


def test_m6_m7_a_target_that_never_gets_ready_stops_at_eight_and_five() -> None:
    """M6, M7: the old side keeps what must be ready, the target has the room that is left."""

    async def scenario(world: World) -> None:
        await first(world, 10)
        world.provider.script = lambda _replica, _revision: Life(ready_after=NEVER)
        await update(world, 2, 10)
        await asyncio.sleep(30)
        assert live(world) == {1: 8, 2: 5}

    watched(scenario)


def test_e03_a_replica_that_is_not_ready_counts_as_existing_and_not_as_available() -> None:
    """E03: so no duplicate of it is made, and nothing old goes for it."""

    async def scenario(world: World) -> None:
        await first(world, 4, strategy=BY_ONE)
        world.provider.script = lambda _replica, _revision: Life(ready_after=NEVER)
        await update(world, 2, 4, strategy=BY_ONE)
        await asyncio.sleep(60)
        assert live(world) == {1: 4, 2: 1}

    watched(scenario)


def test_e08_progress_goes_on_beside_a_replica_that_is_never_placed() -> None:
    """E08: one new replica stays pending; the others take their places as far as the budget goes."""

    async def scenario(world: World) -> None:
        strategy = PartRef("rolling", options={"max_surge": 2, "max_unavailable": 0})
        await first(world, 4, strategy=strategy)
        pending: list[str] = []

        def script(replica: str, _revision: RevisionId) -> Life:
            pending.append(replica)
            return Life(runs_after=NEVER) if len(pending) == 1 else Life()

        world.provider.script = script
        await update(world, 2, 4, strategy=strategy)
        await asyncio.sleep(60)
        view = world.view("hello")
        assert live(world) == {1: 1, 2: 4}
        assert view.ready == 4
        assert "waiting for a machine" in view.reason

    watched(scenario)


def test_e04_an_old_replica_that_is_unwell_goes_first() -> None:
    """E04: and is not counted among those that serve."""

    async def scenario(world: World) -> None:
        await first(world, 4, strategy=BY_ONE)
        sick = sorted(world.provider.states())[2]
        world.probe.fail(sick)
        await world.until("hello", lambda view: view.ready == 3)
        await update(world, 2, 4, strategy=BY_ONE)
        await world.until("hello", lambda _view: "replica.draining" in world.kinds())
        drained = next(event.replica for event in world.events if event.kind == "replica.draining")
        assert drained == sick
        await world.ready("hello")

    watched(scenario)


def test_e06_an_old_replica_that_is_stuck_is_never_refilled() -> None:
    """E06: the new side is whole: the old one is dropped and the rollout ends."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BY_ONE)
        world.provider.script = by_revision({old: Life(runs_after=NEVER)})
        world.provider.kill(min(world.provider.states()))
        await world.until("hello", lambda view: view.ready == 2)
        await update(world, 2, 3, strategy=BY_ONE)
        view = await world.ready("hello")
        assert view.ready == 3
        assert len(started(world, old)) == 4

    watched(scenario)


def test_e07_the_places_of_old_replicas_that_die_go_to_the_new_revision() -> None:
    """E07: nothing refills the old side, where the target has shown that it works."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BY_ONE)
        world.provider.script = lambda _replica, _revision: Life(ready_after=20)
        await update(world, 2, 3, strategy=BY_ONE)
        await asyncio.sleep(1)
        for replica in started(world, old)[:2]:
            world.provider.kill(replica)
        await asyncio.sleep(1)
        assert live(world) == {1: 1, 2: 3}
        await world.ready("hello")
        assert len(started(world, old)) == 3

    watched(scenario)


def test_e11_with_nothing_of_the_old_left_the_new_revision_is_made_at_once() -> None:
    """E11: nobody is served: there is nothing to wait for."""

    async def scenario(world: World) -> None:
        old = await first(world, 4, strategy=BY_ONE)
        world.provider.script = by_revision({old: Life(runs_after=NEVER)})
        for replica in sorted(world.provider.states()):
            world.provider.kill(replica)
        await world.until("hello", lambda view: view.ready == 0)
        await update(world, 2, 4, strategy=BY_ONE)
        assert live(world) == {2: 4}
        view = await world.ready("hello")
        assert view.ready == 4

    watched(scenario)


def test_e13_steps_that_make_progress_are_no_retries() -> None:
    """E13: thirty steps of a minute each, with a deadline of two minutes."""

    async def scenario(world: World) -> None:
        await first(world, 30, strategy=BY_ONE)
        world.provider.script = lambda _replica, _revision: Life(ready_after=60)
        await update(world, 2, 30, strategy=BY_ONE, progress_deadline=120.0)
        view = await world.ready("hello")
        assert view.ready == 30

    watched(scenario)


@pytest.mark.parametrize(("before", "after"), [(4, 8), (8, 3), (4, 1), (2, 10)])
def test_e14_a_goal_that_changes_in_mid_rollout_is_reached(before: int, after: int) -> None:
    """E14: the bounds are computed again, and it still comes to its end."""

    async def scenario(world: World) -> None:
        await first(world, before)
        await update(world, 2, before)
        await asyncio.sleep(0.8)
        await world.controller.scale("hello", after)
        view = await world.ready("hello")
        await asyncio.sleep(10)
        assert (view.goal, view.ready) == (after, after)
        assert live(world) == {2: after}

    watched(scenario)


def test_m26_a_goal_that_rises_beside_a_broken_target_grows_the_stable_side() -> None:
    """M26: elsewhere all growth goes to the broken side; here users get it."""

    async def scenario(world: World) -> None:
        strategy = PartRef("rolling", options={"max_surge": 2, "max_unavailable": 0})
        await first(world, 4, strategy=strategy)
        old = world.view("hello").stable
        assert old is not None
        world.provider.script = by_revision({old: Life()}, Life(ready_after=NEVER))
        await update(world, 2, 4, strategy=strategy)
        await asyncio.sleep(5)
        assert live(world) == {1: 4, 2: 2}
        await world.controller.scale("hello", 8)
        await asyncio.sleep(5)
        assert live(world) == {1: 8, 2: 2}
        await world.controller.scale("hello", 4)
        await asyncio.sleep(5)
        assert live(world) == {1: 4, 2: 2}

    watched(scenario)


def test_m15_a_third_revision_in_mid_rollout_takes_the_place_of_the_second() -> None:
    """M15, M55: both new ones crash: the first stays whole throughout."""

    async def scenario(world: World) -> None:
        old = await first(world, 4, strategy=BY_ONE)
        world.provider.script = by_revision({old: Life()}, Life(ready_after=NEVER))
        await update(world, 2, 4, strategy=BY_ONE)
        await asyncio.sleep(5)
        await update(world, 3, 4, strategy=BY_ONE)
        await asyncio.sleep(5)
        assert live(world) == {1: 4, 3: 1}
        assert world.view("hello").ready == 4

    watched(scenario)


def test_m18_a_side_that_was_superseded_counts_as_old_and_goes_at_once() -> None:
    """M18: it does not finish first, and its ready replicas serve until others do."""

    async def scenario(world: World) -> None:
        await first(world, 10)
        world.provider.script = lambda _replica, _revision: Life(ready_after=5)
        await update(world, 2, 10)
        await world.until("hello", lambda view: any(side.number == 2 and side.ready for side in view.sides))
        await update(world, 3, 10)
        view = await world.ready("hello")
        await asyncio.sleep(10)
        assert live(world) == {3: 10}
        assert view.rollout is not None
        assert view.rollout.generation == 3
        assert "rollout.superseded" in world.kinds()

    watched(scenario)


def test_the_deadline_of_progress_takes_a_rollout_back_and_says_what_it_waited_for() -> None:
    """A target that only loads makes no progress."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BY_ONE)
        world.provider.script = by_revision({old: Life()}, Life(ready_after=NEVER))
        await update(world, 2, 3, strategy=BY_ONE, progress_deadline=60.0)
        view = await world.settled("hello")
        await asyncio.sleep(10)
        assert view.status is DeploymentStatus.DEGRADED
        assert view.rollout is not None
        assert (view.rollout.state, view.rollout.reason_code) == (RolloutState.FAILED, "progress_deadline")
        assert "warming_up" in view.reason
        assert live(world) == {1: 3}

    watched(scenario)


def test_e59_without_probes_a_rollout_completes() -> None:
    """E59: not probing is a choice, not a failure."""

    async def scenario(world: World) -> None:
        await first(world, 3, health=ProbePolicy(disabled=True))
        await update(world, 2, 3, health=ProbePolicy(disabled=True))
        view = await world.ready("hello")
        await asyncio.sleep(100)
        assert view.ready == 3
        assert world.probe.asked == []

    watched(scenario)


def test_i6_a_deployment_at_rest_writes_nothing() -> None:
    """For a day."""

    async def scenario(world: World) -> None:
        await first(world, 3)
        await update(world, 2, 3)
        await world.ready("hello")
        await asyncio.sleep(60)
        before = len(world.events)
        at_rest = world.view("hello").deployment
        await asyncio.sleep(86_400)
        assert len(world.events) == before
        assert world.view("hello").deployment == at_rest

    watched(scenario)
