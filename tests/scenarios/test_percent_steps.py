"""Rollouts in steps of so many percent, by a strategy of somebody else: all that the core does about them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from flashcore.control.refusals import NoRollout
from flashcore.hookspecs.gates import GateView, Hold, Pass, Verdict
from flashcore.hookspecs.strategies import Decision, Done, Progress, View, Wait
from flashcore.model.deployment import Budget, DeploymentStatus, Rollout, RolloutState, percent
from flashcore.model.names import RevisionId
from flashcore.model.parts import PartRef
from flashcore.testing.scenes import first, live, update, watched
from flashcore.testing.simulated_provider import NEVER, Life, by_revision
from flashcore.testing.simulation import World

STEPS = PartRef("steps")
BY_HAND = {f"step {number}": (PartRef("manual"),) for number in (1, 2, 3)}
BROKEN = Life(fails_after=0.3, ready_after=NEVER, reason="ImportError")


class Steps:
    """Room for the share first, then the share, then a checkpoint; the old side stays whole unless it `shares`."""

    def __init__(self, *weights: int, shares: bool = False, pause: float = 0.0) -> None:
        self.weights = weights or (20, 40, 60)
        self.shares = shares
        self.pause = pause

    def budget(self, goal: int) -> Budget:
        """Nothing may be missing."""
        return Budget(goal, goal + 1 if self.shares else 2 * goal)

    def decide(self, view: View) -> Decision:
        """The step is the number of weights that are done with."""
        index = int(view.step or 0)
        if index == len(self.weights):
            done = view.target.ready >= view.goal
            share = 100 * view.target.ready // view.goal if self.shares else self.weights[-1]
            old = view.goal - min(view.goal, view.target.ready) if self.shares else view.goal
            return Decision(old, view.goal, Done() if done else Progress(), percent(share), str(index))
        weight, before = self.weights[index], self.weights[index - 1] if index else 0
        room = -(-view.goal * weight // 100)
        old = max(view.goal - view.target.ready, view.goal - room) if self.shares else view.goal
        if view.target.ready < room:
            return Decision(old, room, Progress(), percent(before), str(index))
        if self.pause and view.now < view.step_since + self.pause:
            wait = Wait("pausing", until=view.step_since + self.pause)
            return Decision(old, room, wait, percent(weight), str(index))
        if f"step {index + 1}" not in view.passed:
            return Decision(old, room, Wait("a look", at=f"step {index + 1}"), percent(weight), str(index))
        return self.decide(dataclasses.replace(view, step=str(index + 1), step_since=view.now))


def offer(world: World) -> None:
    """Let the world have the strategy."""
    world.parts.strategies.made["steps"] = Steps


def rollout_of(world: World) -> Rollout:
    """The newest rollout."""
    rollout = world.view("hello").rollout
    assert rollout is not None
    return rollout


async def at_step(world: World, number: int) -> None:
    """Go on until the rollout waits at that step's checkpoint, and gateways know."""
    for reached in range(1, number + 1):
        await world.until("hello", lambda _view, reached=reached: rollout_of(world).checkpoint == f"step {reached}")  # type: ignore[misc]  # bound at once
        if reached < number:
            await world.controller.promote("hello")
    await asyncio.sleep(0.1)


def shares(world: World) -> Mapping[RevisionId, int | None]:
    """Percent of the calls by revision, in the newest table."""
    route = world.dataplane.route("hello")
    assert route is not None
    return {side.revision: side.weight for side in route.sides if not side.preview}


def test_one_promotion_passes_one_step() -> None:
    """M47: never two at once, however often it is said at the same moment."""

    async def scenario(world: World) -> None:
        offer(world)
        old = await first(world, 5, strategy=STEPS, gates=BY_HAND)
        new = await update(world, 2, 5, strategy=STEPS, gates=BY_HAND)
        await at_step(world, 1)
        assert shares(world) == {old: 80, new: 20}
        await asyncio.gather(*(world.controller.promote("hello") for _ in range(3)), return_exceptions=True)
        await asyncio.sleep(5)
        assert rollout_of(world).passed == ("step 1",)
        assert rollout_of(world).checkpoint == "step 2"
        assert shares(world) == {old: 60, new: 40}

    watched(scenario)


def test_a_third_revision_begins_with_the_first_step() -> None:
    """M14, M20, M65: the others' calls go back to the stable revision, not to the one that was half way."""

    async def scenario(world: World) -> None:
        offer(world)
        old = await first(world, 5, strategy=STEPS, gates=BY_HAND)
        await update(world, 2, 5, strategy=STEPS, gates=BY_HAND)
        await at_step(world, 3)
        assert rollout_of(world).step == "2"

        new = await update(world, 3, 5, strategy=STEPS, gates=BY_HAND)
        await asyncio.sleep(0.1)
        begun = rollout_of(world)
        assert (begun.step, begun.passed, begun.promoted, begun.checkpoint) == ("0", (), False, None)
        assert shares(world) == {old: 100}
        await at_step(world, 1)
        assert shares(world) == {old: 80, new: 20}
        await asyncio.sleep(5)
        assert live(world) == {1: 5, 3: 1}

    watched(scenario)


def test_what_is_half_way_helps_until_the_stable_side_can_carry_everything() -> None:
    """M21: three revisions serve for a while; the one in the middle drains into the newest."""

    async def scenario(world: World) -> None:
        offer(world)
        sharing = PartRef("steps", options={"shares": True})
        old = await first(world, 5, strategy=sharing, gates=BY_HAND)
        half = await update(world, 2, 5, strategy=sharing, gates=BY_HAND)
        await at_step(world, 2)
        assert live(world) == {1: 3, 2: 2}

        world.provider.script = lambda _replica, _revision: Life(ready_after=5)
        new = await update(world, 3, 5, strategy=sharing, gates=BY_HAND)
        await asyncio.sleep(1)
        assert shares(world) == {old: 60, half: 40}
        await at_step(world, 1)
        assert shares(world)[new] == 20
        assert world.view("hello").ready >= 5
        for _ in range(3):
            await world.until("hello", lambda _view: rollout_of(world).checkpoint is not None)
            await world.controller.promote("hello")
        await world.ready("hello")
        await asyncio.sleep(5)
        assert live(world) == {3: 5}

    watched(scenario)


def test_another_plan_of_steps_begins_with_its_first() -> None:
    """M16: the template is the same, the rollout goes on; but a step of the old plan means nothing in the new one."""

    async def scenario(world: World) -> None:
        offer(world)
        old = await first(world, 5, strategy=STEPS, gates=BY_HAND)
        new = await update(world, 2, 5, strategy=STEPS, gates=BY_HAND)
        await at_step(world, 3)
        generation = rollout_of(world).generation

        other = PartRef("steps", (10, 50))
        await world.deploy("hello", 2, replicas=5, strategy=other, gates=BY_HAND)
        await asyncio.sleep(1)
        assert (rollout_of(world).step, rollout_of(world).passed) == ("0", ())
        assert rollout_of(world).generation == generation
        assert rollout_of(world).checkpoint == "step 1"
        assert shares(world) == {old: 90, new: 10}
        await world.controller.promote("hello")
        await world.until("hello", lambda _view: rollout_of(world).checkpoint == "step 2")
        await asyncio.sleep(0.1)
        assert shares(world) == {old: 50, new: 50}

    watched(scenario)


def test_another_plan_while_paused_stays_paused() -> None:
    """M16, M24: it begins anew when somebody lets it go on."""

    async def scenario(world: World) -> None:
        offer(world)
        await first(world, 5, strategy=STEPS, gates=BY_HAND)
        await update(world, 2, 5, strategy=STEPS, gates=BY_HAND)
        await at_step(world, 2)
        await world.controller.pause("hello")
        await world.deploy("hello", 2, replicas=5, strategy=PartRef("steps", (10, 50)), gates=BY_HAND)
        await asyncio.sleep(60)
        assert rollout_of(world).state is RolloutState.PAUSED
        await world.controller.resume("hello")
        await at_step(world, 1)
        assert rollout_of(world).traffic == percent(10)

    watched(scenario)


def test_a_change_of_other_settings_changes_no_step() -> None:
    """M16: only the plan itself is a reason to begin again."""

    async def scenario(world: World) -> None:
        offer(world)
        await first(world, 5, strategy=STEPS, gates=BY_HAND)
        await update(world, 2, 5, strategy=STEPS, gates=BY_HAND)
        await at_step(world, 2)
        await world.deploy("hello", 2, replicas=5, strategy=STEPS, gates=BY_HAND, termination_grace=7.0)
        await asyncio.sleep(5)
        assert (rollout_of(world).step, rollout_of(world).passed) == ("1", ("step 1",))

    watched(scenario)


def test_deploying_the_stable_version_half_way_skips_all_steps() -> None:
    """M22: the canary is drained, no gate is asked, nothing is waited for."""

    async def scenario(world: World) -> None:
        offer(world)
        old = await first(world, 5, strategy=STEPS, gates=BY_HAND)
        await update(world, 2, 5, strategy=STEPS, gates=BY_HAND)
        await at_step(world, 2)
        await world.deploy("hello", 1, replicas=5, strategy=STEPS, gates=BY_HAND)
        view = await world.settled("hello", 5)
        await asyncio.sleep(5)
        assert (view.stable, view.status) == (old, DeploymentStatus.READY)
        assert shares(world) == {old: 100}
        assert live(world) == {1: 5}

    watched(scenario)


def test_steps_stay_while_the_goal_changes() -> None:
    """M23, M24: a quarter is a quarter of 4, of 8 and of 4 again; neither step nor share moves."""

    async def scenario(world: World) -> None:
        offer(world)
        quarter = PartRef("steps", (25, 50))
        old = await first(world, 4, strategy=quarter, gates=BY_HAND)
        new = await update(world, 2, 4, strategy=quarter, gates=BY_HAND)
        await at_step(world, 1)
        for count in (8, 4):
            await world.controller.scale("hello", count)
            await asyncio.sleep(10)
            assert live(world) == {1: count, 2: count // 4}
            assert shares(world) == {old: 75, new: 25}
            assert (rollout_of(world).step, rollout_of(world).checkpoint) == ("0", "step 1")

    watched(scenario)


def test_aborted_at_forty_percent_the_calls_go_back_at_once() -> None:
    """M28, E25: the stable side is whole, so nothing is waited for; then the canary goes."""

    async def scenario(world: World) -> None:
        offer(world)
        old = await first(world, 5, strategy=STEPS, gates=BY_HAND)
        await update(world, 2, 5, strategy=STEPS, gates=BY_HAND)
        await at_step(world, 2)
        await world.controller.abort("hello")
        await asyncio.sleep(0.05)
        assert [share for revision, share in shares(world).items() if revision != old] in ([], [0])
        view = await world.settled("hello", 5)
        await asyncio.sleep(1)
        assert (view.stable, shares(world), live(world)) == (old, {old: 100}, {1: 5})
        assert rollout_of(world).traffic == percent(0)
        assert "aborted by a person" in view.reason

    watched(scenario)


def test_what_is_aborted_serves_while_the_stable_side_is_not_whole() -> None:
    """M28: the canary is let go only when the stable side has again what it had."""

    async def scenario(world: World) -> None:
        offer(world)
        old = await first(world, 5, strategy=STEPS, gates=BY_HAND)
        await update(world, 2, 5, strategy=STEPS, gates=BY_HAND)
        await at_step(world, 2)
        world.provider.script = lambda _replica, _revision: Life(ready_after=30)
        for replica in [one for one in sorted(world.provider.states()) if old[:6] in one][:2]:
            world.provider.kill(replica)
        await world.until("hello", lambda view: view.ready == 5)
        await world.controller.abort("hello")
        await asyncio.sleep(20)
        assert live(world)[2] == 2
        assert world.view("hello").ready == 5
        view = await world.settled("hello")
        await asyncio.sleep(5)
        assert (view.ready, live(world)) == (5, {1: 5})

    watched(scenario)


def test_a_canary_that_breaks_is_taken_back_with_its_weight() -> None:
    """E25: in the end the old side has everything, and the record says so."""

    async def scenario(world: World) -> None:
        offer(world)
        old = await first(world, 5, strategy=STEPS, gates=BY_HAND)
        await update(world, 2, 5, strategy=STEPS, gates=BY_HAND)
        await at_step(world, 2)
        world.provider.script = by_revision({old: Life()}, BROKEN)
        await world.controller.promote("hello")
        view = await world.settled("hello")
        await asyncio.sleep(5)
        assert shares(world) == {old: 100}
        assert (rollout_of(world).state, rollout_of(world).traffic) == (RolloutState.FAILED, percent(0))
        assert "ImportError" in view.reason

    watched(scenario)


def test_nothing_is_aborted_after_the_end() -> None:
    """M30: it is refused by type, and the stable side is as it was."""

    async def scenario(world: World) -> None:
        offer(world)
        await first(world, 5, strategy=STEPS)
        new = await update(world, 2, 5, strategy=STEPS)
        await world.ready("hello")
        await asyncio.sleep(10)
        before = len(world.events)
        with pytest.raises(NoRollout):
            await world.controller.abort("hello")
        await asyncio.sleep(60)
        assert (world.view("hello").stable, live(world)) == (new, {2: 5})
        assert len(world.events) == before

    watched(scenario)


def test_tried_again_it_begins_with_the_first_step_and_a_fresh_deadline() -> None:
    """M31: nothing of the attempt before counts."""

    async def scenario(world: World) -> None:
        offer(world)
        await first(world, 5, strategy=STEPS, gates=BY_HAND, progress_deadline=60.0)
        await update(world, 2, 5, strategy=STEPS, gates=BY_HAND, progress_deadline=60.0)
        await at_step(world, 2)
        await world.controller.abort("hello")
        await world.settled("hello")
        await asyncio.sleep(600)
        await update(world, 2, 5, strategy=STEPS, gates=BY_HAND, progress_deadline=60.0)
        again = rollout_of(world)
        assert (again.step, again.passed, again.failures) in (("", (), 0), ("0", (), 0))
        assert again.progress_at == pytest.approx(world.clock.now(), abs=1)
        await at_step(world, 1)

    watched(scenario)


@pytest.mark.parametrize("pause", [300.0, 900.0])
def test_a_wait_that_has_an_end_is_not_late(pause: float) -> None:
    """M38, E23: pauses of many minutes, a deadline of one; each step as long as its plan says."""

    async def scenario(world: World) -> None:
        offer(world)
        slow = PartRef("steps", options={"pause": pause})
        await first(world, 5, strategy=slow, progress_deadline=60.0)
        begun = world.clock.now()
        await update(world, 2, 5, strategy=slow, progress_deadline=60.0)
        await world.ready("hello", 4 * pause)
        assert world.clock.now() - begun == pytest.approx(3 * pause, abs=30)

    watched(scenario)


def test_waiting_for_a_person_is_not_late_at_any_step() -> None:
    """M38, M52: two hours at the second step, with a deadline of ten minutes."""

    async def scenario(world: World) -> None:
        offer(world)
        await first(world, 5, strategy=STEPS, gates=BY_HAND, progress_deadline=600.0)
        await update(world, 2, 5, strategy=STEPS, gates=BY_HAND, progress_deadline=600.0)
        await at_step(world, 2)
        await asyncio.sleep(7_200)
        assert world.view("hello").status is DeploymentStatus.AWAITING_PROMOTION
        await world.controller.promote("hello")
        await world.until("hello", lambda _view: rollout_of(world).checkpoint == "step 3", 60)

    watched(scenario)


def test_the_deadline_ends_with_the_rollout() -> None:
    """M39, M38: it takes back what is late, and never what was promoted, however long the old side is kept."""

    async def scenario(world: World) -> None:
        offer(world)
        keeping = PartRef("blue_green", options={"keep_old": 3_600.0})
        old = await first(world, 3, strategy=keeping, progress_deadline=60.0)
        new = await update(world, 2, 3, strategy=keeping, progress_deadline=60.0)
        await world.ready("hello")
        world.provider.kill(next(one for one in sorted(world.provider.states()) if new[:6] in one))
        world.provider.script = lambda _replica, _revision: Life(ready_after=NEVER)
        await asyncio.sleep(300)
        assert world.view("hello").stable == new
        assert rollout_of(world).state is RolloutState.DONE

        world.provider.script = by_revision({new: Life(), old: Life()}, Life(ready_after=NEVER))
        begun = world.clock.now()
        await update(world, 3, 3, strategy=STEPS, progress_deadline=60.0)
        view = await world.until("hello", lambda _view: rollout_of(world).state is RolloutState.RESTORING)
        assert world.clock.now() - begun == pytest.approx(60, abs=2)
        assert rollout_of(world).reason_code == "progress_deadline"
        assert view.stable == new

    watched(scenario)


class Moody:
    """A gate that measures somewhere else, and cannot always be asked."""

    def __init__(self) -> None:
        self.word: Verdict | None = Hold("measuring")

    def verdict(self, view: GateView) -> Verdict:
        """What was measured, if it can be had."""
        if self.word is None:
            raise ConnectionError(f"no metrics for {view.checkpoint}")
        return self.word


async def moody(world: World) -> Moody:
    """A rollout that has waited for two hours at the first step, for a gate that measures."""
    offer(world)
    gate = Moody()
    world.parts.gates.made["moody"] = lambda: gate
    settings: dict[str, Any] = {"gates": {"step 1": (PartRef("moody"),)}, "progress_deadline": 60.0}
    await first(world, 5, strategy=STEPS, **settings)
    await update(world, 2, 5, strategy=STEPS, **settings)
    await world.until("hello", lambda _view: rollout_of(world).checkpoint == "step 1")
    await asyncio.sleep(7_200)
    assert world.view("hello").status is DeploymentStatus.AWAITING_PROMOTION
    return gate


def look(world: World, turn: int = 0) -> None:
    """Something is heard, so that the gate is asked again."""
    world.dataplane.say("hello", queued=1 + turn)


def test_a_gate_that_cannot_be_asked_for_a_while_is_asked_again() -> None:
    """M43: it is said at once, an answer ends the count, and hours of waiting before it are not held against it."""

    async def scenario(world: World) -> None:
        gate = await moody(world)
        since = rollout_of(world).checkpoint_since
        for turn in range(4):
            gate.word = None
            look(world, 2 * turn)
            view = await world.until("hello", lambda view: view.status is DeploymentStatus.DEGRADED, 5)
            assert "gate 'moody': it raised ConnectionError: no metrics for step 1" in view.reason
            await asyncio.sleep(40)
            gate.word = Hold("measuring")
            look(world, 2 * turn + 1)
            await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION, 5)
        assert rollout_of(world).checkpoint_since == since
        gate.word = Pass()
        look(world, 100)
        await world.ready("hello")

    watched(scenario)


def test_a_gate_that_can_never_be_asked_again_takes_the_rollout_back() -> None:
    """M43: after the deadline of progress, counted from when it failed first, with its own words."""

    async def scenario(world: World) -> None:
        gate = await moody(world)
        gate.word = None
        look(world)
        begun = world.clock.now()
        view = await world.settled("hello")
        assert world.clock.now() - begun == pytest.approx(60, abs=2)
        assert (rollout_of(world).state, rollout_of(world).reason_code) == (RolloutState.FAILED, "progress_deadline")
        assert "no metrics for step 1" in view.reason
        assert live(world) == {1: 5}

    watched(scenario)


class Watching:
    """A gate that would have failed, and only watches."""

    def verdict(self, view: GateView) -> Verdict:
        """Another word at each look: what counts is the last one."""
        return Pass(f"would have failed after {view.now - view.since:.0f} s")


def test_what_a_watching_gate_finds_is_recorded_and_stops_nothing() -> None:
    """M45: once for the checkpoint, when it is passed; another gate holds it as long as ever."""

    async def scenario(world: World) -> None:
        offer(world)
        world.parts.gates.made["watching"] = Watching
        gates = {"step 1": (PartRef("watching"), PartRef("delay", options={"seconds": 30.0}))}
        await first(world, 5, strategy=STEPS, gates=gates)
        await update(world, 2, 5, strategy=STEPS, gates=gates)
        for look_at in range(5):
            await asyncio.sleep(5)
            look(world, look_at)
        await world.settled("hello")

        noted = [one.event for one in await world.controller.events(limit=1000) if one.event.kind == "rollout.noted"]
        assert rollout_of(world).state is RolloutState.DONE
        assert [(one.message, one.data) for one in noted] == [
            ("step 1: would have failed after 30 s", {"checkpoint": "step 1", "by": "gate 'watching'"})
        ]

    watched(scenario)
