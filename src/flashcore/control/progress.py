"""Whether a rollout comes nearer to its end, and what happens when it does not.

What counts is how near it has come at most: ready replicas of the target, old replicas that are gone, traffic moved,
checkpoints passed. Going back and forth is no progress, so a strategy that never settles is ended by the deadline.
Time at a checkpoint, in a pause, or in a wait that the strategy gave an end does not count.
"""

from __future__ import annotations

from flashcore.control.draft import Draft
from flashcore.control.endings import fail
from flashcore.control.sides import Sides, live_count, sides_of
from flashcore.model.deployment import Rollout
from flashcore.model.replica import Phase
from flashcore.model.revision import short


def advance(draft: Draft, problem: str = "") -> None:
    """Note how near the rollout is; fail it when it has not come nearer for as long as its policy allows.

    `problem` is what keeps it from being decided at all.
    """
    rollout, limit = draft.deployment.rollout, draft.deployment.policy.progress_deadline
    if rollout is None or rollout.state.finished:
        return
    sides = sides_of(draft)
    nearness = _nearness(sides, rollout)
    if rollout.furthest is None or nearness > rollout.furthest:
        rollout = draft.amend_rollout(furthest=nearness, progress_at=draft.now, failures=0)
    if not limit:
        return
    deadline = rollout.progress_at + limit
    if draft.now < deadline:
        draft.wake(deadline)
        return
    obstacle = f": {problem}" if problem else _obstacle(sides, rollout)
    fail(draft, sides, "progress_deadline", f"no progress for {limit:g} s{obstacle}")


def _nearness(sides: Sides, rollout: Rollout) -> int:
    ready = len(sides.target.ready) if sides.target else 0
    return ready - live_count(sides.old) + (rollout.traffic.percent or 0) + 100 * len(rollout.passed)


def _obstacle(sides: Sides, rollout: Rollout) -> str:
    """What the first replica of the target that is not ready waits for."""
    if sides.target is None:
        return ""
    for replica in sides.target.unready:
        if replica.phase is not Phase.DRAINING:
            detail = f" ({replica.reason})" if replica.reason else ""
            return f": replica {replica.id} of {short(rollout.target)} is {replica.phase.value}{detail}"
    return ""
