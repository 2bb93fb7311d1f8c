"""The arithmetic of rolling updates, and the steps that they take."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.builtin.rolling import RollingStrategy
from flashcore.hookspecs.strategies import Decision, Done, SideView, View
from flashcore.model.deployment import Budget, Traffic
from flashcore.model.errors import InvalidOptions
from flashcore.model.names import RevisionId
from flashcore.model.parts import Rolling


def rolling(surge: int | str = "25%", unavailable: int | str = "25%") -> RollingStrategy:
    """A strategy with these options."""
    return RollingStrategy(Rolling(max_surge=surge, max_unavailable=unavailable))


def view(goal: int, old: tuple[int, int], target: tuple[int, int]) -> View:
    """A view of (live, ready) replicas on both sides."""
    return View(
        goal=goal,
        now=0.0,
        old=(SideView(RevisionId("a"), old[0], old[1], old[1]),) if old[0] else (),
        target=SideView(RevisionId("b"), target[0], target[1], target[1]),
        traffic=Traffic(),
        step="",
        step_since=0.0,
        passed=frozenset(),
    )


def counts(decision: Decision) -> tuple[int, int]:
    """What is to be on both sides."""
    return decision.old, decision.target


def test_e02_shares_are_exact() -> None:
    """E02: 28 % of 25 rounded up is 7 and 29 % of 100 rounded down is 29, whatever floats make of it."""
    assert rolling("28%", 0).budget(25) == Budget(25, 32)
    assert rolling(0, "29%").budget(100) == Budget(71, 100)


@given(goal=st.integers(1, 5000), percent=st.integers(1, 99))
def test_e02_shares_are_exact_for_every_goal(goal: int, percent: int) -> None:
    """E02: surge is the least whole number that is not below the exact share, unavailable the greatest not above it."""
    share = Fraction(percent * goal, 100)

    budget = rolling(f"{percent}%", f"{percent}%").budget(goal)

    surge, unavailable = budget.max_existing - goal, goal - budget.min_ready
    assert share <= surge < share + 1
    assert share - 1 < unavailable <= share


def test_m1_ten_replicas_by_quarters() -> None:
    """M1: surge 3, unavailable 2."""
    assert rolling().budget(10) == Budget(8, 13)


def test_m2_four_and_five_replicas_by_quarters() -> None:
    """M2: 4 gives 1 and 1; 5 gives 2 and 1."""
    assert rolling().budget(4) == Budget(3, 5)
    assert rolling().budget(5) == Budget(4, 7)


@pytest.mark.parametrize("goal", [1, 2, 3])
def test_m3_few_replicas_are_never_missing(goal: int) -> None:
    """M3: surge 1, unavailable 0: no gap at one replica."""
    assert rolling().budget(goal) == Budget(goal, goal + 1)


def test_m4_shares_that_come_to_nothing_are_no_deadlock() -> None:
    """M4: surge 0 %, unavailable 1 % of 10: one may be missing."""
    assert rolling("0%", "1%").budget(10) == Budget(9, 10)


def test_e01_a_small_share_of_few_replicas_still_makes_progress() -> None:
    """E01: 10 % of 3 is nothing; one is forced to be replaceable."""
    assert rolling(0, "10%").budget(3) == Budget(2, 3)


@pytest.mark.parametrize(("surge", "unavailable"), [(0, 0), ("0%", 0), (0, "0%"), ("0%", "0%")])
def test_m5_nothing_and_nothing_is_refused(surge: int | str, unavailable: int | str) -> None:
    """M5: with both at 0 no replica could ever be replaced."""
    with pytest.raises(InvalidOptions, match="no replica could ever be replaced"):
        rolling(surge, unavailable)


@pytest.mark.parametrize("bad", ["25", "-1%", "many", -1, "", "25 %"])
def test_an_amount_that_is_none_is_refused_by_name(bad: int | str) -> None:
    """The message names the option and shows how to write it."""
    with pytest.raises(InvalidOptions, match="max_surge"):
        rolling(bad, 1)


def test_m6_ten_replicas_pass_through_the_same_points_as_elsewhere() -> None:
    """M6: (8,5) at once, within which (10,3) and (8,3) lie; (3,10) when 5 are ready; (0,10) when one more pair is."""
    strategy = rolling()

    assert counts(strategy.decide(view(10, (10, 10), (0, 0)))) == (8, 5)
    assert counts(strategy.decide(view(10, (8, 8), (5, 0)))) == (8, 5)
    assert counts(strategy.decide(view(10, (8, 8), (5, 5)))) == (3, 10)
    assert counts(strategy.decide(view(10, (3, 3), (10, 8)))) == (0, 10)
    assert isinstance(strategy.decide(view(10, (0, 0), (10, 10))).outcome, Done)


def test_e11_with_nothing_left_of_the_old_all_of_the_target_is_made_at_once() -> None:
    """E11: nobody is served: there is nothing to be careful about."""
    assert counts(rolling(1, 0).decide(view(4, (0, 0), (0, 0)))) == (0, 4)


def test_e07_the_places_of_old_replicas_that_died_go_to_the_target() -> None:
    """E07: two of three died: they are not asked for again."""
    assert counts(rolling(1, 0).decide(view(3, (1, 1), (1, 0)))) == (1, 3)


def test_e06_an_old_replica_that_is_stuck_is_dropped_when_the_target_is_whole() -> None:
    """E06: it serves nobody and is nobody's business any more."""
    decision = rolling(1, 0).decide(view(3, (1, 0), (3, 3)))

    assert counts(decision) == (0, 3)
    assert isinstance(decision.outcome, Done)


def test_e14_the_bounds_follow_the_goal() -> None:
    """E14: in mid-rollout from 4 to 2 replicas the old ones go as far as 2 remain ready."""
    assert counts(rolling(1, 0).decide(view(2, (3, 3), (2, 1)))) == (1, 2)


@given(
    goal=st.integers(1, 40),
    surge=st.integers(0, 40),
    unavailable=st.integers(0, 40),
    old=st.integers(0, 60),
    target=st.integers(0, 60),
    ready=st.integers(0, 60),
)
def test_no_decision_leaves_its_budget(  # one for each number of a view
    goal: int, surge: int, unavailable: int, old: int, target: int, ready: int
) -> None:
    """Whatever the view, what is to be fits into what may be."""
    if not surge and not unavailable:
        surge = 1
    strategy = rolling(surge, unavailable)
    budget = strategy.budget(goal)

    decision = strategy.decide(view(goal, (old, old), (target, min(ready, target))))

    assert decision.old + decision.target <= max(budget.max_existing, goal)
    assert 0 <= decision.old <= old
    assert 0 <= decision.target <= goal
