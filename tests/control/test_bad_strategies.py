"""Strategies that are reckless, broken, slow or never settle: users stay served, and the deployment says why."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from flashcore.control.consult import PartFailed
from flashcore.control.isolation import Threaded
from flashcore.hookspecs.strategies import Decision, Done, Failed, Progress, View, Wait
from flashcore.model.deployment import Budget, DeploymentStatus, RolloutState, percent
from flashcore.model.errors import InvalidOptions
from flashcore.model.parts import PartRef
from flashcore.testing.invariants import Invariants
from flashcore.testing.simulation import World, simulate

GOAL = 4
TRICK = PartRef("trick")


class Trick:
    """A strategy with a sound budget that decides as a test says."""

    def __init__(self, decide: Callable[[View], Any], budget: Any = None) -> None:
        self._decide = decide
        self._budget = budget

    def budget(self, goal: int) -> Budget:
        """One more may exist, none may be missing."""
        made: Budget = self._budget if self._budget is not None else Budget(goal, goal + 1)
        return made

    def decide(self, view: View) -> Decision:
        """As told."""
        made: Decision = self._decide(view)
        return made


def update(decide: Callable[[View], Any], then: Callable[[World], Any], **policy: Any) -> World:
    """Four replicas of version 1, ready, and version 2 deployed by a trick; `then` looks at it."""
    kept: list[Invariants] = []

    async def scenario(world: World) -> None:
        kept.append(Invariants(world))
        world.parts.strategies.made["trick"] = lambda: Trick(decide)
        await world.deploy("hello", 1, replicas=GOAL, strategy=TRICK, **policy)
        await world.ready("hello")
        await world.deploy("hello", 2, replicas=GOAL, strategy=TRICK, **policy)
        await then(world)

    world = simulate(scenario)
    kept[0].require_kept()
    return world


def test_a_reckless_strategy_is_held_to_its_budget() -> None:
    """It wants nothing of the old and everything of the new at once; it gets it step by step."""

    async def then(world: World) -> None:
        view = await world.ready("hello")
        assert view.ready == GOAL

    world = update(lambda view: Decision(0, view.goal, Done() if view.target.ready >= view.goal else Progress()), then)

    assert max(_counts(world)) <= GOAL + 1


def test_a_strategy_that_is_done_too_early_is_not_believed() -> None:
    """The target must be able to carry what it is given."""

    async def then(world: World) -> None:
        view = await world.ready("hello")
        assert view.ready == GOAL

    update(lambda view: Decision(0, view.goal, Done()), then)


def test_all_traffic_to_nobody_is_not_moved() -> None:
    """It goes as far as the target can carry it."""

    async def then(world: World) -> None:
        assert [side.share for side in world.view("hello").sides if side.role == "target"] == [0]
        await world.ready("hello")

    update(
        lambda view: Decision(0, view.goal, Done() if view.target.ready >= view.goal else Progress(), percent(100)),
        then,
    )


def _raise(_view: View) -> Decision:
    raise KeyError("weights")


def _exit(_view: View) -> Decision:
    raise SystemExit(3)


NONSENSE: dict[str, tuple[Callable[[View], Any], str]] = {
    "raises": (_raise, "it raised KeyError"),
    "exits": (_exit, "it raised SystemExit"),
    "nothing": (lambda _: None, "must give a Decision"),
    "negative": (lambda _: Decision(-1, 2, Progress()), "whole numbers from 0"),
    "truth": (lambda _: Decision(True, 2, Progress()), "whole numbers from 0"),
    "fraction": (lambda _: Decision(1.5, 2, Progress()), "whole numbers from 0"),  # type: ignore[arg-type]  # that is the nonsense
    "outcome": (lambda _: Decision(1, 2, "done"), "outcome must be"),  # type: ignore[arg-type]  # that is the nonsense
    "never": (lambda _: Decision(1, 2, Wait("x", until=float("nan"))), "a wait must end at a time"),
    "kept": (lambda _: Decision(1, 2, Done(keep_old=-1)), "keep_old must be"),
    "circles": (
        lambda view: Decision(4, 4, Wait("x", at=f"step {len(view.passed)}")),
        "checkpoints one after the other",
    ),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_turns_the_deployment_degraded_with_plugin_and_rule(name: str) -> None:
    """And nothing moves."""
    decide, rule = NONSENSE[name]

    async def then(world: World) -> None:
        view = await world.until("hello", lambda view: view.status is DeploymentStatus.DEGRADED)
        assert "strategy 'trick'" in view.reason
        assert rule in view.reason
        await asyncio.sleep(60)
        view = world.view("hello")
        assert [(side.number, side.live, side.ready) for side in view.sides if side.live] == [(1, GOAL, GOAL)]

    update(decide, then)


def test_a_broken_strategy_is_ended_by_the_deadline_of_progress() -> None:
    """The core takes the rollout back; no strategy has a part in that."""

    async def then(world: World) -> None:
        view = await world.settled("hello")
        assert view.rollout is not None
        assert view.rollout.state is RolloutState.FAILED
        assert view.ready == GOAL

    update(_raise, then, progress_deadline=60.0)


def test_a_strategy_that_flaps_for_ever_is_ended_by_the_deadline_of_progress() -> None:
    """Going back and forth is no progress, and the loop is not its own."""

    async def then(world: World) -> None:
        view = await world.settled("hello", 600)
        assert view.rollout is not None
        assert (view.rollout.state, view.rollout.reason_code) == (RolloutState.FAILED, "progress_deadline")

    update(
        lambda view: Decision(GOAL, 1 - min(1, view.target.live), Progress(), step="ab"[view.step == "a"]),
        then,
        progress_deadline=60.0,
    )


def test_a_strategy_that_gives_up_is_taken_back_with_its_reason() -> None:
    """Failed is an answer, too."""

    async def then(world: World) -> None:
        view = await world.settled("hello")
        assert "no luck" in view.reason
        assert view.status is DeploymentStatus.DEGRADED

    update(lambda _: Decision(0, 0, Failed("no luck")), then)


@pytest.mark.parametrize(
    "budget",
    [Budget(4, 4), Budget(5, 6), Budget(0, 0), "much", Budget(-1, 4), Budget(1, 2.5)],  # type: ignore[arg-type]  # that is the nonsense
)
def test_a_budget_that_is_none_is_refused_at_deploy(budget: object) -> None:
    """Nothing has happened then."""

    async def scenario(world: World) -> None:
        world.parts.strategies.made["trick"] = lambda: Trick(_raise, budget)
        with pytest.raises(InvalidOptions, match="strategy 'trick'"):
            await world.deploy("hello", 1, replicas=GOAL, strategy=TRICK)
        assert world.controller.endpoints() == ()

    simulate(scenario)


async def test_a_strategy_that_hangs_holds_up_neither_its_loop_nor_others() -> None:
    """It has a deadline, it is named, and it is not called again while it hangs."""
    isolation = Threaded()
    calls: list[int] = []
    woken = threading.Event()

    def hang(calling: Callable[[str], object]) -> None:
        calling("strategy 'sleepy'")
        calls.append(1)
        woken.wait()

    for _ in range(3):
        with pytest.raises(PartFailed, match="strategy 'sleepy': it did not answer within"):
            await isolation.call("hello", hang)

    assert len(calls) == 1
    assert await isolation.call("other", lambda _calling: 7) == 7
    woken.set()
    async with asyncio.timeout(60):
        while await _answer(isolation, "hello") != 8:  # noqa: ASYNC110 - a thread that ends has no event
            await asyncio.sleep(0.01)


async def _answer(isolation: Threaded, key: str) -> int | None:
    """What a part answers who is asked now; none as long as it hangs."""
    try:
        return await isolation.call(key, lambda _calling: 8)
    except PartFailed:
        return None


@pytest.mark.parametrize("answer", [7, TimeoutError("its own")])
async def test_an_answer_that_comes_with_the_deadline_counts(answer: int | TimeoutError) -> None:
    """The machine was busy with something else: by the time that anybody looks, both are there."""

    def work(_calling: Callable[[str], object]) -> int:
        if isinstance(answer, TimeoutError):
            raise answer
        return answer

    calling = asyncio.create_task(Threaded(deadline=0.05).call("late", work))
    await asyncio.sleep(0)
    for thread in threading.enumerate():
        if thread.name == "plugins of late":
            thread.join()
    time.sleep(0.06)  # noqa: ASYNC251 - the loop is to be late

    (told,) = await asyncio.gather(calling, return_exceptions=True)
    assert told is answer


async def test_what_ends_a_program_ends_only_its_thread() -> None:
    """sys.exit in a plugin is its problem."""

    def leave(calling: Callable[[str], object]) -> None:
        calling("strategy 'rude'")
        raise SystemExit(1)

    with pytest.raises(Exception, match="strategy 'rude': it raised SystemExit"):
        await Threaded().call("hello", leave)


def _counts(world: World) -> list[int]:
    """Live replicas after each event."""
    counts, there = [], set()
    for event in world.events:
        if event.kind == "replica.created":
            there.add(event.replica)
        elif event.kind == "replica.draining":
            there.discard(event.replica)
        counts.append(len(there))
    return counts
