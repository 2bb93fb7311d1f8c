"""Taking a rollout back: the stable side grows to the goal, traffic moves to it, everything else goes.

No strategy has a part in it. What is taken back goes on serving until the stable side can (I1), but only what is
ready of it counts: the rest goes at once and makes room.
"""

from __future__ import annotations

from flashcore.control.check import Ground, check
from flashcore.control.draft import Draft
from flashcore.control.endings import restored
from flashcore.control.failures import START_ATTEMPTS
from flashcore.control.goals import only_proves
from flashcore.control.placing import grow, shrink
from flashcore.control.rollouts import repinned
from flashcore.control.sides import Side, live_count, ready_count, sides_of
from flashcore.hookspecs.strategies import Decision, Progress
from flashcore.model.deployment import Backoff, Rollout, percent
from flashcore.model.replica import Cause
from flashcore.model.revision import short


def step(draft: Draft, rollout: Rollout) -> None:
    """One step back."""
    sides, goal = sides_of(draft), 0 if only_proves(draft, rollout) else draft.deployment.goal
    if sides.stable is None:
        return
    rollout = repinned(draft, rollout)
    losing = (*sides.superseded, *((sides.target,) if sides.target else ()))
    ground = _ground(draft, rollout, sides.stable, losing, sides.retiring)
    back = rollout.traffic if rollout.traffic.percent is None else percent(0)
    checked = check(Decision(goal, 0, Progress(), back), ground)
    reason = f"the rollout to {short(rollout.target)} is taken back"
    shrink(draft, sides.retiring, live_count(sides.retiring) - checked.evict, Cause.REPLACED, "its place was needed")
    shrink(draft, losing, checked.target, Cause.TAKEN_BACK, reason)
    shrink(draft, (sides.stable,), checked.old, Cause.SURPLUS, "there are more than are wanted")
    grow(draft, sides.stable, checked.old)
    if checked.traffic != rollout.traffic:
        draft.amend_rollout(traffic=checked.traffic)
        text = f"{checked.traffic.percent} % to {short(rollout.target)}"
        draft.tell("rollout.traffic", text, revision=rollout.target)
    if (
        _is_as_good_as_it_gets(draft, sides.stable, rollout, goal)
        and not live_count(losing)
        and checked.traffic == back
    ):
        restored(draft, rollout)


def _is_as_good_as_it_gets(draft: Draft, stable: Side, rollout: Rollout, goal: int) -> bool:
    """Whether the stable side serves, or keeps failing as well: then more waiting does not help."""
    backoff = draft.deployment.backoff.get(stable.revision, Backoff())
    enough = min(goal, max(1, rollout.budget.min_ready))
    return len(stable.ready) >= enough or backoff.starts >= START_ATTEMPTS


def _ground(
    draft: Draft, rollout: Rollout, stable: Side, losing: tuple[Side, ...], retiring: tuple[Side, ...]
) -> Ground:
    return Ground(
        goal=draft.deployment.goal,
        budget=rollout.budget,
        traffic=rollout.traffic,
        old_live=len(stable.live),
        old_ready=len(stable.ready),
        old_exists=len(stable.replicas),
        target_live=live_count(losing),
        target_ready=ready_count(losing),
        target_exists=sum(len(side.replicas) for side in losing),
        retiring_live=live_count(retiring),
        retiring_exists=sum(len(side.replicas) for side in retiring),
        hard_quota=draft.snapshot.hard_quota,
    )
