"""What every deployment strategy has to do, as functions that need no test framework, and as a class for pytest.

A strategy's whole test file:

    from flashcore.testing.strategy_kit import StrategyKit
    from flashcore_acme import Cautious, CautiousStrategy

    class TestCautious(StrategyKit):
        def strategy(self): return CautiousStrategy(Cautious(step=2))

The functions take a callable that makes the strategy, and raise Nonconformance.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Iterator

from flashcore.hookspecs.strategies import Decision, Done, Failed, Progress, Strategy, View, Wait
from flashcore.model.deployment import Budget, Traffic
from flashcore.testing.conformance import require
from flashcore.testing.kit import Check, Kit, checks_of
from flashcore.testing.rollout_model import RolloutModel

Make = Callable[[], Strategy]

GOALS = (1, 2, 3, 4, 7, 25)
PATIENCE = 40
"""Passes that a rollout may take for each replica of its goal."""


def check_budget(make: Make) -> None:
    """A budget leaves room for the goal, and asks for no more ready replicas than there are to be."""
    for goal in range(1, 60):
        budget = make().budget(goal)
        require(isinstance(budget, Budget), "budget() returns a Budget", budget)
        require(0 <= budget.min_ready <= goal, f"min_ready is from 0 to the goal of {goal}", budget)
        require(budget.max_existing >= goal, f"max_existing leaves room for the goal of {goal}", budget)
        room = budget.max_existing > goal or budget.min_ready < goal
        require(
            room, f"with a goal of {goal}, one replica may be too many or missing: else none is ever replaced", budget
        )


def check_decision(make: Make) -> None:
    """Whatever it is shown, it answers with a decision that its own budget allows."""
    for goal in GOALS:
        for view in _every_view(goal):
            _require_legal(make().decide(view), view, make().budget(goal))


def check_pure(make: Make) -> None:
    """Equal views give equal decisions: a controller that was started again goes on where it was."""
    strategy = make()
    for goal in GOALS:
        for view in _every_view(goal):
            first = strategy.decide(view)
            require(strategy.decide(dataclasses.replace(view)) == first, "equal views give equal decisions", view)
            require(make().decide(view) == first, "a strategy remembers nothing: a new one decides the same", view)


def check_clock(make: Make) -> None:
    """It has no clock of its own: what has happened since is in the view."""
    for view in _every_view(3):
        later = dataclasses.replace(view, now=view.now + 1e6, step_since=view.step_since + 1e6)
        one, other = make().decide(view), make().decide(later)
        require((one.old, one.target) == (other.old, other.target), "the date alone makes no difference", (one, other))


def check_finishes(make: Make) -> None:
    """With replicas that become ready it is done, within a bounded number of passes."""
    for goal in GOALS:
        for model in _worlds(goal):
            steps = _run(make, model, PATIENCE * goal)
            require(
                model.done is not None, f"a rollout to {goal} replicas is done in {PATIENCE * goal} passes", steps[-4:]
            )
            require(model.target_ready == goal, "at the end the target has its goal", model)


def check_waits_for_readiness(make: Make) -> None:
    """While no replica of the target gets ready it is not done, and does not take the old side below its budget."""
    for goal in GOALS:
        model = RolloutModel(goal, make().budget(goal), starts=0)
        steps = _run(make, model, PATIENCE)
        require(model.done is None, "nothing is done while the target has no ready replica", steps[-4:])
        floor = model.budget.min_ready
        asked = [decision.old for decision in steps if not isinstance(decision.outcome, Failed)]
        require(
            all(old >= floor for old in asked),
            f"{floor} old replicas are kept while the target has none ready",
            steps[-4:],
        )


def check_traffic(make: Make) -> None:
    """No traffic is given to a target without a ready replica while the old sides have one."""
    for goal in GOALS:
        for view in _every_view(goal):
            traffic = make().decide(view).traffic
            moved = traffic.percent is not None and traffic.percent > 0
            require(not (moved and view.target.ready == 0 and view.old_ready), "traffic goes to ready replicas", view)


class StrategyKit(Kit):
    """Subclass it, call the subclass Test..., and say how to make the strategy."""

    checks = checks_of(globals())

    @abstractmethod
    def strategy(self) -> Strategy:
        """A fresh strategy."""

    def examine(self, check: Check) -> None:
        """Run one check."""
        check(self.strategy)


def _require_legal(decision: Decision, view: View, budget: Budget) -> None:
    require(isinstance(decision, Decision), "decide() returns a Decision", decision)
    outcomes = Progress | Wait | Done | Failed
    require(isinstance(decision.outcome, outcomes), "the outcome is Progress, Wait, Done or Failed", decision)
    require(isinstance(decision.traffic, Traffic), "the traffic is a Traffic", decision)
    require(decision.old >= 0 and decision.target >= 0, "nobody can have fewer than no replicas", (decision, view))
    require(decision.target <= view.goal, "the target gets no more than its goal", (decision, view))
    if isinstance(decision.outcome, Failed):
        return
    total = decision.old + decision.target
    require(total <= budget.max_existing, f"a step ends with {budget.max_existing} replicas at most", (decision, view))
    both = decision.old and decision.target and budget.exclusive
    require(not both, "an exclusive budget allows one revision at a time", (decision, view))


def _every_view(goal: int) -> Iterator[View]:
    """Views from the beginning to the end of a rollout, with two old sides, and some that should never be."""
    for old in {0, 1, goal - 1, goal}:
        for ready in {0, old // 2, old}:
            for exists in {0, 1, goal // 2, goal}:
                for target_ready in {0, exists // 2, exists}:
                    for passed in (frozenset[str](), frozenset({"promotion"})):
                        yield RolloutModel.view_of(goal, (old, ready), (exists, target_ready), passed)


def _worlds(goal: int) -> Iterator[RolloutModel]:
    """Old sides as they may be when a rollout starts: whole, half dead, gone, larger than the new goal."""
    for old in {goal, goal // 2, 0, goal + 3}:
        for starts in (1, goal):
            yield RolloutModel(goal, Budget(0, 0), starts=starts, old_ready=old)


def _run(make: Make, model: RolloutModel, passes: int) -> list[Decision]:
    model.budget = make().budget(model.goal)
    decisions: list[Decision] = []
    while len(decisions) < passes and model.done is None:
        # A new strategy each time: whatever it wants to remember has to be in its step.
        decisions.append(make().decide(model.view()))
        model.apply(decisions[-1])
    return decisions
