"""canary: which replicas and which share of the calls the new revision has at each step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.hookspecs.strategies import PROMOTION, Decision, Done, Progress, SideView, View, Wait
from flashcore.model.deployment import Traffic, by_capacity, percent
from flashcore.model.names import RevisionId
from flashcore.model.parts import PartRef
from flashcore_canary import Canary
from flashcore_canary.split import beside_the_whole, within
from flashcore_canary.strategy import CanaryStrategy

OLD, TARGET = RevisionId("a" * 64), RevisionId("b" * 64)


def seen(goal: int, old: int, target: int, *passed: str, step: str = "", traffic: Traffic | None = None) -> View:
    """A view in which all replicas that exist are ready."""
    sides = (SideView(OLD, old, old, old),) if old else ()
    target_side = SideView(TARGET, target, target, target)
    return View(goal, 0.0, sides, target_side, traffic or Traffic(), step, 0.0, frozenset(passed))


def decided(view: View, options: Canary | None = None) -> Decision:
    """What a canary of 25 and 50 percent decides."""
    return CanaryStrategy(options or Canary(weights=(25, 50))).decide(view)


def settled(goal: int, options: Canary) -> tuple[int, int]:
    """Replicas of both sides once the first step has come to rest."""
    old, target = goal, 0
    for _ in range(4 * goal + 4):
        decision = decided(seen(goal, old, target), options)
        if isinstance(decision.outcome, Wait | Done):
            return old, target
        old, target = min(old, decision.old), decision.target
    raise AssertionError(f"no rest at {old} and {target}")


def test_a_step_makes_room_before_it_moves_calls() -> None:
    """The share grows once the replicas for it are ready."""
    before = decided(seen(4, 4, 0))
    after = decided(seen(4, 4, 1))

    assert (before.old, before.target, before.traffic, before.outcome) == (4, 1, percent(0), Progress())
    assert (after.old, after.target, after.traffic, after.step) == (4, 1, percent(25), "step 1")
    assert isinstance(after.outcome, Wait)
    assert after.outcome.at == "step 1"


def test_the_next_step_keeps_the_share_until_it_is_ready() -> None:
    """25 percent go on while the second replica starts."""
    decision = decided(seen(4, 4, 1, "step 1", step="step 1"))

    assert (decision.target, decision.traffic, decision.step) == (2, percent(25), "step 1")


def test_a_replica_lost_at_a_step_does_not_move_calls_back() -> None:
    """Those that are left carry the share while another one starts."""
    decision = decided(seen(8, 8, 1, step="step 1"))

    assert (decision.target, decision.traffic, decision.outcome) == (2, percent(25), Progress())


def test_a_step_without_a_ready_replica_gives_its_calls_back() -> None:
    """Calls go where they are answered."""
    assert decided(seen(4, 4, 0, step="step 1")).traffic == percent(0)


def test_after_the_last_step_the_rest_follows_at_once() -> None:
    """All replicas first, then all calls, then the old side is kept for as long as was asked."""
    options = Canary(weights=(25, 50), keep_old=300)
    passed = ("step 1", "step 2", PROMOTION)

    filling = decided(seen(4, 4, 2, *passed, step="step 2"), options)
    done = decided(seen(4, 4, 4, *passed, step="step 2"), options)

    assert (filling.old, filling.target, filling.traffic) == (4, 4, percent(50))
    assert (done.traffic, done.outcome) == (percent(100), Done(keep_old=300))


def test_gates_of_a_promotion_are_asked_before_the_rest() -> None:
    """What an endpoint binds to `promotion` holds for a canary too."""
    decision = decided(seen(4, 4, 2, "step 1", "step 2", step="step 2"))

    assert decision.outcome == Wait("50 % is being watched", at=PROMOTION)


def test_without_an_old_side_nothing_is_compared() -> None:
    """E11: an old revision of which nothing is left cannot be waited for."""
    assert decided(seen(3, 0, 0)).target == 3
    assert isinstance(decided(seen(3, 0, 3)).outcome, Done)


def test_each_step_is_timed_and_compared() -> None:
    """By gates, so that a person's word is a gate like any other."""
    defaults = {"errors": 0.02, "slower": 0.1, "confidence": 0.95, "patience": None, "if_unsure": "hold"}
    defaults["dry_run"] = False
    analysis = PartRef("analysis", options=defaults)

    assert CanaryStrategy(Canary(weights=(25, 50), pause=30)).gates() == {
        "step 1": (PartRef("delay", options={"seconds": 30}), analysis),
        "step 2": (PartRef("delay", options={"seconds": 30}), analysis),
    }
    assert CanaryStrategy(Canary(weights=(25,), pause=None, analysis=False)).gates() == {"step 1": (PartRef("manual"),)}


@pytest.mark.parametrize(
    ("goal", "weight", "surge", "expected"),
    [
        pytest.param(10, 41, 1, (6, 4), id="M8"),
        pytest.param(3, 50, 0, (2, 1), id="M9 without surge"),
        pytest.param(3, 50, 1, (2, 2), id="M9 with surge"),
        pytest.param(1, 20, 1, (1, 1), id="M10 with surge"),
        pytest.param(1, 20, 0, (0, 1), id="M10 without surge"),
        pytest.param(10, 5, 0, (9, 1), id="M11"),
        pytest.param(2, 99, 0, (1, 1), id="one of each is left"),
    ],
)
def test_shared_replicas_come_as_near_to_the_weight_as_counts_can(
    goal: int, weight: int, surge: int, expected: tuple[int, int]
) -> None:
    """M8, M9, M10, M11: where the only replica becomes the canary, that is the whole rollout."""
    options = Canary(weights=(weight,), max_surge=surge)

    assert settled(goal, options) == expected


def test_shared_replicas_share_the_calls_alike() -> None:
    """Their counts are the weight."""
    assert decided(seen(10, 6, 4), Canary(weights=(41,), max_surge=1)).traffic == by_capacity()


def test_scaling_in_a_step_changes_counts_and_nothing_else() -> None:
    """M23: 25 percent of 8 are 6 and 2, of 4 are 3 and 1; the step and the share stay."""
    options = Canary(weights=(25, 50), max_surge=1)

    small, large = decided(seen(4, 3, 1, step="step 1"), options), decided(seen(8, 3, 1, step="step 1"), options)

    assert settled(8, options) == (6, 2)
    assert settled(4, options) == (3, 1)
    assert small.step == large.step == "step 1"


@given(goal=st.integers(1, 200), weight=st.integers(1, 99))
def test_a_share_beside_the_whole_has_the_capacity_that_it_needs(goal: int, weight: int) -> None:
    """Never less than its share of the goal, never a whole replica more."""
    split = beside_the_whole(weight, goal)

    assert split.old == goal
    assert weight * goal <= 100 * split.target
    assert split.target == 1 or 100 * (split.target - 1) < weight * goal


@given(goal=st.integers(1, 200), weight=st.integers(1, 99), surge=st.integers(0, 3))
def test_shared_replicas_are_as_many_as_are_allowed(goal: int, weight: int, surge: int) -> None:
    """And no other count would be nearer by a whole replica."""
    split = within(weight, goal, surge)
    total = split.old + split.target

    assert total in ({goal, goal + 1} if surge else {goal})
    assert split.target >= 1
    assert split.old >= min(1, total - 1)
    assert split.old <= goal
    assert abs(100 * split.target - weight * total) <= 100


@given(goal=st.integers(1, 12), surge=st.sampled_from((None, 0, 1, 2)), weights=st.sets(st.integers(1, 99), min_size=1))
def test_a_canary_of_any_shape_ends_with_the_new_revision(goal: int, surge: int | None, weights: set[int]) -> None:
    """Replicas get ready one at a time, gates pass; the budget holds at each look."""
    strategy = CanaryStrategy(Canary(weights=tuple(sorted(weights)), max_surge=surge))
    budget = strategy.budget(goal)
    old, target, passed, step = goal, 0, set[str](), ""
    for _ in range(8 * goal + 3 * len(weights) + 8):
        decision = strategy.decide(seen(goal, old, target, *passed, step=step))
        if isinstance(decision.outcome, Done):
            break
        if isinstance(decision.outcome, Wait):
            passed.add(str(decision.outcome.at))
        old, step = min(old, decision.old), decision.step
        assert old + target >= budget.min_ready
        assert old + decision.target <= budget.max_existing
        target = max(target, min(target + 1, decision.target))

    assert target == goal
