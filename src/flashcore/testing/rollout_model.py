"""A rollout in numbers: what becomes of a strategy's decisions when the core enforces the budget. Nothing is run."""

from __future__ import annotations

from dataclasses import dataclass, field

from flashcore.hookspecs.strategies import Decision, Done, SideView, View, Wait
from flashcore.model.deployment import Budget, Traffic
from flashcore.model.names import RevisionId

OLD, TARGET = RevisionId("a" * 64), RevisionId("b" * 64)


@dataclass(slots=True)
class RolloutModel:
    """One deployment on its way to a new revision; `starts` replicas become ready in each pass."""

    goal: int
    budget: Budget
    starts: int = 1
    old_ready: int = -1
    """Replicas of the old side, all ready; -1: as many as the goal."""
    target_exists: int = 0
    target_ready: int = 0
    traffic: Traffic = field(default_factory=Traffic)
    step: str = ""
    step_since: float = 0.0
    now: float = 0.0
    passed: frozenset[str] = frozenset()
    done: Done | None = None

    def __post_init__(self) -> None:
        """By default the old side is whole."""
        if self.old_ready < 0:
            self.old_ready = self.goal

    @staticmethod
    def view_of(goal: int, old: tuple[int, int], target: tuple[int, int], passed: frozenset[str]) -> View:
        """A view with one old side and the target, each as (exists, ready)."""
        sides = (SideView(OLD, old[0], old[1], old[1]),) if old[0] else ()
        return View(goal, 0.0, sides, SideView(TARGET, target[0], target[1], target[1]), Traffic(), "", 0.0, passed)

    def view(self) -> View:
        """What the strategy is shown now."""
        old = (SideView(OLD, self.old_ready, self.old_ready, self.old_ready),) if self.old_ready else ()
        target = SideView(TARGET, self.target_exists, self.target_ready, self.target_ready)
        return View(self.goal, self.now, old, target, self.traffic, self.step, self.step_since, self.passed)

    def apply(self, decision: Decision) -> None:
        """One pass: fewer old ones as the budget allows, more of the target as there is room, some become ready."""
        self.now += 1.0
        if decision.step != self.step:
            self.step, self.step_since = decision.step, self.now
        self.traffic = decision.traffic
        floor = max(0, self.budget.min_ready - self.target_ready)
        self.old_ready = min(self.old_ready, max(decision.old, floor))
        room = self.budget.max_existing - self.old_ready
        if not (self.budget.exclusive and self.old_ready):
            self.target_exists = max(self.target_ready, min(decision.target, room))
        self.target_ready = min(self.target_exists, self.target_ready + self.starts)
        self._conclude(decision)

    def _conclude(self, decision: Decision) -> None:
        outcome = decision.outcome
        if isinstance(outcome, Done):
            self.done = outcome
        elif isinstance(outcome, Wait) and outcome.at is not None:
            self.passed |= {outcome.at}
        elif isinstance(outcome, Wait) and outcome.until is not None:
            self.now = max(self.now, outcome.until)
