"""Rolling updates: arithmetic for any goal and any options, and what passes between the two ends."""

from __future__ import annotations

import asyncio
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.builtin.rolling import RollingStrategy
from flashcore.hookspecs.strategies import Done, SideView, View
from flashcore.model.deployment import DeploymentStatus, RolloutState, Traffic
from flashcore.model.names import RevisionId
from flashcore.model.parts import PartRef, Rolling
from flashcore.testing.scenes import first, live, started, update, watched
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import World

AMOUNTS = st.one_of(
    st.integers(0, 50), st.integers(0, 100).map("{}%".format), st.decimals(0, 100, places=2).map("{}%".format)
)


def view(goal: int, old: tuple[int, int], target: tuple[int, int]) -> View:
    """(live, ready) replicas of both sides."""
    sides = [SideView(RevisionId(name), exists, ready, ready) for name, (exists, ready) in (("a", old), ("b", target))]
    return View(goal, 0.0, (sides[0],) if old[0] else (), sides[1], Traffic(), "", 0.0, frozenset())


def exactly(amount: int | str, goal: int) -> Fraction:
    """The share or count, as a fraction."""
    return Fraction(amount) if isinstance(amount, int) else Fraction(amount.rstrip("%")) * goal / 100


@given(surge=AMOUNTS, unavailable=AMOUNTS, goal=st.integers(1, 3000))
def test_any_amounts_resolve_exactly(surge: int | str, unavailable: int | str, goal: int) -> None:
    """E02, M1, M2, M3, M4, E01: surge rounds up, unavailable rounds down, never both nothing, in counts and shares."""
    if not exactly(surge, 100) and not exactly(unavailable, 100):
        surge = 1
    more, fewer = math.ceil(exactly(surge, goal)), math.floor(exactly(unavailable, goal))

    budget = RollingStrategy(Rolling(surge, unavailable)).budget(goal)

    assert budget.max_existing == goal + more
    assert budget.min_ready == max(0, goal - (fewer if more or fewer else 1))


@given(
    surge=st.integers(0, 12),
    unavailable=st.integers(0, 12),
    goal=st.integers(1, 25),
    data=st.data(),
)
def test_any_update_comes_to_its_end(surge: int, unavailable: int, goal: int, data: st.DataObject) -> None:
    """E01, E03, E08: whichever replicas get ready in which order, it never sticks, and never leaves its budget."""
    strategy = RollingStrategy(Rolling(surge or int(not unavailable), unavailable))
    budget = strategy.budget(goal)
    old, target, ready = goal, 0, 0
    for _ in range(4 * goal + 4):
        decision = strategy.decide(view(goal, (old, old), (target, ready)))
        before = old, target, ready
        old, target = decision.old, max(target, decision.target)
        if isinstance(decision.outcome, Done):
            break
        assert old + ready >= min(budget.min_ready, before[0] + before[2])
        assert old + target <= budget.max_existing
        ready += data.draw(st.integers(int(target > ready), target - ready))
        assert (old, target, ready) != before
    assert (old, target, ready) == (0, goal, goal)


def test_four_by_halves_pass_through_known_points() -> None:
    """M53: (4,0) (4,2) (2,4) (0,4), with a surge of half and nothing missing."""
    strategy = RollingStrategy(Rolling("50%", 0))
    seen = [(4, 0)]
    while seen[-1] != (0, 4):
        old, target = seen[-1]
        decision = strategy.decide(view(4, (old, old), (target, target)))
        seen.append((decision.old, decision.target))

    assert seen == [(4, 0), (4, 2), (2, 4), (0, 4)]


def test_no_step_is_taken_before_the_last_one_is_ready() -> None:
    """M53: two that are made and not ready are waited for."""
    decision = RollingStrategy(Rolling("50%", 0)).decide(view(4, (4, 4), (2, 0)))

    assert (decision.old, decision.target) == (4, 2)


def test_an_old_replica_that_died_is_not_asked_for_again() -> None:
    """M54: the old side only shrinks; its place is the target's."""
    decision = RollingStrategy(Rolling(1, 0)).decide(view(4, (3, 3), (1, 0)))

    assert (decision.old, decision.target) == (3, 2)


def test_an_old_replica_that_dies_is_made_up_for_by_the_target() -> None:
    """M54: by nobody of its own revision, though the update is long under way and short of replicas."""

    async def scenario(world: World) -> None:
        old = await first(world, 4)
        world.provider.script = by_revision({old: Life()}, Life(ready_after=20))
        new = await update(world, 2, 4)
        await asyncio.sleep(5)
        victim = next(one for one in world.provider.states() if one in started(world, old))
        world.provider.kill(victim)
        view = await world.ready("hello", 600)
        assert (view.ready, live(world)) == (4, {2: 4})
        assert len(started(world, old)) == 4
        assert len(started(world, new)) == 4

    watched(scenario)


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_a_single_replica_is_replaced_without_a_gap(strategy: str) -> None:
    """M61, M3: the new one is started and ready before the old one stops."""
    fewest: list[int] = []

    async def scenario(world: World) -> None:
        ref = PartRef(strategy)
        await first(world, 1, strategy=ref)
        world.told = lambda _event: fewest.append(world.view("hello").ready)
        await update(world, 2, 1, strategy=ref)
        await world.ready("hello")

    watched(scenario)

    assert min(fewest) == 1


def test_ten_replicas_are_never_fewer_than_eight() -> None:
    """M61, M6: at ten with the defaults; where others stop two before they start two."""
    fewest: list[int] = []

    async def scenario(world: World) -> None:
        await first(world, 10)
        world.told = lambda _event: fewest.append(world.view("hello").ready)
        await update(world, 2, 10)
        await world.ready("hello")

    watched(scenario)

    assert min(fewest) >= 8


def test_a_goal_that_rises_while_two_sides_run_grows_what_works() -> None:
    """M25: elsewhere the rise is shared in proportion (11 and 7 of 18); here the side that serves comes first.

    It grows to the 12 that must be ready of 15, as the target has shown nothing yet; what room is left is the target's.
    """

    async def scenario(world: World) -> None:
        old = await first(world, 10)
        world.provider.script = by_revision({old: Life()}, Life(ready_after=NEVER))
        await update(world, 2, 10)
        await asyncio.sleep(5)
        assert live(world) == {1: 8, 2: 5}
        await world.controller.scale("hello", 15)
        await asyncio.sleep(5)
        assert live(world) == {1: 12, 2: 7}
        assert world.view("hello").ready == 12
        assert len(started(world, old)) == 14

    watched(scenario)


def test_once_the_target_works_it_gets_the_rise() -> None:
    """M25, M26: a target with ready replicas has shown that it works."""

    async def scenario(world: World) -> None:
        by_one = PartRef("rolling", options={"max_surge": 1, "max_unavailable": 0})
        await first(world, 4, strategy=by_one)
        await update(world, 2, 4, strategy=by_one)
        await world.until("hello", lambda view: any(side.number == 2 and side.ready == 2 for side in view.sides))
        before = live(world)[1]
        await world.controller.scale("hello", 8)
        await asyncio.sleep(0.05)
        assert live(world)[1] <= before
        view = await world.ready("hello")
        assert view.ready == 8

    watched(scenario)


def test_a_surge_that_finds_no_place_says_what_it_waits_for() -> None:
    """E75: at once, not after the deadline; and the deadline takes it back."""

    async def scenario(world: World) -> None:
        by_one = PartRef("rolling", options={"max_surge": 1, "max_unavailable": 0})
        await first(world, 4, strategy=by_one, progress_deadline=600.0)
        world.provider.places = 4
        await update(world, 2, 4, strategy=by_one, progress_deadline=600.0)
        await asyncio.sleep(1)
        assert "waiting for a machine" in world.view("hello").reason
        view = await world.settled("hello", 700)
        assert view.status is DeploymentStatus.DEGRADED
        assert "waiting for a machine" in view.reason
        assert view.ready == 4

    watched(scenario)


def test_with_some_to_spare_a_surge_that_finds_no_place_does_without() -> None:
    """E75: one old replica makes room where one may be missing."""

    async def scenario(world: World) -> None:
        await first(world, 4)
        world.provider.places = 4
        await update(world, 2, 4)
        view = await world.ready("hello", 60)
        assert (view.ready, live(world)) == (4, {2: 4})

    watched(scenario)


def test_what_never_gets_ready_is_told_by_its_deadline_and_left_where_it_is() -> None:
    """M7, M40: without automatic rollback the target stays for whoever looks at it; the reason is the deadline.

    Elsewhere the old side stays at 8 as well; here it has its 10 again, since users come first.
    """

    async def scenario(world: World) -> None:
        settings = {"auto_rollback": False, "progress_deadline": 60.0}
        old = await first(world, 10, **settings)
        world.provider.script = by_revision({old: Life()}, Life(ready_after=NEVER))
        await update(world, 2, 10, **settings)
        view = await world.settled("hello")
        await asyncio.sleep(60)
        assert live(world) == {1: 10, 2: 5}
        assert view.rollout is not None
        assert (view.rollout.state, view.rollout.reason_code) == (RolloutState.FAILED, "progress_deadline")

    watched(scenario)


def test_the_time_that_ran_out_is_never_called_success() -> None:
    """E66: the log says that it failed, and why; nowhere that it was done."""

    async def scenario(world: World) -> None:
        old = await first(world, 3, progress_deadline=60.0)
        done = len(world.kinds("rollout.done"))
        world.provider.script = by_revision({old: Life()}, Life(ready_after=NEVER))
        await update(world, 2, 3, progress_deadline=60.0)
        await world.settled("hello")
        assert len(world.kinds("rollout.done")) == done
        (failed,) = [event for event in world.events if event.kind == "rollout.failed"]
        assert failed.data["code"] == "progress_deadline"

    watched(scenario)


def test_old_replicas_that_are_busy_finish_first() -> None:
    """M64: they drain, and are shown as such, for as long as their work takes; the new ones serve meanwhile."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda _replica, _revision: Life(stops_after=20)
        old = await first(world, 2)
        await update(world, 2, 2)
        await world.ready("hello", 60)
        leaving = [one for side in world.view("hello").sides for one in side.replicas if one.revision == old]
        assert leaving
        assert all("replaced by" in one.reason for one in leaving)
        assert {one.id for one in leaving} <= world.provider.running()
        await asyncio.sleep(30)
        assert len(world.provider.running()) == 2

    watched(scenario)


def test_the_old_side_never_drains_and_the_rollout_ends_all_the_same() -> None:
    """E28: a gateway that hangs and work that does not end have their caps; no state is waited in for ever."""

    async def scenario(world: World) -> None:
        await first(world, 2, termination_grace=30.0)
        world.provider.script = lambda _replica, _revision: Life(stops_after=NEVER)
        world.dataplane.twins["gateway-1"].delay = math.inf
        await update(world, 2, 2, termination_grace=30.0)
        await world.ready("hello", 60)
        await asyncio.sleep(60)
        assert len(world.provider.running()) == 2

    watched(scenario)
