"""The parts themselves; each says which Protocol it satisfies, for the type checker."""

from collections.abc import Sequence
from typing import Protocol

from flashcore.hookspecs.gates import Fail, Gate, GateView, Hold, Pass, Verdict
from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest, RoutingPolicy
from flashcore.hookspecs.scalers import Scaler, ScaleView
from flashcore.hookspecs.strategies import PROMOTION, Decision, Done, Failed, Progress, Strategy, View, Wait
from flashcore.model.deployment import Budget, by_capacity, percent


class _Options(Protocol):
    @property
    def pause(self) -> float: ...

    @property
    def label(self) -> str: ...


class HalvesStrategy(Strategy):
    """Half, a checkpoint, the other half."""

    def __init__(self, options: _Options) -> None:
        self.options = options

    def budget(self, goal: int) -> Budget:
        """Half of them are enough for the time being."""
        return Budget(min_ready=goal // 2, max_existing=goal + 1)

    def decide(self, view: View) -> Decision:
        """By how many of the target are ready."""
        half = (view.goal + 1) // 2
        if view.target.exists > view.goal + 1:
            return Decision(view.old_exists, 0, Failed("there are too many"))
        if view.target.ready < half:
            return Decision(view.goal - half, half, Progress(), by_capacity(), step="first")
        if PROMOTION not in view.passed:
            wait = Wait(self.options.label, until=view.step_since + self.options.pause, at=PROMOTION)
            return Decision(view.goal - half, half, wait, percent(50), step="half")
        if view.target.ready < view.goal:
            return Decision(0, view.goal, Progress(), step="second")
        return Decision(0, view.goal, Done(keep_old=1.0))


class OddSeconds(Gate):
    """Every verdict there is."""

    def verdict(self, view: GateView) -> Verdict:
        """By the clock."""
        if view.now < view.since:
            return Fail("the clock went back")
        return Pass() if int(view.now) % 2 else Hold("the second is even", until=view.now + 1)


class Last(RoutingPolicy):
    """The last candidate."""

    @property
    def body_need(self) -> BodyNeed:
        """Nothing of it."""
        return BodyNeed.NONE

    @property
    def body_limit(self) -> int:
        """Nothing of it."""
        return 0

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """However busy it is."""
        return candidates[-1]

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is remembered."""


class OneMore(Scaler):
    """One more than is wanted."""

    def desired(self, view: ScaleView) -> int:
        """Up to the upper bound."""
        return min(view.goal + 1, view.bounds.maximum)
