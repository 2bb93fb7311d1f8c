"""Between rollouts: what dies is replaced, what is too much goes, what failed is given up with care."""

import asyncio
import itertools

import pytest

from flashcore.control.backoff import CAP, STEADY, after_failure, after_success, delay
from flashcore.control.draft import Casualty
from flashcore.hookspecs.providers import Running
from flashcore.model.declaration import ProbePolicy
from flashcore.model.deployment import Backoff, DeploymentStatus
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.replica import Health, Phase, Replica
from flashcore.testing.scenes import first, live, started, watched
from flashcore.testing.simulated_provider import NEVER, Life
from flashcore.testing.simulation import World


def test_e52_a_replica_that_is_killed_by_hand_is_replaced() -> None:
    """E52: at once."""

    async def scenario(world: World) -> None:
        await first(world, 3)
        await asyncio.sleep(300)
        victim = min(world.provider.states())
        world.provider.kill(victim)
        await world.until("hello", lambda view: view.ready == 2, 1)
        view = await world.ready("hello", 5)
        assert view.ready == 3
        assert victim not in world.provider.states()

    watched(scenario)


def test_a_replica_that_vanishes_without_a_word_is_made_again() -> None:
    """A machine was lost with it: its id is still wanted, so its provider starts it anew or says that it is gone."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        world.provider.vanish(min(world.provider.states()))
        await world.until("hello", lambda view: view.ready == 1, 60)
        view = await world.ready("hello", 60)
        assert view.ready == 2
        assert len([one for one in world.provider.states().values() if isinstance(one, Running)]) == 2

    watched(scenario)


def test_e54_a_crash_looping_revision_is_replaced_ever_more_seldom() -> None:
    """E54: it gets ready, serves for five seconds and dies; for an hour."""

    async def scenario(world: World) -> None:
        old = await first(world, 1)
        world.provider.script = lambda _replica, _revision: Life(ends_after=5)
        world.provider.kill(min(world.provider.states()))
        await asyncio.sleep(3600)
        assert 8 < len(started(world, old)) < 30
        assert world.view("hello").status in (DeploymentStatus.FAILED, DeploymentStatus.DEGRADED)
        world.provider.script = lambda _replica, _revision: Life()
        await world.ready("hello", CAP + 10)

    watched(scenario)


def test_e53_pending_replicas_go_first_when_the_goal_drops() -> None:
    """E53: not enough resources: what waits is what is missed least."""

    async def scenario(world: World) -> None:
        world.provider.places = 2
        await world.deploy("hello", 1, replicas=4)
        await world.until("hello", lambda view: view.ready == 2)
        serving = world.provider.running()
        await world.controller.scale("hello", 2)
        view = await world.ready("hello")
        assert {one.id for side in view.sides for one in side.replicas if one.live} == serving

    watched(scenario)


@pytest.mark.parametrize("counts", list(itertools.permutations([1, 3, 6, 2])))
def test_scaling_up_and_down_ends_where_it_was_told(counts: tuple[int, ...]) -> None:
    """In any order, without waiting between."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        for count in counts:
            await world.controller.scale("hello", count)
            await asyncio.sleep(0.3)
        view = await world.until("hello", lambda view: view.ready == counts[-1], 60)
        await asyncio.sleep(5)
        assert view.goal == counts[-1]
        assert live(world) == {1: counts[-1]}

    watched(scenario)


def test_a_goal_of_zero_is_idle_and_not_ready() -> None:
    """E77: nothing is ready, so it is not called so."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await world.controller.scale("hello", 0)
        view = await world.until("hello", lambda view: view.status is DeploymentStatus.IDLE)
        await asyncio.sleep(5)
        assert live(world) == {}
        assert view.reason == "the goal is 0 replicas"
        await world.controller.scale("hello", 1)
        await world.ready("hello")

    watched(scenario)


def test_e15_a_revision_activated_at_goal_zero_is_not_called_verified() -> None:
    """E15: a person's zero stands; the status says that it was never probed."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await world.controller.scale("hello", 0)
        await world.until("hello", lambda view: view.status is DeploymentStatus.IDLE)
        await asyncio.sleep(5)
        before = len(world.provider.started)
        await world.deploy("hello", 2, replicas=2)
        view = await world.settled("hello")
        assert view.status is DeploymentStatus.IDLE
        assert "never probed" in view.reason
        assert len(world.provider.started) == before

    watched(scenario)


def test_a_replica_whose_probes_fail_for_long_is_given_up_and_replaced() -> None:
    """S16, S11: first unhealthy and out of the traffic, then failed, then replaced by another."""

    async def scenario(world: World) -> None:
        await first(world, 3, health=ProbePolicy(interval=1.0))
        sick = min(world.provider.states())
        world.probe.fail(sick)
        await world.until("hello", lambda view: view.ready == 2)
        await asyncio.sleep(0.1)
        assert sick not in world.dataplane.serving("hello")
        assert sick in world.provider.states()
        view = await world.ready("hello")
        await asyncio.sleep(60)
        assert view.ready == 3
        assert sick not in world.provider.states()
        assert "replica.unhealthy" in world.kinds()
        assert "replica.failed" in world.kinds()

    watched(scenario)


def test_a_replica_that_recovers_is_kept() -> None:
    """Unhealthy for a moment: it comes back into the traffic, and nobody is made in its place."""

    async def scenario(world: World) -> None:
        await first(world, 3, health=ProbePolicy(interval=4.0))
        sick = min(world.provider.states())
        world.probe.fail(sick)
        await world.until("hello", lambda view: view.ready == 2)
        world.probe.answers.clear()
        await world.ready("hello")
        assert len(world.provider.started) == 3

    watched(scenario)


def test_e60_when_all_replicas_look_failed_they_are_given_up_one_at_a_time() -> None:
    """E60: it may as well be the prober that is cut off: the next goes when it is known how its heir does."""

    async def scenario(world: World) -> None:
        await first(world, 4, health=ProbePolicy(interval=1.0))
        for replica in world.provider.states():
            world.probe.fail(replica)
        await asyncio.sleep(40)
        heir = next(
            event.at for event in world.events if event.kind == "replica.ready" and event.replica in heirs(world)
        )
        assert len([event for event in world.events if event.kind == "replica.draining" and event.at < heir]) == 1

    watched(scenario)


def heirs(world: World) -> set[ReplicaId]:
    """Replicas that were made after the first four."""
    return set(world.provider.started[4:])


def test_a_replica_that_is_not_ready_in_time_has_failed() -> None:
    """The initial delay is over."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(runs_after=100, ready_after=NEVER)
        await world.deploy("hello", 1, replicas=1, initial_delay=30.0)
        await world.until("hello", lambda _view: "replica.draining" in world.kinds(), 200)
        event = next(event for event in world.events if event.kind == "replica.draining")
        begun = next(event for event in world.events if event.kind == "replica.warming_up")
        assert event.at - begun.at == pytest.approx(30)
        assert "not ready within 30 s" in event.message

    watched(scenario)


def lost(created: float, *, ran_for: float | None = None, permanent: bool = False) -> Casualty:
    """A replica that failed."""
    replica = Replica(ReplicaId("r"), EndpointName("e"), RevisionId("v"), created, Phase.DRAINING, health=Health.FAILED)
    return Casualty(replica, ran_for, permanent)


def test_the_back_off_doubles_up_to_a_cap() -> None:
    """The first replacement is immediate."""
    assert [delay(count) for count in range(6)] == [0, 0, 1, 2, 4, 8]
    assert delay(1000) == CAP


def test_replicas_that_fall_together_are_one_failure() -> None:
    """Three that were made at once and fail at once."""
    backoff = Backoff()
    for _ in range(3):
        backoff = after_failure(backoff, lost(created=1.0), now=5.0)

    assert backoff.starts == 1
    assert after_failure(backoff, lost(created=5.0), now=6.0).starts == 2


def test_a_start_that_succeeds_ends_a_row_of_failed_starts_and_not_one_of_crashes() -> None:
    """Else a replica that is ready for a moment and dies would be replaced without a pause."""
    failing = Backoff(starts=5, until=100.0)
    crashing = Backoff(crashes=5, until=100.0)

    assert after_success(failing, 10.0) == Backoff(starts=0, until=10.0)
    assert after_success(crashing, 10.0) == crashing


def test_a_crash_after_long_service_is_the_first_one() -> None:
    """Whatever was before."""
    crashing = Backoff(crashes=5, counted_at=1.0)

    assert after_failure(crashing, lost(2.0, ran_for=STEADY), 100.0).crashes == 1
    assert after_failure(crashing, lost(2.0, ran_for=STEADY - 1), 100.0).crashes == 6


def test_what_cannot_be_helped_waits_as_long_as_anything() -> None:
    """The provider said that it is permanent."""
    assert after_failure(Backoff(), lost(1.0, permanent=True), 10.0).until == 10.0 + CAP
