"""What people ask of one deployment, as changes of a draft: each refuses with a type, or does all of it.

They run inside the deployment's own loop, so that two people cannot both have promoted; they are idempotent.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from flashcore.control import goals
from flashcore.control.beginnings import begin_rollout, begin_steps_again, try_at_once
from flashcore.control.draft import Draft
from flashcore.control.endings import go_back, retire
from flashcore.control.refusals import require_staying
from flashcore.control.sides import open_rollout, sides_of
from flashcore.model.declaration import MAX_REPLICAS, Policy
from flashcore.model.deployment import Deployment, DeploymentStatus, RolloutState, Surface, Watch, move_status
from flashcore.model.errors import UsageError
from flashcore.model.names import Digest, RevisionId
from flashcore.model.revision import Revision, RevisionContent, short

_ENDING = frozenset({DeploymentStatus.DESTROYING, DeploymentStatus.DESTROYED})


@dataclass(frozen=True, slots=True)
class Wish:
    """What a deploy wants of one endpoint."""

    revision: RevisionId
    content: RevisionContent
    policy: Policy
    policy_digest: Digest
    surface: Surface


def deploy(draft: Draft, wish: Wish) -> Deployment:
    """Take over the policy in place, and begin a rollout if what is to run is another revision."""
    require_staying(draft.deployment)
    _take_policy(draft, wish)
    _require_revision(draft, wish)
    _watch_as_declared(draft, wish)
    try_at_once(draft, wish.revision)
    deployment, rollout = draft.deployment, draft.deployment.rollout
    if rollout is not None and not rollout.state.finished and rollout.target == wish.revision:
        if rollout.state is not RolloutState.RESTORING:
            return draft.deployment
    elif deployment.stable == wish.revision:
        if rollout is not None and not rollout.state.finished:
            go_back(draft, rollout, f"{short(wish.revision)} is wanted again")
        elif open_rollout(deployment) is not None:
            _settle_on_stable(draft)
        return draft.deployment
    begin_rollout(draft, wish.revision, "deploy")
    return draft.deployment


def scale(draft: Draft, count: int) -> Deployment:
    """Set the number of replicas; a person's number stands until it is given back or the policy's bounds change."""
    require_staying(draft.deployment)
    if not 0 <= count <= MAX_REPLICAS:
        raise UsageError(
            f"{draft.deployment.endpoint} cannot have {count} replicas", next_step=f"choose 0 to {MAX_REPLICAS}"
        )
    if (count, goals.PERSON) != (draft.deployment.goal, draft.deployment.goal_by):
        draft.amend(goal=count, goal_by=goals.PERSON)
        draft.tell("deployment.goal", f"{count} replicas, set by a person", data={"goal": count, "by": goals.PERSON})
    return draft.deployment


def scale_by_policy(draft: Draft) -> Deployment:
    """Give the number of replicas back to the policy and its scaler."""
    require_staying(draft.deployment)
    if draft.deployment.goal_by == goals.PERSON:
        goal = goals.within(draft.deployment.goal, draft.deployment.policy.replicas)
        draft.amend(goal=goal, goal_by=goals.POLICY)
        draft.tell("deployment.goal", f"{goal} replicas, by policy", data={"goal": goal, "by": goals.POLICY})
    return draft.deployment


def undeploy(draft: Draft, grace: float | None = None) -> Deployment:
    """Take the endpoint down. `grace` replaces the seconds that replicas have for what they work on."""
    if draft.deployment.status in _ENDING:
        return draft.deployment
    if grace is not None:
        draft.amend(policy=_with_grace(draft.deployment.policy, grace))
    before = draft.deployment.status.value
    draft.deployment = move_status(draft.deployment, DeploymentStatus.DESTROYING, draft.now)
    draft.amend(goal=0)
    draft.tell("deployment.status", "", data={"status": DeploymentStatus.DESTROYING.value, "before": before})
    return draft.deployment


def suspend(draft: Draft) -> Deployment:
    """Note that all replicas are about to be ended with the platform: that they are gone then is no failure."""
    if draft.deployment.status not in _ENDING:
        draft.amend(suspended=True)
    return draft.deployment


def hold_traffic(draft: Draft) -> Deployment:
    """Let gateways keep new calls waiting."""
    return _set_held(draft, "deployment.held", held=True)


def release_traffic(draft: Draft) -> Deployment:
    """Let calls through again."""
    return _set_held(draft, "deployment.released", held=False)


def _take_policy(draft: Draft, wish: Wish) -> None:
    before = draft.deployment
    if (before.policy_digest, before.surface) == (wish.policy_digest, wish.surface):
        return
    draft.amend(policy=wish.policy, policy_digest=wish.policy_digest, surface=wish.surface)
    if before.policy.strategy != wish.policy.strategy:
        begin_steps_again(draft)
    if before.policy.replicas != wish.policy.replicas:
        goal = goals.within(before.goal, wish.policy.replicas)
        draft.amend(goal=goal, goal_by=goals.POLICY)
    if before.stable is not None or before.rollout is not None:
        draft.tell("deployment.policy", "the policy was changed in place")


def _watch_as_declared(draft: Draft, wish: Wish) -> None:
    """What is declared of probes holds for the revision that was declared with it, not for those before it."""
    watch = Watch(wish.surface.probe, wish.policy.health, wish.policy.initial_delay)
    watches = draft.deployment.watches
    if watches.get(wish.revision) != watch:
        draft.amend(watches={**watches, wish.revision: watch})


def _require_revision(draft: Draft, wish: Wish) -> None:
    if wish.revision in draft.snapshot.revisions:
        return
    number = draft.deployment.revisions_made + 1
    draft.amend(revisions_made=number)
    draft.make(Revision(wish.revision, wish.content, number, draft.now))


def _set_held(draft: Draft, kind: str, *, held: bool) -> Deployment:
    require_staying(draft.deployment)
    if draft.deployment.held is not held:
        draft.amend(held=held)
        draft.tell(kind, "by a person")
    return draft.deployment


def _settle_on_stable(draft: Draft) -> None:
    """The stable revision is what is wanted: a rollout that ended otherwise is no longer held against it."""
    rollout = draft.deployment.rollout
    if rollout is not None and rollout.state is RolloutState.FAILED:
        sides = sides_of(draft)
        retire(draft, (*sides.superseded, *((sides.target,) if sides.target else ())))
        draft.amend(superseded=())
        draft.amend_rollout(state=RolloutState.ABORTED, reason="the stable revision was deployed again", failure=None)


def _with_grace(policy: Policy, grace: float) -> Policy:
    return dataclasses.replace(policy, termination_grace=grace)
