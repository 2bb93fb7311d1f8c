"""Deployments and events as the control API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flashcore.control.obstacles import obstacles
from flashcore.control.readmodel import DeploymentView
from flashcore.control.store import Recorded
from flashcore.hookspecs.resources import Ingress
from flashcore.model.codec import to_json
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.replica import Replica


def summary(view: DeploymentView) -> dict[str, Any]:
    """One line of the table of deployments."""
    return {
        "endpoint": view.endpoint,
        "resource": view.resource,
        "status": view.status.value,
        "reason": view.reason,
        "reason_code": view.deployment.reason_code,
        "settled": settled(view),
        "next_wake": view.next_wake,
        "generation": view.deployment.generation,
        "rollout_state": view.rollout.state.value if view.rollout is not None else None,
        "goal": view.goal,
        "ready": view.ready,
        "revision": view.stable or (view.rollout.target if view.rollout is not None else None),
        "path": path_of(view),
        "preview": f"{path_of(view)}--preview" if view.rollout is not None and view.rollout.previews else None,
    }


def details(view: DeploymentView) -> dict[str, Any]:
    """Everything about one deployment."""
    return {
        **summary(view),
        "goal_by": view.goal_by,
        "status_since": view.status_since,
        "held": view.deployment.held,
        "restart_at": view.deployment.restart_at,
        "rollout": None if view.rollout is None else to_json(view.rollout),
        "sides": [_side(side) for side in view.sides],
        "replicas": [_replica(replica) for side in view.sides for replica in side.replicas],
        "revisions": [
            {"id": revision.id, "number": revision.number, "created_at": revision.created_at}
            for revision in view.revisions
        ],
    }


def waiting(view: DeploymentView, now: float, state_trouble: str | None) -> dict[str, Any]:
    """Everything that it waits for, and when it looks again though nothing happens; times by the store's clock."""
    return {
        "now": now,
        "next_wake": view.next_wake,
        "waits": [to_json(one) for one in obstacles(view, now, state_trouble)],
    }


def settled(view: DeploymentView) -> bool:
    """Whether there is nothing to wait for: it is as wanted, has said that it cannot be, or waits for a person."""
    if view.status is DeploymentStatus.PAUSED or _waits_for_a_person(view):
        return True
    if not view.settled or view.deployment.restart_at is not None:
        return False
    # What is kept warm to go back to is nothing to wait for.
    staying = [side for side in view.sides if side.role != "retiring"]
    as_wanted = sum(side.ready for side in staying) >= view.goal == sum(side.live for side in staying)
    return as_wanted or view.status is DeploymentStatus.FAILED


def _waits_for_a_person(view: DeploymentView) -> bool:
    """A wait at a checkpoint that no clock ends."""
    waiting = view.status is DeploymentStatus.AWAITING_PROMOTION
    return waiting and view.rollout is not None and view.rollout.wake_at is None


def path_of(view: DeploymentView) -> str:
    """Where calls go, from the gateway's root."""
    jobs = view.route is not None and view.route.ingress == Ingress.JOBS.value
    return f"/v2/{view.endpoint}" if jobs else f"/{view.endpoint}"


def event(recorded: Recorded) -> dict[str, Any]:
    """One event with its cursor."""
    return {"cursor": recorded.cursor, **to_json(recorded.event)}


def _side(side: Any) -> Mapping[str, Any]:
    shown: dict[str, Any] = to_json(side)
    return {key: value for key, value in shown.items() if key != "replicas"}


def _replica(replica: Replica) -> Mapping[str, Any]:
    shown: dict[str, Any] = to_json(replica)
    return shown
