"""Autoscaling while rolling out: one number for the endpoint, split by the strategy, never against its users."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashcore.control.scaling import Autoscaler, Load
from flashcore.hookspecs.gates import GateView, Hold, Verdict
from flashcore.hookspecs.scalers import ScaleView
from flashcore.model.deployment import DeploymentStatus, RolloutState
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointSignals, SideSignals
from flashcore.testing.scenes import live, started, watched
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import World

DIALLED = PartRef("dialled")
BY_ONE = PartRef("rolling", options={"max_surge": 1, "max_unavailable": 0})


class Dial:
    """A scaler that says what a test wants."""

    def __init__(self, wanted: object) -> None:
        self.wanted = wanted

    def desired(self, view: ScaleView) -> int:  # one word for every view
        """As told."""
        if isinstance(self.wanted, Exception):
            raise self.wanted
        return self.wanted  # type: ignore[return-value]  # nonsense is part of the test


async def deployed(world: World, version: int, bounds: tuple[int, int], **settings: Any) -> RevisionId:
    """A version of an endpoint whose scaler is a dial, on its way."""
    made = await world.deploy("hello", version, replicas=bounds, scaler=DIALLED, idle_timeout=60.0, **settings)
    assert made.rollout is not None
    return made.rollout.target


async def dialled(world: World, wanted: int, bounds: tuple[int, int] = (1, 10), **settings: Any) -> Dial:
    """Version 1 at that size, ready."""
    dial = Dial(wanted)
    world.parts.scalers.made["dialled"] = lambda: dial
    await deployed(world, 1, bounds, **settings)
    hear(world)
    await world.until("hello", lambda view: view.settled and view.goal == wanted and view.ready == wanted)
    return dial


def hear(world: World, queued: int = 1) -> None:
    """Let the gateway see so much work."""
    world.dataplane.say("hello", in_flight=queued, queued=queued)


def test_more_is_given_to_the_side_that_works_first() -> None:
    """M26: the scaler wants more while the target has shown nothing: the stable side grows, the target does not."""

    async def scenario(world: World) -> None:
        dial = await dialled(world, 4, strategy=BY_ONE)
        old = world.view("hello").stable
        assert old is not None
        world.provider.script = by_revision({old: Life()}, Life(ready_after=NEVER))
        await deployed(world, 2, (1, 10), strategy=BY_ONE)
        await asyncio.sleep(5)
        assert live(world) == {1: 4, 2: 1}
        dial.wanted = 8
        hear(world, 2)
        await asyncio.sleep(5)
        assert live(world) == {1: 8, 2: 1}
        assert world.view("hello").ready == 8

    watched(scenario)


def test_more_is_split_by_the_strategy_once_the_target_works() -> None:
    """M25: one number for the endpoint; when it has come to its end all of it is of the target."""

    async def scenario(world: World) -> None:
        dial = await dialled(world, 4, strategy=BY_ONE)
        await deployed(world, 2, (1, 10), strategy=BY_ONE)
        await world.until("hello", lambda view: any(side.number == 2 and side.ready for side in view.sides))
        dial.wanted = 7
        hear(world, 2)
        view = await world.until("hello", lambda view: view.settled and view.ready == 7)
        assert view.goal == 7
        await asyncio.sleep(5)
        assert live(world) == {2: 7}

    watched(scenario)


@pytest.mark.parametrize(("wanted", "goal"), [(7, 8), (5, 8), (3, 3), (1, 1)])
def test_less_waits_for_the_rollout_unless_it_is_less_than_half(wanted: int, goal: int) -> None:
    """M24: capacity is needed while replicas change places; but four times too much is not kept for that."""

    async def scenario(world: World) -> None:
        dial = await dialled(world, 8, strategy=BY_ONE)
        old = world.view("hello").stable
        assert old is not None
        world.provider.script = by_revision({old: Life()}, Life(ready_after=400))
        await deployed(world, 2, (1, 10), strategy=BY_ONE)
        dial.wanted = wanted
        hear(world, 2)
        await asyncio.sleep(100)
        assert world.view("hello").goal == goal
        assert not world.view("hello").settled
        await world.until("hello", lambda view: view.settled and view.goal == wanted, 6_000)

    watched(scenario)


@pytest.mark.parametrize(("wanted", "goal"), [(5, 8), (4, 4)])
def test_half_of_what_runs_is_not_less_than_half(wanted: int, goal: int) -> None:
    """M24: of the ten that run, five are kept waiting for, four are not."""

    async def scenario(world: World) -> None:
        by_two = PartRef("rolling", options={"max_surge": 2, "max_unavailable": 0})
        dial = await dialled(world, 8, strategy=by_two)
        old = world.view("hello").stable
        assert old is not None
        world.provider.script = by_revision({old: Life()}, Life(ready_after=400))
        await deployed(world, 2, (1, 10), strategy=by_two)
        dial.wanted = wanted
        hear(world, 2)
        await asyncio.sleep(100)
        assert world.view("hello").goal == goal

    watched(scenario)


def test_a_persons_number_waits_for_nothing() -> None:
    """M24, E72: in the middle of a rollout, up and down."""

    async def scenario(world: World) -> None:
        await dialled(world, 6, strategy=BY_ONE)
        old = world.view("hello").stable
        assert old is not None
        world.provider.script = by_revision({old: Life()}, Life(ready_after=400))
        await deployed(world, 2, (1, 10), strategy=BY_ONE)
        for count in (5, 9, 4):
            await world.controller.scale("hello", count)
            await asyncio.sleep(10)
            view = world.view("hello")
            assert (view.goal, view.goal_by, view.ready) == (count, "person", count)

    watched(scenario)


def test_nothing_sleeps_while_it_is_rolled_out() -> None:
    """E15: scaling to zero is suspended: with nothing to do for long, one replica at least is proven."""

    async def scenario(world: World) -> None:
        dial = await dialled(world, 2, bounds=(0, 10), strategy=BY_ONE)
        old = world.view("hello").stable
        assert old is not None
        world.provider.script = by_revision({old: Life()}, Life(ready_after=500))
        new = await deployed(world, 2, (0, 10), strategy=BY_ONE)
        dial.wanted = 0
        world.dataplane.say("hello")
        await asyncio.sleep(400)
        assert world.view("hello").ready >= 1
        view = await world.until("hello", lambda view: view.status is DeploymentStatus.IDLE, 3_000)
        assert view.stable == new
        await asyncio.sleep(5)
        assert world.provider.states() == {}

    watched(scenario)


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "recreate"])
def test_an_endpoint_at_zero_is_rolled_out_by_one_replica(strategy: str) -> None:
    """E15: it is started, proven, and let go; the revision is stable, and nobody had to call."""

    async def scenario(world: World) -> None:
        ref = PartRef(strategy)
        dial = await dialled(world, 2, bounds=(0, 10), strategy=ref)
        dial.wanted = 0
        world.dataplane.say("hello")
        await world.until("hello", lambda view: view.status is DeploymentStatus.IDLE, 600)
        await asyncio.sleep(10)
        before = len(world.provider.started)
        new = await deployed(world, 2, (0, 10), strategy=ref)
        view = await world.until(
            "hello", lambda view: view.settled and view.status is DeploymentStatus.IDLE and view.stable == new, 600
        )
        assert view.rollout is not None
        assert view.rollout.state is RolloutState.DONE
        assert len(world.provider.started) == before + 1
        await asyncio.sleep(10)
        assert world.provider.states() == {}

    watched(scenario)


def test_a_broken_version_of_an_endpoint_at_zero_is_found_out() -> None:
    """E15, E35: not at the first call, but when it is deployed; and it goes back to sleep."""

    async def scenario(world: World) -> None:
        dial = await dialled(world, 2, bounds=(0, 10))
        old = world.view("hello").stable
        assert old is not None
        dial.wanted = 0
        world.dataplane.say("hello")
        await world.until("hello", lambda view: view.status is DeploymentStatus.IDLE, 600)
        world.provider.script = by_revision(
            {old: Life()}, Life(fails_after=0.3, ready_after=NEVER, reason="ImportError")
        )
        await deployed(world, 2, (0, 10))
        view = await world.settled("hello")
        assert view.rollout is not None
        assert view.rollout.state is RolloutState.FAILED
        assert view.stable == old
        assert len(started(world, old)) == 2
        await asyncio.sleep(600)
        assert world.provider.states() == {}

    watched(scenario)


def test_a_call_that_comes_meanwhile_wakes_the_stable_side() -> None:
    """E20: a preview that waits for a person does not answer because the endpoint happened to sleep."""

    async def scenario(world: World) -> None:
        by_hand = PartRef("blue_green", options={"auto_promote": False})
        dial = await dialled(world, 2, bounds=(0, 10), strategy=by_hand)
        old = world.view("hello").stable
        assert old is not None
        dial.wanted = 0
        world.dataplane.say("hello")
        await world.until("hello", lambda view: view.status is DeploymentStatus.IDLE, 600)
        await asyncio.sleep(10)
        new = await deployed(world, 2, (0, 10), strategy=by_hand)
        await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION)
        assert live(world) == {2: 1}
        await asyncio.sleep(1)
        assert world.dataplane.serving("hello") == frozenset()
        route = world.dataplane.route("hello")
        assert route is not None
        assert route.held
        dial.wanted = 1
        hear(world)
        await world.until("hello", lambda view: any(side.revision == old and side.ready for side in view.sides), 10)
        await asyncio.sleep(1)
        assert {replica.split("-")[1] for replica in world.dataplane.serving("hello")} == {old[:6]}
        await world.controller.promote("hello")
        view = await world.until("hello", lambda view: view.settled, 60)
        assert view.stable == new

    watched(scenario)


@pytest.mark.parametrize("nonsense", [math.nan, -3, KeyError("load"), "four"])
def test_nonsense_in_mid_rollout_changes_nothing_of_it(nonsense: object) -> None:
    """M24: the last good number stays, the reason is said, and the rollout comes to its end."""

    async def scenario(world: World) -> None:
        dial = await dialled(world, 4, strategy=BY_ONE)
        world.provider.script = lambda _replica, _revision: Life(ready_after=10)
        new = await deployed(world, 2, (1, 10), strategy=BY_ONE)
        dial.wanted = nonsense
        hear(world, 2)
        view = await world.until("hello", lambda view: "scaler 'dialled'" in view.reason, 60)
        assert view.goal == 4
        view = await world.until("hello", lambda view: view.settled, 600)
        assert (view.stable, view.goal, view.ready) == (new, 4, 4)

    watched(scenario)


class Witness:
    """A gate that writes down what it was told, and lets nothing pass."""

    def __init__(self) -> None:
        self.views: list[GateView] = []

    def verdict(self, view: GateView) -> Verdict:
        """Hold, for ever."""
        self.views.append(view)
        return Hold("looking")

    @property
    def counts(self) -> tuple[int, int]:
        """Requests of the target that it was told of last: all, and without those of cold replicas."""
        warm, everything = self.views[-1].warm, self.views[-1].target_signals
        assert warm is not None
        assert everything is not None
        return everything.requests, warm[1].requests


def test_a_gate_is_told_what_came_from_cold_replicas() -> None:
    """M23: those that the scaler adds at a checkpoint answer slowly at first, which says nothing of the revision."""

    async def scenario(world: World) -> None:
        witness = Witness()
        world.parts.gates.made["witness"] = lambda: witness
        gated: dict[str, Any] = {"strategy": PartRef("blue_green"), "gates": {"promotion": (PartRef("witness"),)}}
        dial = await dialled(world, 2, **gated)
        new = await deployed(world, 2, (1, 10), **gated)
        await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION)

        def count(requests: int, queued: int = 1) -> None:
            sides = (SideSignals(new, requests=requests),)
            signals = EndpointSignals(sides, queued=queued, gateway="gateway-1")
            world.dataplane.report({EndpointName("hello"): (signals,)})

        count(0)
        await asyncio.sleep(5)
        count(20)
        await asyncio.sleep(60)
        assert witness.counts == (20, 0)
        count(120)
        await asyncio.sleep(1)
        assert witness.counts == (120, 100)
        dial.wanted = 3
        count(120, queued=2)
        await world.until("hello", lambda view: view.ready == 6, 10)
        count(150, queued=2)
        await asyncio.sleep(60)
        assert witness.counts == (150, 100)

    watched(scenario)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 30), st.integers(0, 20), st.booleans()), min_size=1, max_size=30),
    st.floats(1, 60),
)
def test_what_was_needed_lately_is_never_let_go(words: list[tuple[float, int, bool]], window: float) -> None:
    """E70: up at once; down to the most that was wanted within the window, or after as long with nothing to do."""
    scaler, now = Autoscaler(goal=0, now=0.0), 0.0
    wanted: list[tuple[float, int]] = []
    for gap, count, busy in words:
        now += gap
        idle = scaler.idle_for(Load(in_flight=int(busy)), now)
        heard = scaler.heed(count, now, window)
        wanted.append((now, count))
        assert heard >= count
        if idle >= window:
            assert heard == count
            wanted = wanted[-1:]
        else:
            assert heard <= max(number for _, number in wanted)
