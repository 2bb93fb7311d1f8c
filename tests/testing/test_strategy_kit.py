"""The kit for strategies sees each fault that it is there for, and passes the built-in ones."""

from collections.abc import Callable

import pytest

from flashcore.builtin.blue_green import BlueGreenStrategy
from flashcore.builtin.recreate import RecreateStrategy
from flashcore.builtin.rolling import RollingStrategy
from flashcore.hookspecs.strategies import Decision, Done, Progress, Strategy, View, Wait
from flashcore.model.deployment import Budget, percent
from flashcore.model.parts import BlueGreen, Recreate, Rolling
from flashcore.testing import strategy_kit as kit
from flashcore.testing.conformance import Nonconformance
from flashcore.testing.strategy_kit import StrategyKit


class TestRolling(StrategyKit):
    """The built-in `rolling`, by shares."""

    def strategy(self) -> Strategy:
        """As declared without options."""
        return RollingStrategy(Rolling())


class TestRollingWithoutSurge(StrategyKit):
    """The built-in `rolling`, one replica missing at a time."""

    def strategy(self) -> Strategy:
        """By counts."""
        return RollingStrategy(Rolling(max_surge=0, max_unavailable=1))


class TestBlueGreen(StrategyKit):
    """The built-in `blue_green`."""

    def strategy(self) -> Strategy:
        """With a warm old side."""
        return BlueGreenStrategy(BlueGreen(keep_old=60.0))


class TestRecreate(StrategyKit):
    """The built-in `recreate`."""

    def strategy(self) -> Strategy:
        """It has no options."""
        return RecreateStrategy(Recreate())


class Sound:
    """A strategy without a fault: one more of the target as soon as the last one is ready."""

    def budget(self, goal: int) -> Budget:
        """One too many at times."""
        return Budget(goal, goal + 1)

    def decide(self, view: View) -> Decision:
        """As many old ones as are still needed, and one more new one."""
        if view.target.ready >= view.goal:
            return Decision(0, view.goal, Done())
        return Decision(view.goal - view.target.ready, view.target.ready + 1, Progress())


class TestSound(StrategyKit):
    """A strategy without a fault passes."""

    def strategy(self) -> Strategy:
        """Nothing to configure."""
        return Sound()


class NoRoom(Sound):
    """Allows neither one more nor one less."""

    def budget(self, goal: int) -> Budget:
        """Exactly the goal."""
        return Budget(goal, goal)


class TooMany(Sound):
    """Asks for more than its own budget allows."""

    def decide(self, view: View) -> Decision:
        """Both sides whole."""
        return Decision(view.goal, view.goal, Progress() if view.target.ready < view.goal else Done())


class Counts(Sound):
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def decide(self, view: View) -> Decision:
        """Another word for each time."""
        self.asked += 1
        return Decision(0, view.goal, Progress(), step=str(self.asked))


class GoesByTheDate(Sound):
    """Ships in the second half of every other second alone."""

    def decide(self, view: View) -> Decision:
        """By the clock."""
        return super().decide(view) if view.now < 1_000 else Decision(view.goal, 0, Wait("not today", until=0.0))


class NeverDone(Sound):
    """Forgets to say that it has finished."""

    def decide(self, view: View) -> Decision:
        """On and on."""
        decision = super().decide(view)
        return Decision(decision.old, decision.target, Progress())


class DoesNotWait(Sound):
    """Takes the old side away while the new one starts."""

    def decide(self, view: View) -> Decision:
        """By what exists, not by what is ready."""
        if view.target.exists >= view.goal:
            return Decision(0, view.goal, Done())
        return Decision(view.goal - view.target.exists, view.target.exists + 1, Progress())


class MovesTrafficAtOnce(Sound):
    """Sends half of the traffic to nobody."""

    def decide(self, view: View) -> Decision:
        """Half and half from the start."""
        decision = super().decide(view)
        return Decision(decision.old, decision.target, decision.outcome, percent(50))


FAULTS: list[tuple[Callable[[], Sound], Callable[[Callable[[], Sound]], None]]] = [
    (NoRoom, kit.check_budget),
    (TooMany, kit.check_decision),
    (Counts, kit.check_pure),
    (GoesByTheDate, kit.check_clock),
    (NeverDone, kit.check_finishes),
    (DoesNotWait, kit.check_waits_for_readiness),
    (MovesTrafficAtOnce, kit.check_traffic),
]


@pytest.mark.parametrize(("make", "check"), FAULTS)
def test_a_fault_is_seen(make: Callable[[], Sound], check: Callable[[Callable[[], Sound]], None]) -> None:
    """The kit says which rule is broken."""
    with pytest.raises(Nonconformance):
        check(make)


def test_every_check_has_a_fault_that_it_sees() -> None:
    """A check that cannot fail is a defect."""
    assert set(StrategyKit.checks.values()) == {check for _, check in FAULTS}
