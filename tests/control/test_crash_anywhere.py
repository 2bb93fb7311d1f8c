"""Killed at any write and started again, the controller comes to the same end (I9)."""

import asyncio

import pytest

from flashcore.hookspecs.strategies import Decision, Done, Progress, View
from flashcore.model.deployment import Budget, Traffic
from flashcore.model.parts import PartRef
from flashcore.testing.conformance import Nonconformance
from flashcore.testing.crash import crash_anywhere, crash_update_anywhere
from flashcore.testing.scenes import first, live
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import World

BY_ONE = PartRef("rolling", options={"max_surge": 1, "max_unavailable": 0})
End = tuple[dict[int, int], int, str]


async def at_rest(world: World) -> End:
    """What is there when nothing is under way and nothing is on its way out."""
    view = await world.settled("hello")
    await asyncio.sleep(30)
    view = world.view("hello")
    return live(world), len(world.provider.states()), view.status.value


STRATEGIES = [BY_ONE, PartRef("blue_green", options={"keep_old": 30.0}), PartRef("recreate")]
BY_HAND = PartRef("blue_green", options={"auto_promote": False})


@pytest.mark.parametrize("strategy", [*STRATEGIES, BY_HAND], ids=lambda ref: ref.name)
def test_an_update_ends_alike_wherever_the_controller_is_killed(strategy: PartRef) -> None:
    """With three replicas; before and after each of its writes; promoted where it waits for a person."""
    assert crash_update_anywhere(strategy) > 10


def test_a_strategy_that_keeps_something_in_mind_is_found_out() -> None:
    """What it remembers is gone with the controller, and its rollout never ends."""

    class Forgetful:
        """Goes on only if it has seen the beginning."""

        began = False

        def budget(self, goal: int) -> Budget:
            return Budget(goal, 2 * goal)

        def decide(self, view: View) -> Decision:
            self.began = self.began or not view.target.exists
            if view.target.ready < view.goal or not self.began:
                return Decision(view.goal, view.goal, Progress(), Traffic(0))
            return Decision(0, view.goal, Done(), Traffic(100))

    with pytest.raises(Nonconformance, match="killed"):
        crash_update_anywhere(PartRef("forgetful"), {"forgetful": Forgetful}, auto_rollback=False)


def test_a_rollback_ends_alike_wherever_the_controller_is_killed() -> None:
    """The target cannot start; the stable side stays whole."""

    async def prepare(world: World) -> None:
        old = await first(world, 3, strategy=BY_ONE)
        world.provider.script = by_revision({old: Life()}, Life(fails_after=0.2, ready_after=NEVER, reason="no"))

    async def begin(world: World) -> None:
        rollout = world.view("hello").rollout
        if rollout is None or rollout.generation == 1:
            await world.deploy("hello", 2, replicas=3, strategy=BY_ONE)

    assert crash_anywhere(prepare, begin, at_rest) > 10


def test_a_first_deployment_ends_alike_wherever_the_controller_is_killed() -> None:
    """No replica is made twice."""

    async def prepare(world: World) -> None:
        """Nothing is there."""

    async def begin(world: World) -> None:
        await world.deploy("hello", 1, replicas=3)

    assert crash_anywhere(prepare, begin, at_rest) > 4


def test_taking_down_ends_alike_wherever_the_controller_is_killed() -> None:
    """With nothing left anywhere."""

    async def prepare(world: World) -> None:
        await first(world, 3)

    async def begin(world: World) -> None:
        if world.controller.endpoints():
            await world.controller.undeploy("hello")

    async def end(world: World) -> tuple[int, int, int]:
        await world.controller.wait_gone("hello", 120)
        await asyncio.sleep(60)
        records = (await world.backend.read("simulated/test/records/")).entries
        return len(records), len(world.provider.states()), len(world.dataplane.table.endpoints)

    assert crash_anywhere(prepare, begin, end) > 4
