"""A deployment's status, in one word with one reason, from the facts of a pass."""

from __future__ import annotations

from collections.abc import Sequence

from flashcore.control import restarting
from flashcore.control.draft import Draft
from flashcore.control.endings import UNPROVEN
from flashcore.control.failures import why
from flashcore.control.obstacles import obstacle_code
from flashcore.control.sides import Side, Sides, sides_of
from flashcore.model.deployment import Deployment, DeploymentStatus, Rollout, RolloutState, move_status
from flashcore.model.names import RevisionId
from flashcore.model.replica import Health, Replica
from flashcore.model.revision import short

Standing = tuple[DeploymentStatus, str, str]
"""Status, reason, and the reason's code."""

_S = DeploymentStatus


def settle(draft: Draft) -> None:
    """Bring the deployment's status in line with what is, and tell of a change."""
    _end_suspension(draft)
    before = draft.deployment
    status, reason, code = _standing(draft)
    if draft.complaints and status in (_S.READY, _S.DEPLOYING, _S.IDLE):
        status, reason = _S.DEGRADED, "; ".join(dict.fromkeys(draft.complaints))
        code = "unreachable" if draft.snapshot.complaints else "part_failed"
    after = move_status(before, status, draft.now, reason, code)
    if after == before:
        return
    draft.deployment = after
    if after.status is not before.status:
        data = {"status": status.value, "before": before.status.value, "code": code}
        draft.tell("deployment.status", reason, data=data)


def _end_suspension(draft: Draft) -> None:
    """What was ended with the platform is back when enough got ready; that they were before the stop proves nothing."""
    if not draft.deployment.suspended:
        return
    before = draft.snapshot.replicas
    ready = [replica for replica in draft.replicas.values() if replica.ready]
    back = [replica for replica in ready if replica.id not in before or not before[replica.id].ready]
    if back and len(ready) >= draft.deployment.goal:
        draft.amend(suspended=False)


def _standing(draft: Draft) -> Standing:
    deployment, rollout = draft.deployment, draft.deployment.rollout
    if deployment.status in (_S.DESTROYING, _S.DESTROYED):
        return _destroying(draft)
    sides = sides_of(draft)
    if rollout is not None and not rollout.state.finished:
        return _under_way(draft, sides, rollout)
    if rollout is not None and rollout.state is RolloutState.FAILED and deployment.stable is None:
        return _S.FAILED, why(rollout), rollout.reason_code
    if deployment.goal == 0:
        never = rollout is not None and rollout.reason == UNPROVEN
        return (_S.IDLE, UNPROVEN, "unproven") if never else (_S.IDLE, "the goal is 0 replicas", "scaled_to_zero")
    return _serving(draft, sides)


def _destroying(draft: Draft) -> Standing:
    left = len(draft.replicas)
    if left == 0:
        return _S.DESTROYED, "nothing is left of it", ""
    there = f"{_counted(left, 'replica')} still there"
    if draft.complaints:
        # An answer that did not come is no proof that nothing is left.
        said = "; ".join(dict.fromkeys(draft.complaints))
        return _S.DESTROYING, f"{there}, which may cost money until their end is confirmed: {said}", "unreachable"
    return _S.DESTROYING, there, "draining"


def _under_way(draft: Draft, sides: Sides, rollout: Rollout) -> Standing:
    match rollout.state:
        case RolloutState.RESTORING:
            return _S.ROLLING_BACK, why(rollout), rollout.reason_code
        case RolloutState.PAUSED:
            return _S.PAUSED, rollout.reason or "paused by a person", "paused"
        case RolloutState.WAITING:
            return _S.AWAITING_PROMOTION, rollout.reason, rollout.reason_code
        case _:
            unready = sides.target.unready if sides.target else ()
            code = rollout.reason_code or _code_of(draft, rollout.target, unready)
            return _S.DEPLOYING, _arriving(draft, sides.target, rollout), code


def _arriving(draft: Draft, target: Side | None, rollout: Rollout) -> str:
    ready = len(target.ready) if target else 0
    text = f"{ready} of {_counted(draft.deployment.goal, 'replica')} of {short(rollout.target)} ready"
    details = [rollout.reason, _first_obstacle(target.unready if target else ()), _back_off(draft, rollout.target)]
    if rollout.failures:
        details.append(f"{_counted(rollout.failures, 'replica')} failed")
    return "; ".join([text, *(detail for detail in details if detail)])


def _serving(draft: Draft, sides: Sides) -> Standing:
    deployment, rollout, stable = draft.deployment, draft.deployment.rollout, sides.stable
    helping = (*sides.superseded, *((sides.target,) if sides.target else ()))
    ready = sum(len(side.ready) for side in (*((stable,) if stable else ()), *helping))
    if ready >= deployment.goal:
        if rollout is not None and rollout.state is RolloutState.FAILED:
            return _S.DEGRADED, why(rollout), rollout.reason_code
        return _well(draft, sides)
    unready = stable.unready if stable else ()
    text = f"{ready} of {_counted(deployment.goal, 'replica')} ready"
    text = "; ".join(part for part in (text, _first_obstacle(unready), _back_off(draft, deployment.stable)) if part)
    code = _code_of(draft, deployment.stable, unready)
    if deployment.suspended and not _keeps_failing(deployment):
        return _S.DEPLOYING, f"coming back after a stop: {text}", "coming_back"
    if ready == 0 and _keeps_failing(deployment):
        return _S.FAILED, text, code
    return (_S.READY if _merely_grows(draft, unready, ready) else _S.DEGRADED), text, code


def _well(draft: Draft, sides: Sides) -> Standing:
    """Enough are ready: what is left to say."""
    deployment, rollout = draft.deployment, draft.deployment.rollout
    routed = [replica for side in sides.all for replica in side.ready if not replica.cordoned]
    if not routed:
        return _S.DEGRADED, "every ready replica is cordoned: nobody answers calls", "cordoned"
    if restarting.is_under_way(draft):
        done, live = restarting.progress(deployment, sides.stable)
        return _S.READY, f"restarting: {done} of {_counted(live, 'replica')} new", "restarting"
    if deployment.held:
        return _S.READY, "new calls are kept waiting by a person", "held"
    if rollout is not None and rollout.state is RolloutState.ABORTED:
        return _S.READY, why(rollout), rollout.reason_code
    return _S.READY, "", ""


def _code_of(draft: Draft, revision: RevisionId | None, unready: Sequence[Replica]) -> str:
    """What fewer replicas than are wanted are owed to."""
    backoff = draft.deployment.backoff.get(revision or "")
    if backoff is not None and backoff.until > draft.now:
        return "back_off"
    return obstacle_code(unready[0]) if unready else "starting"


def _merely_grows(draft: Draft, unready: tuple[Replica, ...], ready: int) -> bool:
    """Whether fewer are ready than are wanted only because more are wanted now, not because any was lost."""
    was_well = draft.snapshot.deployment.status is _S.READY
    before = draft.snapshot.replicas
    fresh = all(one.health is Health.NOT_CHECKED and not (one.id in before and before[one.id].ready) for one in unready)
    return ready > 0 and was_well and not draft.casualties and fresh


def _keeps_failing(deployment: Deployment) -> bool:
    backoff = deployment.backoff.get(deployment.stable or "")
    return backoff is not None and max(backoff.starts, backoff.crashes) >= 3


def _back_off(draft: Draft, revision: RevisionId | None) -> str:
    """Why the next replica is not made yet. When it is made is in the record: a text with a time would never rest."""
    backoff = draft.deployment.backoff.get(revision or "")
    if backoff is None or backoff.until <= draft.now:
        return ""
    failed = f"replicas keep failing ({max(backoff.starts, backoff.crashes)} in a row"
    return f"{failed}, the last: {backoff.reason or 'no reason given'}), the next is started after a wait"


def _first_obstacle(unready: tuple[Replica, ...]) -> str:
    """What the first of these replicas waits for, in its own words."""
    for replica in unready:
        if replica.reason:
            return f"{replica.id} is {replica.phase.value.replace('_', ' ')}: {replica.reason}"
    return ""


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
