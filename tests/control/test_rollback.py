"""Rollouts that cannot succeed are taken back, and say why."""

import asyncio

import pytest

from flashcore.model.deployment import DeploymentStatus, RolloutState
from flashcore.model.parts import PartRef
from flashcore.testing.scenes import first, live, started, update, watched
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import World

BY_ONE = PartRef("rolling", options={"max_surge": 1, "max_unavailable": 0})
BROKEN = Life(
    fails_after=0.3,
    ready_after=NEVER,
    reason="ModuleNotFoundError: no module named 'nowhere'",
    log_tail=("import nowhere",),
)


def test_e09_a_target_that_cannot_start_is_taken_back_after_few_attempts() -> None:
    """E09: the stable revision stays whole; attempts are bounded and spaced."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BY_ONE)
        world.provider.script = by_revision({old: Life()}, BROKEN)
        new = await update(world, 2, 3, strategy=BY_ONE)
        view = await world.settled("hello")
        await asyncio.sleep(600)
        assert live(world) == {1: 3}
        assert len(started(world, new)) == 3
        assert view.rollout is not None
        assert view.rollout.state is RolloutState.FAILED

    watched(scenario)


def test_the_reason_names_the_first_replica_that_failed_with_its_words_and_last_lines() -> None:
    """Whoever reads the status need not look anywhere else."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BY_ONE)
        world.provider.script = by_revision({old: Life()}, BROKEN)
        new = await update(world, 2, 3, strategy=BY_ONE)
        view = await world.settled("hello")
        assert view.status is DeploymentStatus.DEGRADED
        assert started(world, new)[0] in view.reason
        assert "ModuleNotFoundError: no module named 'nowhere'" in view.reason
        assert "import nowhere" in view.reason

    watched(scenario)


def test_deploying_what_serves_again_ends_the_matter() -> None:
    """What failed is history then, no reason to be shown beside an endpoint that is ready."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BY_ONE)
        world.provider.script = by_revision({old: Life()}, BROKEN)
        await update(world, 2, 3, strategy=BY_ONE)
        await world.settled("hello")
        await update(world, 1, 3, strategy=BY_ONE)
        view = await world.settled("hello")
        assert (view.status, view.stable) == (DeploymentStatus.READY, old)
        assert "ModuleNotFoundError" not in view.reason

    watched(scenario)


def test_what_cannot_help_is_not_tried_again() -> None:
    """The provider says that it is permanent: one attempt is enough."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BY_ONE)
        world.provider.script = by_revision(
            {old: Life()}, Life(ends_after=0.1, permanent=True, reason="no such package")
        )
        new = await update(world, 2, 3, strategy=BY_ONE)
        view = await world.settled("hello")
        assert len(started(world, new)) == 1
        assert "no such package" in view.reason

    watched(scenario)


def test_e34_what_is_taken_back_serves_until_the_stable_side_has_grown() -> None:
    """E34: half way, with the new side ready in part and the old one shrunk."""

    async def scenario(world: World) -> None:
        old = await first(world, 4, strategy=BY_ONE)
        await update(world, 2, 4, strategy=BY_ONE)
        await world.until("hello", lambda view: any(side.number == 2 and side.ready == 3 for side in view.sides))
        world.provider.script = by_revision({old: Life(ready_after=30)})
        await world.controller.abort("hello")
        await asyncio.sleep(10)
        assert world.view("hello").status is DeploymentStatus.ROLLING_BACK
        assert world.view("hello").ready >= 4
        view = await world.settled("hello")
        await asyncio.sleep(10)
        assert live(world) == {1: 4}
        assert view.status is DeploymentStatus.READY
        assert "aborted by a person" in view.reason

    watched(scenario)


def test_i8_aborting_twice_is_aborting_once() -> None:
    """Also after a retry."""

    async def scenario(world: World) -> None:
        old = await first(world, 4, strategy=BY_ONE)
        new = await update(world, 2, 4, strategy=BY_ONE)
        await asyncio.sleep(1)
        await world.controller.abort("hello")
        await world.controller.abort("hello")
        await world.settled("hello")
        assert await update(world, 2, 4, strategy=BY_ONE) == new
        await asyncio.sleep(1)
        await world.controller.abort("hello")
        view = await world.settled("hello")
        assert view.stable == old
        assert view.rollout is not None
        assert view.rollout.state is RolloutState.ABORTED

    watched(scenario)


def test_e36_deploying_the_stable_version_in_mid_rollout_means_abort() -> None:
    """E36: not an error, and no rollout of its own."""

    async def scenario(world: World) -> None:
        old = await first(world, 4, strategy=BY_ONE)
        await update(world, 2, 4, strategy=BY_ONE)
        await asyncio.sleep(1)
        await world.deploy("hello", 1, replicas=4, strategy=BY_ONE)
        view = await world.settled("hello")
        assert view.stable == old
        assert view.rollout is not None
        assert (view.rollout.state, view.rollout.generation) == (RolloutState.ABORTED, 2)
        assert view.status is DeploymentStatus.READY

    watched(scenario)


def test_a_failed_rollout_is_tried_again_by_deploying_again() -> None:
    """The place was mended: it succeeds, without a new revision."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BY_ONE)
        world.provider.script = by_revision({old: Life()}, BROKEN)
        new = await update(world, 2, 3, strategy=BY_ONE)
        await world.settled("hello")
        world.provider.script = lambda _replica, _revision: Life()
        assert await update(world, 2, 3, strategy=BY_ONE) == new
        view = await world.ready("hello")
        assert view.stable == new
        assert [revision.number for revision in view.revisions] == [2, 1]

    watched(scenario)


def test_deploying_the_stable_version_after_a_failure_ends_the_complaint() -> None:
    """What runs is what is wanted again."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, strategy=BY_ONE)
        world.provider.script = by_revision({old: Life()}, BROKEN)
        await update(world, 2, 3, strategy=BY_ONE)
        assert (await world.settled("hello")).status is DeploymentStatus.DEGRADED
        await world.deploy("hello", 1, replicas=3, strategy=BY_ONE)
        assert (await world.ready("hello")).stable == old

    watched(scenario)


def test_m40_without_automatic_rollback_everything_is_left_as_it_is() -> None:
    """M40: for whoever wants to look at it; the failed side gets no replica more (I4)."""

    async def scenario(world: World) -> None:
        old = await first(world, 4, strategy=BY_ONE, auto_rollback=False)
        world.provider.script = by_revision({old: Life()}, Life(ready_after=NEVER))
        new = await update(world, 2, 4, strategy=BY_ONE, auto_rollback=False, progress_deadline=60.0)
        view = await world.settled("hello")
        await asyncio.sleep(60)
        assert live(world) == {1: 4, 2: 1}
        assert view.ready == 4
        assert view.status is DeploymentStatus.DEGRADED
        world.provider.kill(started(world, new)[0])
        await asyncio.sleep(600)
        assert live(world) == {1: 4}

    watched(scenario)


@pytest.mark.parametrize("goal", [1, 3])
def test_e35_a_first_deployment_that_cannot_start_has_failed(goal: int) -> None:
    """E35: it is never called ready, nothing is left of it, and it does not try for ever."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: BROKEN
        await world.deploy("hello", 1, replicas=goal)
        view = await world.settled("hello")
        await asyncio.sleep(3600)
        assert world.view("hello").status is DeploymentStatus.FAILED
        assert "ModuleNotFoundError" in view.reason
        assert live(world) == {}
        assert len(world.provider.started) <= 3 * goal

    watched(scenario)


def test_a_first_deployment_that_failed_is_mended_by_another_version() -> None:
    """There is nothing to go back to, only forward."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: BROKEN
        await world.deploy("hello", 1, replicas=2)
        await world.settled("hello")
        world.provider.script = lambda _replica, _revision: Life()
        new = await update(world, 2, 2)
        view = await world.ready("hello")
        assert (view.stable, view.ready) == (new, 2)

    watched(scenario)


def test_a_first_deployment_that_comes_up_in_part_serves_and_says_so() -> None:
    """Two of three serve; the third is tried again, ever more seldom."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: BROKEN if len(world.provider.started) >= 2 else Life()
        await world.deploy("hello", 1, replicas=3)
        view = await world.settled("hello")
        assert view.ready == 2
        assert view.status is DeploymentStatus.DEGRADED
        await asyncio.sleep(3600)
        assert world.view("hello").ready == 2
        assert len(world.provider.started) < 30
        world.provider.script = lambda _replica, _revision: Life()
        await world.ready("hello")

    watched(scenario)


def test_a_rollout_that_meets_the_first_deployments_trouble_supersedes_it() -> None:
    """The first was not complete but serves: it is what there is to go back to."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(
            ready_after=5 if len(world.provider.started) < 2 else 900
        )
        first_one = (await world.deploy("hello", 1, replicas=3)).rollout
        await world.until("hello", lambda view: view.ready >= 1)
        world.provider.script = lambda _replica, _revision: BROKEN
        await update(world, 2, 3)
        view = await world.settled("hello")
        assert first_one is not None
        assert view.stable == first_one.target
        assert view.ready >= 1

    watched(scenario)
