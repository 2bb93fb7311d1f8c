"""How many replicas a deployment wants: its policy's bounds, a person's word, or the scaler's number."""

from __future__ import annotations

from flashcore.control.draft import Draft
from flashcore.control.sides import live_count, sides_of
from flashcore.model.declaration import Bounds
from flashcore.model.deployment import Deployment, DeploymentStatus, Rollout

PERSON = "person"
POLICY = "policy"
SCALER = "scaler"


def settle(draft: Draft) -> None:
    """Take the scaler's number where it has a say, and keep to the bounds. A person's number stands as it is."""
    deployment = draft.deployment
    if deployment.goal_by == PERSON or deployment.status in _ENDING:
        return
    bounds = deployment.policy.replicas
    goal, by = within(deployment.goal, bounds), deployment.goal_by
    if draft.snapshot.desired is not None:
        wanted = _heeding_rollout(draft, within(draft.snapshot.desired, bounds), goal)
        goal, by = wanted, SCALER if wanted != goal else by
    if goal != deployment.goal:
        draft.tell("deployment.goal", f"{goal} replicas, not {deployment.goal}", data={"goal": goal, "by": by})
        draft.amend(goal=goal, goal_by=by)


def within(count: int, bounds: Bounds) -> int:
    """The number nearest to it that the bounds allow."""
    return max(bounds.minimum, min(count, bounds.maximum))


def to_prove(deployment: Deployment) -> int:
    """The goal with which a rollout begins: an endpoint that is scaled to zero proves one replica.

    The scaler takes it back to zero afterwards. A person's zero stands.
    """
    if deployment.goal or deployment.goal_by == PERSON or not deployment.policy.replicas.maximum:
        return deployment.goal
    return 1


def only_proves(draft: Draft, rollout: Rollout) -> bool:
    """Whether nobody needs the stable side in this rollout: the endpoint was at zero, and no work has come since."""
    return rollout.proving and not draft.snapshot.desired


def _heeding_rollout(draft: Draft, wanted: int, goal: int) -> int:
    """While a rollout is under way its capacity is needed: fewer only if that is less than half of what runs."""
    rollout = draft.deployment.rollout
    if rollout is None or rollout.state.finished or wanted >= goal:
        return wanted
    return max(1, wanted) if 2 * wanted < live_count(sides_of(draft).all) else goal


_ENDING = frozenset({DeploymentStatus.DESTROYING, DeploymentStatus.DESTROYED})
