"""Any order of versions, load, losses and people, with a scaler that may go to zero: it is safe, and comes to rest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashcore.hookspecs.providers import Stopping
from flashcore.hookspecs.scalers import ScaleView
from flashcore.model.declaration import ProbePolicy
from flashcore.model.errors import NotFound, Refused
from flashcore.model.parts import PartRef
from flashcore.testing.invariants import Invariants
from flashcore.testing.simulated_provider import NEVER, Life
from flashcore.testing.simulation import World, simulate

STRATEGIES = {
    "rolling": PartRef("rolling"),
    "by_one": PartRef("rolling", options={"max_surge": 1, "max_unavailable": 0}),
    "blue_green": PartRef("blue_green", options={"keep_old": 20.0}),
    "by_hand": PartRef("blue_green", options={"auto_promote": False}),
    "recreate": PartRef("recreate"),
}
LIVES = (
    Life(),
    Life(ready_after=20.0, stops_after=10.0),
    Life(fails_after=0.3, ready_after=NEVER, reason="ImportError"),
    Life(ends_after=8.0, reason="segmentation fault"),
)
WAITS = (0.05, 0.5, 2.0, 15.0, 70.0)


class Load:
    """A scaler that wants what the gateways say is queued."""

    def desired(self, view: ScaleView) -> int:
        """One replica for each that waits."""
        return view.queued


class Play:
    """One world, and what may happen in it."""

    def __init__(self, world: World, strategy: PartRef) -> None:
        self.world = world
        self.invariants = Invariants(world)
        self._strategy = strategy
        self._turn = 0
        world.parts.scalers.made["load"] = Load
        self.happenings: tuple[Callable[[int], Awaitable[Any]], ...] = (
            self.deploy,
            self.load,
            self.load,
            self.wait,
            self.wait,
            self.live,
            self.kill,
            self.probes,
            self.steer,
            self.restart,
        )

    async def deploy(self, number: int) -> None:
        """One of four versions, with a strategy that may change on the way."""
        strategy = self._strategy if number % 3 else STRATEGIES[sorted(STRATEGIES)[number % len(STRATEGIES)]]
        await self.world.deploy(
            "hello",
            1 + number % 4,
            replicas=(0, 6),
            scaler=PartRef("load"),
            strategy=strategy,
            idle_timeout=30.0,
            progress_deadline=120.0,
            initial_delay=60.0,
            health=ProbePolicy(interval=5.0, disabled=number % 5 == 4),
        )

    async def load(self, number: int) -> None:
        """So many wait."""
        self.world.dataplane.say("hello", queued=number)

    async def wait(self, number: int) -> None:
        """Time passes."""
        await asyncio.sleep(WAITS[number % len(WAITS)])

    async def live(self, number: int) -> None:
        """What starts from now on lives so."""
        self.world.provider.script = lambda _replica, _revision: LIVES[number % len(LIVES)]

    async def kill(self, number: int) -> None:
        """One dies."""
        replicas = sorted(self.world.provider.states())
        if replicas:
            self.world.provider.kill(replicas[number % len(replicas)])

    async def probes(self, number: int) -> None:
        """One looks unwell, or all are well again."""
        replicas = sorted(self.world.provider.states())
        if replicas and number:
            self.world.probe.fail(replicas[number % len(replicas)])
        else:
            self.world.probe.answers.clear()

    async def steer(self, number: int) -> None:
        """A person says something."""
        controller = self.world.controller
        said = (controller.promote, controller.abort, controller.pause, controller.resume, controller.undo)
        with contextlib.suppress(Refused, NotFound):
            await said[number % len(said)]("hello")

    async def restart(self, number: int) -> None:
        """Another leader; seldom."""
        if number == 0:
            await self.world.restart()
            self.invariants.forget()

    async def come_to_rest(self, queued: int) -> None:
        """All is well and so many wait: that many run in the end, nothing else, and nothing is written any more."""
        world = self.world
        world.provider.script = lambda _replica, _revision: LIVES[0]
        world.probe.answers.clear()
        for replica, state in world.provider.states().items():
            if not isinstance(state, Stopping):
                world.provider.restart_in_place(replica)
        # What has just happened is known by then: a rollout that it lets fail is begun again.
        await asyncio.sleep(1)
        await self.deploy(1)
        for _ in range(6):
            world.dataplane.say("hello", queued=queued)
            for operation in (world.controller.resume, world.controller.promote):
                with contextlib.suppress(Refused, NotFound):
                    await operation("hello")
            await asyncio.sleep(250)
        view = world.view("hello")
        assert view.settled
        assert (view.goal, view.ready) == (queued, queued), (view.status, view.reason)
        assert len(world.provider.states()) == queued
        written = len(world.events)
        await asyncio.sleep(600)
        assert len(world.events) == written


def live_through(strategy: str, happenings: Iterable[tuple[int, int]], queued: int) -> None:
    """One order of events, and the invariants after it."""

    async def scenario(world: World) -> None:
        play = Play(world, STRATEGIES[strategy])
        await play.deploy(1)
        for what, number in happenings:
            await play.happenings[what](number)
        await play.come_to_rest(queued)
        play.invariants.require_kept()

    simulate(scenario)


def live_through_many(strategy: str, examples: int) -> None:
    """So many orders of events, made up by hypothesis."""

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6)), max_size=20), st.integers(0, 4))
    def run(happenings: list[tuple[int, int]], queued: int) -> None:
        live_through(strategy, happenings, queued)

    run()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_preview_that_answers_for_a_dead_stable_side_is_kept_until_that_is_back(strategy: str) -> None:
    """E14: it has no share of the calls, and gets them all: taking the rollout back at once let nobody answer."""
    live_through(strategy, [(3, 2), (0, 0), (6, 0), (8, 2)], 0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_preview_that_was_superseded_makes_room_for_one_that_tolerates_nobody_beside_it(strategy: str) -> None:
    """E15: it was kept as the last one ready, and nothing could start beside it, for ever."""
    live_through(strategy, [(0, 0), (3, 2), (0, 6)], 0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_is_safe_and_comes_to_rest(strategy: str) -> None:
    """E14, E15, M24: the invariants hold at every commit; in the end there is what the load asks for, also nothing."""
    live_through_many(strategy, examples=6)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_is_safe_in_many_orders(strategy: str) -> None:
    """E14, E15, M24: a longer look."""
    live_through_many(strategy, examples=150)
