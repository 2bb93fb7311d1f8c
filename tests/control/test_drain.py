"""A replica is stopped only when no gateway can send it anything; and everything has its cap."""

import asyncio
import math
from typing import Any

import pytest

from flashcore.control.drain import CAP
from flashcore.hookspecs.providers import Stopping
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.names import ReplicaId
from flashcore.testing.dataplane import TwinGateway
from flashcore.testing.scenes import first, live, update, watched
from flashcore.testing.simulation import World


def moments(world: World, replica: ReplicaId) -> dict[str, float]:
    """When each kind of event was first told of a replica."""
    found: dict[str, float] = {}
    for event in world.events:
        if event.replica == replica:
            found.setdefault(event.kind, event.at)
    return found


@pytest.mark.parametrize("delay", [0.0, 0.5, 3.0])
def test_the_slowest_gateway_is_waited_for(delay: float) -> None:
    """The replica is stopped when the last one serves without it."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        world.dataplane.connect(TwinGateway("slow", delay=delay))
        stopped: list[float] = []
        victims: list[ReplicaId] = []
        told = world.provider.told_to_stop

        def note(replica: ReplicaId) -> None:
            victims.append(replica)
            stopped.append(world.clock.now())
            told(replica)

        world.provider.told_to_stop = note
        await world.controller.scale("hello", 1)
        await asyncio.sleep(10)
        draining = moments(world, victims[0])["replica.draining"]
        assert stopped[0] - draining == pytest.approx(max(delay, 0.01), abs=0.05)

    watched(scenario)


def test_a_gateway_that_hangs_holds_nothing_up_for_longer_than_the_cap() -> None:
    """Its own calls may fail; everybody else's rollout goes on."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        world.dataplane.connect(TwinGateway("stuck", delay=math.inf))
        before = world.clock.now()
        await world.controller.scale("hello", 1)
        await world.until("hello", lambda view: sum(side.exists for side in view.sides) == 1, 60)
        assert CAP <= world.clock.now() - before <= CAP + 1

    watched(scenario)


def test_without_any_gateway_nobody_is_waited_for() -> None:
    """Nobody can send it anything."""

    async def scenario(world: World) -> None:
        world.dataplane.disconnect("gateway-1")
        await first(world, 2)
        await world.controller.scale("hello", 1)
        await world.until("hello", lambda view: sum(side.exists for side in view.sides) == 1, 1)

    watched(scenario)


def test_a_gateway_that_leaves_meanwhile_is_not_waited_for() -> None:
    """It went away with the old table."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        world.dataplane.connect(TwinGateway("leaving", delay=math.inf))
        await world.controller.scale("hello", 1)
        await asyncio.sleep(1)
        assert not any(isinstance(state, Stopping) for state in world.provider.states().values())
        world.dataplane.disconnect("leaving")
        await world.until("hello", lambda view: sum(side.exists for side in view.sides) == 1, 1)

    watched(scenario)


def test_a_replica_that_never_served_goes_at_once() -> None:
    """It was in no table."""

    async def scenario(world: World) -> None:
        world.provider.places = 1
        await world.deploy("hello", 1, replicas=2)
        await world.until("hello", lambda view: view.ready == 1)
        world.dataplane.connect(TwinGateway("stuck", delay=math.inf))
        await world.controller.scale("hello", 1)
        await world.until("hello", lambda view: sum(side.exists for side in view.sides) == 1, 1)

    watched(scenario)


def test_a_gateway_that_refuses_the_table_turns_the_deployment_degraded() -> None:
    """With what it says; its old table stays, and it recovers."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        picky = TwinGateway("picky", refuses="there is no routing policy 'teleport'")
        world.dataplane.connect(picky)
        await world.controller.scale("hello", 3)
        view = await world.until("hello", lambda view: view.status is DeploymentStatus.DEGRADED and view.ready == 3)
        await asyncio.sleep(1)
        view = world.view("hello")
        assert "gateway picky refuses the routing table: there is no routing policy 'teleport'" in view.reason
        picky.refuses = ""
        await world.controller.scale("hello", 2)
        await world.ready("hello", 60)

    watched(scenario)


def test_a_provider_that_is_away_is_said_and_nothing_is_concluded() -> None:
    """What runs goes on serving; when it is back, everything goes on."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        world.provider.reach(away=True)
        view = await world.until("hello", lambda view: view.status is DeploymentStatus.DEGRADED)
        assert "provider 'simulated' cannot be asked" in view.reason
        assert view.ready == 2
        await update(world, 2, 2)
        await asyncio.sleep(120)
        assert world.view("hello").ready == 2
        assert len(world.dataplane.serving("hello")) == 2
        world.provider.reach(away=False)
        await world.ready("hello", 120)
        await asyncio.sleep(5)
        assert live(world) == {2: 2}

    watched(scenario)


def test_what_is_ready_may_not_have_reached_a_gateway_yet() -> None:
    """Who waits for a deployment to be over waits for the gateways too, or the next call goes by the table before."""

    async def scenario(world: World) -> None:
        world.dataplane.hang("gateway-1")
        await first(world, 1)
        assert world.controller.gateways_behind("hello") == ("gateway-1",)

        world.dataplane.heal("gateway-1")
        await asyncio.sleep(1)
        assert world.controller.gateways_behind("hello") == ()

    watched(scenario)


@pytest.mark.parametrize("nonsense", [None, [], ("hello-1",), {}], ids=str)
def test_a_provider_that_answers_nonsense_is_one_that_cannot_be_asked(nonsense: Any) -> None:
    """It is a plugin, and takes nobody along: the last view stays, the status says why, and it is asked again."""

    async def scenario(world: World) -> None:
        await first(world, 2)
        sound = world.provider.observe

        async def observe() -> Any:
            return nonsense

        world.provider.observe = observe  # type: ignore[method-assign]  # the plugin is broken for a while
        world.provider.reach(away=False)
        view = await world.until("hello", lambda view: "cannot be asked" in view.reason)
        assert "observe() must give a tuple of Instance" in view.reason
        assert view.ready == 2
        world.provider.observe = sound  # type: ignore[method-assign]  # as above
        await world.until("hello", lambda view: "cannot be asked" not in view.reason)
        assert not world.controller.lost.done()

    watched(scenario)
