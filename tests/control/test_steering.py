"""What people ask of a rollout, of replicas and of the traffic: promote fully, retry, restart, undo, cordon."""

import asyncio

import pytest

from flashcore.control.refusals import NoRollout, NothingToRestart, NothingToRetry, RolloutUnderWay
from flashcore.model.deployment import DeploymentStatus, RolloutState
from flashcore.model.errors import NotFound, Refused
from flashcore.model.parts import PartRef
from flashcore.model.replica import Phase
from flashcore.testing.scenes import first, live, started, update, watched
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import World

BY_HAND = PartRef("blue_green", options={"auto_promote": False, "keep_old": 300.0})
WAITS = DeploymentStatus.AWAITING_PROMOTION


def test_m48_a_full_promotion_skips_gates_but_no_rule_of_capacity() -> None:
    """M48: asked for while the target warms up, it is stable as soon as all of it is ready, and not before."""

    async def scenario(world: World) -> None:
        await first(world, 2, strategy=BY_HAND)
        await update(world, 2, 2, strategy=BY_HAND)
        await world.controller.promote_fully("hello")
        await world.controller.promote_fully("hello")
        assert world.view("hello").rollout is not None
        assert live(world) == {1: 2, 2: 2}
        view = await world.ready("hello")
        assert [side.number for side in view.sides if side.role == "stable"] == [2]
        assert world.kinds("rollout.promoted") == ["rollout.promoted"]

    watched(scenario)


def test_a_full_promotion_ends_a_pause_and_needs_a_rollout() -> None:
    """It is refused by type where there is none, and while one is taken back."""

    async def scenario(world: World) -> None:
        await first(world, 2, strategy=BY_HAND)
        with pytest.raises(NoRollout):
            await world.controller.promote_fully("hello")
        await update(world, 2, 2, strategy=BY_HAND)
        await world.controller.pause("hello")
        await world.controller.promote_fully("hello")
        await world.ready("hello")
        await update(world, 3, 2, strategy=BY_HAND)
        await world.until("hello", lambda view: view.status is WAITS)
        both = (world.controller.abort("hello"), world.controller.promote_fully("hello"))
        _, refused = await asyncio.gather(*both, return_exceptions=True)
        assert isinstance(refused, Refused)
        assert "taken back" in refused.message

    watched(scenario)


def test_m47_one_promotion_passes_one_checkpoint() -> None:
    """M47, M30: also when it is asked for twice; aborting what is through is refused and changes nothing."""

    async def scenario(world: World) -> None:
        await first(world, 2, strategy=BY_HAND)
        await update(world, 2, 2, strategy=BY_HAND)
        await world.until("hello", lambda view: view.status is WAITS)
        await asyncio.gather(world.controller.promote("hello"), world.controller.promote("hello"))
        view = await world.ready("hello")
        with pytest.raises(NoRollout):
            await world.controller.abort("hello")
        assert world.view("hello").stable == view.stable
        assert world.view("hello").ready >= 2

    watched(scenario)


def test_m31_a_retry_begins_with_the_first_step_and_a_fresh_deadline() -> None:
    """M31: of a rollout that failed long ago; a second retry changes nothing."""

    async def scenario(world: World) -> None:
        stable = await first(world, 2, progress_deadline=60.0)
        world.provider.script = lambda _, revision: Life() if revision == stable else Life(ready_after=NEVER)
        target = await update(world, 2, 2, progress_deadline=60.0)
        view = await world.settled("hello")
        assert view.rollout is not None
        assert view.rollout.state is RolloutState.FAILED
        await asyncio.sleep(500)
        world.provider.script = lambda _replica, _revision: Life()
        retried = await world.controller.retry("hello")
        assert retried.rollout is not None
        assert (retried.rollout.target, retried.rollout.step, retried.rollout.state) == (
            target,
            "",
            RolloutState.RUNNING,
        )
        assert retried.rollout.progress_at == world.clock.now()
        assert (await world.controller.retry("hello")).generation == retried.generation
        view = await world.ready("hello")
        assert view.stable == target

    watched(scenario)


def test_i8_abort_retry_abort_is_one_abort() -> None:
    """Each may come before the last one is through; in the end the first version serves alone."""

    async def scenario(world: World) -> None:
        stable = await first(world, 3, strategy=BY_HAND)
        await update(world, 2, 3, strategy=BY_HAND)
        await world.until("hello", lambda view: view.status is WAITS)
        abort, retry = world.controller.abort, world.controller.retry
        await asyncio.gather(abort("hello"), abort("hello"), retry("hello"), abort("hello"), abort("hello"))
        view = await world.ready("hello")
        assert (view.stable, live(world)) == (stable, {1: 3})

    watched(scenario)


def test_what_came_to_its_end_is_not_retried() -> None:
    """By type, also for an endpoint that never had another rollout than its first."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        with pytest.raises(NothingToRetry):
            await world.controller.retry("hello")

    watched(scenario)


def test_m34_undo_to_a_side_that_is_still_warm_asks_no_gate() -> None:
    """M34: no replica is started, nobody is waited for, and the side is no longer about to go."""

    async def scenario(world: World) -> None:
        stable = await first(world, 2, strategy=BY_HAND)
        await update(world, 2, 2, strategy=BY_HAND)
        await world.until("hello", lambda view: view.status is WAITS)
        await world.controller.promote("hello")
        await world.until("hello", lambda view: view.stable != stable)
        await asyncio.sleep(100)
        made, began = len(world.provider.started), world.clock.now()
        await world.controller.undo("hello")
        view = await world.until("hello", lambda view: view.stable == stable)
        assert world.clock.now() - began < 0.1
        assert len(world.provider.started) == made
        assert all(entry.revision != stable for entry in view.deployment.retiring)

    watched(scenario)


def test_m33_undo_within_the_window_asks_no_gate() -> None:
    """M33: counted are the revisions that lie strictly between; beyond the window the gates are asked again."""

    async def scenario(world: World) -> None:
        policy = {"strategy": PartRef("blue_green", options={"auto_promote": False}), "undo_window": 2}
        await first(world, 1, **policy)
        for version in (2, 3, 4):
            await update(world, version, 1, **policy)
            await world.until("hello", lambda view: view.status is WAITS)
            await world.controller.promote("hello")
            await world.ready("hello")
        numbers = {revision.number: revision.id for revision in world.view("hello").revisions}
        await world.controller.undo("hello", numbers[1])
        await world.until("hello", lambda view: view.status is WAITS)
        await world.controller.abort("hello")
        await world.ready("hello")
        await world.controller.undo("hello", numbers[2])
        view = await world.ready("hello")
        assert view.stable == numbers[2]

    watched(scenario)


def test_m37_a_restart_replaces_one_at_a_time_and_never_serves_with_less() -> None:
    """M35, M37: the oldest goes first, a replica more is there before one goes; asking twice is asking once."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        await world.controller.scale("hello", 3)
        await world.until("hello", lambda view: view.ready == 3)
        await asyncio.sleep(10)
        before = list(world.provider.started)
        least = most = 3
        await world.controller.restart("hello")
        await world.controller.restart("hello")
        gone: list[str] = []
        async for view in world.controller.follow("hello"):
            replicas = [replica for side in view.sides for replica in side.replicas]
            least, most = min(least, view.ready), max(most, sum(replica.live for replica in replicas))
            gone += [one.id for one in replicas if one.phase is Phase.DRAINING and one.id not in gone]
            if view.deployment.restart_at is None:
                break
        view = await world.ready("hello")
        now = {replica.id for side in view.sides for replica in side.replicas if replica.live}
        assert (least, most, gone) == (3, 4, before)
        assert now.isdisjoint(before)
        assert len(view.revisions) == 1
        assert world.kinds("restart") == ["restart.started", "restart.done"]

    watched(scenario)


def test_m37_a_restart_of_one_replica_has_no_gap() -> None:
    """M37: its successor is ready before it goes."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        await asyncio.sleep(1)
        await world.controller.restart("hello")
        async for view in world.controller.follow("hello"):
            assert view.ready >= 1
            if view.deployment.restart_at is None:
                break
        assert len(world.provider.started) == 2

    watched(scenario)


def test_a_restart_whose_replacements_fail_loses_nothing() -> None:
    """What runs goes on, and status says what it waits for; when they can start again, the restart goes on."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        await asyncio.sleep(1)
        world.provider.script = lambda _replica, _revision: Life(fails_after=0.1, ready_after=NEVER, reason="no disk")
        await world.controller.restart("hello")
        await asyncio.sleep(120)
        view = world.view("hello")
        assert (view.ready, view.deployment.restart_at is not None) == (2, True)
        world.provider.script = lambda _replica, _revision: Life()
        await world.until("hello", lambda view: view.deployment.restart_at is None)

    watched(scenario)


def test_m35_a_restart_can_be_set_for_a_time() -> None:
    """M35: replicas made before it go, and nothing happens until then."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        await world.controller.restart("hello", world.clock.now() + 100)
        await asyncio.sleep(90)
        assert len(world.provider.started) == 1
        await asyncio.sleep(30)
        assert len(world.provider.started) == 2
        assert world.view("hello").deployment.restart_at is None

    watched(scenario)


def test_m36_a_rollout_ends_a_restart() -> None:
    """M36: all of its replicas are new anyway; and while it is under way no restart begins."""

    async def scenario(world: World) -> None:
        await first(world, 3)
        await asyncio.sleep(1)
        await world.controller.restart("hello")
        await asyncio.sleep(0.3)
        target = await update(world, 2, 3)
        with pytest.raises(RolloutUnderWay):
            await world.controller.restart("hello")
        view = await world.ready("hello")
        assert (view.stable, live(world)) == (target, {2: 3})
        assert len(started(world, target)) == 3
        assert world.kinds("restart") == ["restart.started", "restart.cancelled"]

    watched(scenario)


def test_what_was_never_stable_is_not_restarted() -> None:
    """By type."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(fails_after=0.1, ready_after=NEVER)
        await world.deploy("hello", 1)
        await world.settled("hello")
        with pytest.raises(NothingToRestart):
            await world.controller.restart("hello")

    watched(scenario)


def test_a_cordoned_replica_gets_no_calls_until_it_is_uncordoned() -> None:
    """It lives on and is not replaced; what is not there is not found, with the names of what is."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        one, other = world.provider.started
        await world.controller.cordon("hello", one)
        await world.controller.cordon("hello", one)
        await asyncio.sleep(1)
        assert world.dataplane.serving("hello") == {other}
        assert len(world.provider.started) == 2
        await world.controller.uncordon("hello", one)
        await asyncio.sleep(1)
        assert world.dataplane.serving("hello") == {one, other}
        assert world.kinds("replica.c")[-1:] + world.kinds("replica.u") == ["replica.cordoned", "replica.uncordoned"]
        with pytest.raises(NotFound, match=one):
            await world.controller.cordon("hello", "hello-0")

    watched(scenario)


def test_a_cordon_of_all_is_said() -> None:
    """E77: nobody answers calls, so it is not ready."""

    async def scenario(world: World) -> None:
        await first(world, 1)
        await world.controller.cordon("hello", world.provider.started[0])
        view = await world.until("hello", lambda view: view.status is DeploymentStatus.DEGRADED)
        assert view.deployment.reason_code == "cordoned"

    watched(scenario)


def test_m38_no_deadline_counts_while_a_person_is_waited_for() -> None:
    """M38, M52: for days, at a checkpoint or in a pause; the deadline begins anew afterwards."""

    async def scenario(world: World) -> None:
        policy = {"strategy": BY_HAND, "progress_deadline": 60.0}
        await first(world, 2, **policy)
        target = await update(world, 2, 2, **policy)
        await world.until("hello", lambda view: view.status is WAITS)
        await asyncio.sleep(100_000)
        await world.controller.pause("hello")
        await asyncio.sleep(100_000)
        await world.controller.resume("hello")
        await world.until("hello", lambda view: view.status is WAITS)
        await world.controller.promote("hello")
        view = await world.until("hello", lambda view: view.settled)
        assert view.stable == target

    watched(scenario)


def test_m40_without_automatic_rollback_what_is_late_is_left_as_it_is() -> None:
    """M40, M39: with it the stable revision is restored; the reason names what the target waited for."""

    async def scenario(world: World) -> None:
        policy = {"progress_deadline": 60.0, "auto_rollback": False}
        stable = await first(world, 2, **policy)
        world.provider.script = by_revision({stable: Life()}, Life(ready_after=NEVER))
        await update(world, 2, 2, **policy)
        view = await world.settled("hello")
        assert (view.status, view.deployment.reason_code) == (DeploymentStatus.DEGRADED, "progress_deadline")
        assert live(world)[2] >= 1
        assert "warming_up" in view.reason or "warming up" in view.reason

    watched(scenario)
