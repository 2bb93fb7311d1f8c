"""The first deployment, or the first since nothing was left: only readiness counts, nobody is asked."""

from __future__ import annotations

from flashcore.control import failures
from flashcore.control.draft import Draft
from flashcore.control.endings import complete, fail
from flashcore.control.placing import grow, shrink
from flashcore.control.progress import advance
from flashcore.control.sides import side_of, sides_of
from flashcore.model.deployment import Budget, Rollout
from flashcore.model.replica import Cause
from flashcore.model.revision import short


def step(draft: Draft, rollout: Rollout) -> None:
    """Bring up all of the target at once."""
    goal = draft.deployment.goal
    if rollout.goal != goal:
        rollout = draft.amend_rollout(goal=goal, budget=Budget(0, goal), furthest=None, progress_at=draft.now)
    sides = sides_of(draft)
    target = sides.target or side_of(rollout.target, ())
    lost = any(casualty.permanent and casualty.replica.revision == rollout.target for casualty in draft.casualties)
    if lost:
        fail(draft, sides, "cannot_start", f"{short(rollout.target)} cannot be started")
    elif rollout.failures >= failures.limit(rollout):
        fail(draft, sides, "start_failed", f"{rollout.failures} replicas of {short(rollout.target)} failed")
    elif len(target.ready) >= goal:
        complete(draft, sides, rollout)
    else:
        shrink(draft, sides.old, 0, Cause.REPLACED, f"replaced by {short(rollout.target)}")
        shrink(draft, (target,), goal, Cause.SURPLUS, "there are more than are wanted")
        grow(draft, target, goal)
        advance(draft)
