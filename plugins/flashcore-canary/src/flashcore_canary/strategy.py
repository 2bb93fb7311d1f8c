"""canary: step by step a larger share of the calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from flashcore.hookspecs.strategies import PROMOTION, Decision, Done, Progress, View, Wait
from flashcore.model.deployment import Budget, Traffic, by_capacity, percent
from flashcore.model.parts import PartRef
from flashcore_canary.forms import Canary
from flashcore_canary.split import Split, beside_the_whole, within


class CanaryStrategy:
    """Each weight has a checkpoint, `step 1` and so on; the last one is followed by `promotion`, then by the rest.

    A step first makes room for its share of the calls, then moves them, then waits. What is passed says where the
    rollout is, so that nothing has to be remembered.
    """

    def __init__(self, options: Canary) -> None:
        self._options = options
        names = [f"step {number}" for number in range(1, len(options.weights) + 1)]
        self._steps = tuple(zip((*names, PROMOTION), (*options.weights, options.weights[-1]), strict=True))

    def budget(self, goal: int) -> Budget:
        """Two whole sides, or what they share; then one may be missing where there is nothing to spare."""
        surge = self._options.max_surge
        if surge is None:
            return Budget(min_ready=goal, max_existing=2 * goal)
        return Budget(min_ready=max(0, goal - (surge == 0)), max_existing=goal + surge)

    def decide(self, view: View) -> Decision:
        """The first step that is not passed; after them all, and where nothing is left to compare with, the rest."""
        before = 0
        for name, weight in self._steps if view.old_live and view.goal else ():
            if name not in view.passed:
                return self._at(name, before, weight, view)
            before = weight
        return self._finish(before, view)

    def gates(self) -> Mapping[str, tuple[PartRef, ...]]:
        """Each step waits for its time or for a person, and for the comparison."""
        options = self._options
        waits = PartRef("manual") if options.pause is None else PartRef("delay", options={"seconds": options.pause})
        bound = (waits, PartRef("analysis", options=asdict(options.comparison()))) if options.analysis else (waits,)
        return {name: bound for name, _ in self._steps if name != PROMOTION}

    def _at(self, name: str, before: int, weight: int, view: View) -> Decision:
        split = self._split(weight, view.goal)
        old, target = self._towards(split, view)
        if view.target.ready >= split.target and view.old_live <= max(old, split.old):
            return Decision(old, target, Wait(f"{weight} % is being watched", at=name), self._traffic(weight), name)
        share = weight if view.step == name else before
        return Decision(old, target, Progress(), self._traffic(share if view.target.ready else 0), view.step)

    def _finish(self, before: int, view: View) -> Decision:
        if view.target.ready >= view.goal:
            return Decision(view.old_live, view.goal, Done(self._options.keep_old), percent(100), "promoted")
        old, target = self._towards(Split(0, view.goal), view)
        traffic = self._traffic(before if view.target.ready else 0) if view.old_live else by_capacity()
        return Decision(old, target, Progress(), traffic, view.step)

    def _split(self, weight: int, goal: int) -> Split:
        surge = self._options.max_surge
        return beside_the_whole(weight, goal) if surge is None else within(weight, goal, surge)

    def _towards(self, split: Split, view: View) -> tuple[int, int]:
        """How far the budget lets the sides go now. A whole old side stays until the end, also when it lost some."""
        budget = self.budget(view.goal)
        if self._options.max_surge is None:
            return view.goal, split.target
        old = min(view.old_live, max(split.old, budget.min_ready - view.target.ready))
        return old, min(split.target, budget.max_existing - old)

    def _traffic(self, weight: int) -> Traffic:
        """A share where both sides can be as large as they need; otherwise each replica takes its part."""
        return percent(weight) if self._options.max_surge is None else by_capacity()
