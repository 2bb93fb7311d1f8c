"""A deployment's status, in one word with one reason, from the facts of a pass."""

from __future__ import annotations

from flashcore.control.draft import Draft
from flashcore.control.endings import UNPROVEN
from flashcore.control.failures import why
from flashcore.control.sides import Side, Sides, sides_of
from flashcore.model.deployment import Deployment, DeploymentStatus, Rollout, RolloutState, move_status
from flashcore.model.replica import Health, Replica
from flashcore.model.revision import short

Standing = tuple[DeploymentStatus, str]

_S = DeploymentStatus


def settle(draft: Draft) -> None:
    """Bring the deployment's status in line with what is, and tell of a change."""
    before = draft.deployment
    status, reason = _standing(draft)
    if draft.complaints and status in (_S.READY, _S.DEPLOYING, _S.IDLE):
        status, reason = _S.DEGRADED, "; ".join(dict.fromkeys(draft.complaints))
    after = move_status(before, status, draft.now, reason)
    if after == before:
        return
    draft.deployment = after
    if after.status is not before.status:
        draft.tell("deployment.status", reason, data={"status": status.value, "before": before.status.value})


def _standing(draft: Draft) -> Standing:
    deployment, rollout = draft.deployment, draft.deployment.rollout
    if deployment.status in (_S.DESTROYING, _S.DESTROYED):
        return _destroying(draft)
    sides = sides_of(draft)
    if rollout is not None and not rollout.state.finished:
        return _under_way(sides, rollout, deployment)
    if rollout is not None and rollout.state is RolloutState.FAILED and deployment.stable is None:
        return _S.FAILED, why(rollout)
    if deployment.goal == 0:
        never = rollout is not None and rollout.reason == UNPROVEN
        return _S.IDLE, UNPROVEN if never else "the goal is 0 replicas"
    return _serving(draft, sides)


def _destroying(draft: Draft) -> Standing:
    left = len(draft.replicas)
    if left == 0:
        return _S.DESTROYED, "nothing is left of it"
    return _S.DESTROYING, f"{_counted(left, 'replica')} still there"


def _under_way(sides: Sides, rollout: Rollout, deployment: Deployment) -> Standing:
    match rollout.state:
        case RolloutState.RESTORING:
            return _S.ROLLING_BACK, why(rollout)
        case RolloutState.PAUSED:
            return _S.PAUSED, rollout.reason or "paused by a person"
        case RolloutState.WAITING:
            return _S.AWAITING_PROMOTION, rollout.reason
        case _:
            return _S.DEPLOYING, _arriving(sides.target, rollout, deployment.goal)


def _arriving(target: Side | None, rollout: Rollout, goal: int) -> str:
    ready = len(target.ready) if target else 0
    text = f"{ready} of {_counted(goal, 'replica')} of {short(rollout.target)} ready"
    details = [rollout.reason, _first_obstacle(target.unready if target else ())]
    if rollout.failures:
        details.append(f"{_counted(rollout.failures, 'replica')} failed")
    return "; ".join([text, *(detail for detail in details if detail)])


def _serving(draft: Draft, sides: Sides) -> Standing:
    deployment, rollout, stable = draft.deployment, draft.deployment.rollout, sides.stable
    helping = (*sides.superseded, *((sides.target,) if sides.target else ()))
    ready = sum(len(side.ready) for side in (*((stable,) if stable else ()), *helping))
    if ready >= deployment.goal:
        if rollout is not None and rollout.state is RolloutState.FAILED:
            return _S.DEGRADED, why(rollout)
        return _S.READY, why(rollout) if rollout is not None and rollout.state is RolloutState.ABORTED else ""
    unready = stable.unready if stable else ()
    text = f"{ready} of {_counted(deployment.goal, 'replica')} ready"
    text = "; ".join(part for part in (text, _first_obstacle(unready), _back_off(draft)) if part)
    if ready == 0 and _keeps_failing(deployment):
        return _S.FAILED, text
    return (_S.READY if _merely_grows(draft, unready, ready) else _S.DEGRADED), text


def _merely_grows(draft: Draft, unready: tuple[Replica, ...], ready: int) -> bool:
    """Whether fewer are ready than are wanted only because more are wanted now, not because any was lost."""
    was_well = draft.snapshot.deployment.status is _S.READY
    before = draft.snapshot.replicas
    fresh = all(one.health is Health.NOT_CHECKED and not (one.id in before and before[one.id].ready) for one in unready)
    return ready > 0 and was_well and not draft.casualties and fresh


def _keeps_failing(deployment: Deployment) -> bool:
    backoff = deployment.backoff.get(deployment.stable or "")
    return backoff is not None and max(backoff.starts, backoff.crashes) >= 3


def _back_off(draft: Draft) -> str:
    backoff = draft.deployment.backoff.get(draft.deployment.stable or "")
    if backoff is None or backoff.until <= draft.now:
        return ""
    return f"replicas keep failing ({max(backoff.starts, backoff.crashes)} in a row), the next is started after a wait"


def _first_obstacle(unready: tuple[Replica, ...]) -> str:
    """What the first of these replicas waits for, in its own words."""
    for replica in unready:
        if replica.reason:
            return f"{replica.id} is {replica.phase.value}: {replica.reason}"
    return ""


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
