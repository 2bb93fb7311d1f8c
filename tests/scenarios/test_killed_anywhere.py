"""Killed at any write, a controller that comes back brings it to the same end: what the simple rollouts do not show."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flashcore.hookspecs.scalers import ScaleView
from flashcore.model.deployment import RolloutState
from flashcore.model.parts import PartRef
from flashcore.testing.crash import crash_anywhere
from flashcore.testing.scenes import first, live
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import World

BY_ONE = PartRef("rolling", options={"max_surge": 1, "max_unavailable": 0})
End = tuple[dict[int, int], int, str]


async def at_rest(world: World) -> End:
    """What is there when nothing is under way and nothing is on its way out."""
    world.dataplane.say("hello")
    await world.settled("hello")
    await asyncio.sleep(120)
    return live(world), len(world.provider.states()), world.view("hello").status.value


class Nothing:
    """A scaler that never wants any."""

    def desired(self, view: ScaleView) -> int:
        """None at all."""
        return 0


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
@pytest.mark.parametrize("broken", [False, True])
def test_proving_a_version_of_a_sleeping_endpoint(strategy: str, broken: bool) -> None:  # noqa: FBT001  # one of two cases
    """E15, E47: one replica is made, the revision is stable or is taken back, and the endpoint sleeps again."""
    sleeping: dict[str, Any] = {
        "replicas": (0, 4),
        "scaler": PartRef("nothing"),
        "strategy": PartRef(strategy),
        "idle_timeout": 30.0,
    }

    async def prepare(world: World) -> None:
        world.parts.scalers.made["nothing"] = Nothing
        await world.deploy("hello", 1, **sleeping)
        old = world.view("hello").deployment.rollout
        assert old is not None
        await world.until("hello", lambda view: view.settled)
        world.dataplane.say("hello")
        await world.until("hello", lambda view: view.goal == 0)
        await asyncio.sleep(5)
        if broken:
            world.provider.script = by_revision({old.target: Life()}, Life(fails_after=0.2, ready_after=NEVER))

    async def begin(world: World) -> None:
        rollout = world.view("hello").rollout
        if rollout is None or rollout.generation == 1:
            await world.deploy("hello", 2, **sleeping)

    assert crash_anywhere(prepare, begin, at_rest) > 5


def test_taking_back_with_both_sides_serving() -> None:
    """E34, M28: aborted half way, and killed at any write of the way back."""

    async def prepare(world: World) -> None:
        await first(world, 3, strategy=BY_ONE)
        await world.deploy("hello", 2, replicas=3, strategy=BY_ONE)
        await world.until("hello", lambda view: any(side.number == 2 and side.ready == 2 for side in view.sides))

    async def begin(world: World) -> None:
        rollout = world.view("hello").rollout
        if rollout is not None and not rollout.state.finished and rollout.state is not RolloutState.RESTORING:
            await world.controller.abort("hello")

    assert crash_anywhere(prepare, begin, at_rest) > 5


def test_a_third_revision_that_changes_the_strategy() -> None:
    """M14, M16, E33: preempted, by another strategy, and killed at any write."""

    async def prepare(world: World) -> None:
        await first(world, 3, strategy=BY_ONE)
        await world.deploy("hello", 2, replicas=3, strategy=BY_ONE)
        await world.until("hello", lambda view: any(side.number == 2 and side.ready for side in view.sides))

    async def begin(world: World) -> None:
        await world.deploy("hello", 3, replicas=3, strategy=PartRef("blue_green"))

    assert crash_anywhere(prepare, begin, at_rest) > 10
