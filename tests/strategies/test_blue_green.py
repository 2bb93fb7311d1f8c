"""Blue-green: everything beside everything, then one move."""

import math

import pytest

from flashcore.builtin.blue_green import BlueGreenStrategy
from flashcore.hookspecs.strategies import PROMOTION, Done, SideView, View, Wait
from flashcore.model.deployment import Budget, percent
from flashcore.model.errors import InvalidOptions
from flashcore.model.names import RevisionId
from flashcore.model.parts import BlueGreen, PartRef


def view(goal: int, old: int, target: tuple[int, int], *, passed: bool = False) -> View:
    """`old` ready replicas, and (live, ready) of the target."""
    return View(
        goal=goal,
        now=0.0,
        old=(SideView(RevisionId("a"), old, old, old),),
        target=SideView(RevisionId("b"), target[0], target[1], 0),
        traffic=percent(0),
        step="",
        step_since=0.0,
        passed=frozenset({PROMOTION}) if passed else frozenset(),
    )


def test_the_target_gets_nothing_while_it_fills() -> None:
    """E20: not one call before the promotion."""
    decision = BlueGreenStrategy(BlueGreen()).decide(view(4, 4, (4, 3)))

    assert (decision.old, decision.target, decision.traffic) == (4, 4, percent(0))


def test_a_full_target_waits_at_the_promotion() -> None:
    """The gates say when."""
    decision = BlueGreenStrategy(BlueGreen()).decide(view(4, 4, (4, 4)))

    assert isinstance(decision.outcome, Wait)
    assert decision.outcome.at == PROMOTION
    assert decision.traffic == percent(0)


def test_promoted_everything_moves_at_once() -> None:
    """And the old side stays warm for as long as was asked."""
    decision = BlueGreenStrategy(BlueGreen(keep_old=300)).decide(view(4, 4, (4, 4), passed=True))

    assert decision.traffic == percent(100)
    assert decision.outcome == Done(300)


def test_m48_promoted_but_not_full_it_waits_for_capacity() -> None:
    """M48: a promotion skips gates, not capacity."""
    decision = BlueGreenStrategy(BlueGreen()).decide(view(4, 4, (4, 3), passed=True))

    assert decision.traffic == percent(0)


def test_both_sides_fit_into_the_budget() -> None:
    """Two times the goal."""
    assert BlueGreenStrategy(BlueGreen()).budget(4) == Budget(4, 8)


def test_options_that_are_gates_are_bound_to_the_promotion() -> None:
    """auto_promote=False is `manual`, promote_delay is `delay`."""
    strategy = BlueGreenStrategy(BlueGreen(auto_promote=False, promote_delay=60))

    assert strategy.gates() == {PROMOTION: (PartRef("manual"), PartRef("delay", options={"seconds": 60}))}
    assert BlueGreenStrategy(BlueGreen()).gates() == {}


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_times_that_are_none_are_refused(bad: float) -> None:
    """By the name of the option."""
    with pytest.raises(InvalidOptions, match="keep_old"):
        BlueGreenStrategy(BlueGreen(keep_old=bad))
