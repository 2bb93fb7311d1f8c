"""Stop the old revision, then start the new one."""

from __future__ import annotations

from flashcore.hookspecs.strategies import Decision, Done, Progress, View
from flashcore.model.deployment import Budget
from flashcore.model.parts import Recreate


class RecreateStrategy:
    """For what cannot run twice: there is a gap, and no moment with both revisions."""

    def __init__(self, options: Recreate) -> None:
        """There is nothing to set."""

    def budget(self, goal: int) -> Budget:
        """Nothing needs to be ready, and nothing may run side by side."""
        return Budget(min_ready=0, max_existing=goal, exclusive=True)

    def decide(self, view: View) -> Decision:
        """Nothing, until nothing of the old is left; then all of the target."""
        if view.old_exists:
            return Decision(0, 0, Progress(), step="stopping")
        if view.target.ready < view.goal:
            return Decision(0, view.goal, Progress(), step="starting")
        return Decision(0, view.goal, Done(), step="starting")
