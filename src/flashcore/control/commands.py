"""What people ask of one deployment, as changes of a draft: each refuses with a type, or does all of it.

They run inside the deployment's own loop, so that two people cannot both have promoted; they are idempotent.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from flashcore.control import goals
from flashcore.control.draft import Draft
from flashcore.control.endings import ABORTED, retire, take_back
from flashcore.control.refusals import BeingDestroyed, NoRollout, NothingToPromote, NothingToUndo
from flashcore.control.sides import Side, live_count, open_rollout, ready_count, sides_of
from flashcore.model.declaration import MAX_REPLICAS, Policy
from flashcore.model.deployment import (
    Budget,
    Deployment,
    DeploymentStatus,
    Rollout,
    RolloutState,
    Surface,
    Traffic,
    move_status,
    percent,
)
from flashcore.model.errors import NotFound, Refused, UsageError
from flashcore.model.names import Digest, RevisionId
from flashcore.model.replica import Phase
from flashcore.model.revision import Revision, RevisionContent, short

_ENDING = frozenset({DeploymentStatus.DESTROYING, DeploymentStatus.DESTROYED})
_UNSTARTED = frozenset({Phase.PENDING, Phase.STARTING})


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
    _try_at_once(draft, wish.revision)
    deployment, rollout = draft.deployment, draft.deployment.rollout
    if rollout is not None and not rollout.state.finished and rollout.target == wish.revision:
        if rollout.state is not RolloutState.RESTORING:
            return draft.deployment
    elif deployment.stable == wish.revision:
        if rollout is not None and not rollout.state.finished:
            _abort(draft, rollout, f"{short(wish.revision)} is wanted again")
        elif open_rollout(deployment) is not None:
            _settle_on_stable(draft)
        return draft.deployment
    begin_rollout(draft, wish.revision)
    return draft.deployment


def begin_rollout(draft: Draft, target: RevisionId) -> None:
    """Head for another revision. A rollout that is under way is superseded at once; what serves of it helps on."""
    before = draft.deployment.rollout
    _supersede(draft, target)
    deployment = draft.deployment
    generation, goal, initial = deployment.generation + 1, goals.to_prove(deployment), deployment.stable is None
    again = before is not None and before.target == target
    _try_at_once(draft, target)
    draft.amend(
        generation=generation,
        goal=goal,
        retiring=tuple(entry for entry in deployment.retiring if entry.revision != target),
        superseded=tuple(revision for revision in deployment.superseded if revision != target),
        rollout=Rollout(
            generation=generation,
            target=target,
            started_at=draft.now,
            budget=Budget(0, goal) if initial else _careful_budget(draft, goal),
            traffic=Traffic() if initial else before.traffic if before is not None and again else percent(0),
            step_since=draft.now,
            progress_at=draft.now,
            initial=initial,
        ),
    )
    draft.tell("rollout.started", f"to {short(target)}", revision=target, data={"generation": generation})
    _drop_unstarted(draft, target)


def _try_at_once(draft: Draft, revision: RevisionId) -> None:
    """Whoever asks for a revision again has reason to think that its replicas will start now."""
    waits = draft.deployment.backoff
    if revision in waits:
        draft.amend(backoff={other: backoff for other, backoff in waits.items() if other != revision})


def _drop_unstarted(draft: Draft, target: RevisionId) -> None:
    """Old replicas that do not even run serve nobody, and may never: their places are the target's."""
    unstarted = [one for side in sides_of(draft).old for one in side.live if one.phase in _UNSTARTED]
    draft.drain((one for one in unstarted if one.revision != target), f"its place is needed for {short(target)}")


def _careful_budget(draft: Draft, goal: int) -> Budget:
    """What holds until the strategy has been asked: nothing that is ready may be lost."""
    sides = sides_of(draft).all
    return Budget(min(goal, ready_count(sides)), max(goal, live_count(sides)) + 1)


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


def promote(draft: Draft) -> Deployment:
    """Say that the rollout may pass the checkpoint at which it waits. Raises NothingToPromote."""
    require_staying(draft.deployment)
    rollout = draft.deployment.rollout
    if rollout is None or rollout.state is not RolloutState.WAITING or rollout.checkpoint is None:
        state = "there is no rollout" if rollout is None else f"its rollout is {rollout.state.value}"
        raise NothingToPromote(
            f"{draft.deployment.endpoint} waits at no checkpoint: {state}",
            next_step=f"look at it: flashcore status {draft.deployment.endpoint}",
            endpoint=draft.deployment.endpoint,
        )
    if not rollout.promoted:
        draft.amend_rollout(promoted=True)
        draft.tell("rollout.promoted", rollout.checkpoint, revision=rollout.target)
    return draft.deployment


def abort(draft: Draft) -> Deployment:
    """Take the rollout back that is under way. One that is being taken back already is left to it."""
    rollout = _require_rollout(draft)
    _abort(draft, rollout, "aborted by a person")
    return draft.deployment


def pause(draft: Draft) -> Deployment:
    """Stop the rollout where it is; it goes on serving, and no deadline counts."""
    rollout = _require_rollout(draft)
    if rollout.initial or rollout.state is RolloutState.RESTORING:
        what = "an initial deployment" if rollout.initial else "a rollout that is taken back"
        raise Refused(f"{draft.deployment.endpoint}: {what} cannot be paused", endpoint=draft.deployment.endpoint)
    if rollout.state is not RolloutState.PAUSED:
        draft.amend_rollout(state=RolloutState.PAUSED, reason="paused by a person", reason_code="paused", wake_at=None)
        draft.tell("rollout.paused", "", revision=rollout.target)
    return draft.deployment


def resume(draft: Draft) -> Deployment:
    """Let a paused rollout go on."""
    rollout = _require_rollout(draft)
    if rollout.state is RolloutState.PAUSED:
        draft.amend_rollout(state=RolloutState.RUNNING, reason="", reason_code="", progress_at=draft.now)
        draft.tell("rollout.resumed", "", revision=rollout.target)
    return draft.deployment


def undo(draft: Draft, revision: RevisionId | None = None) -> Deployment:
    """Go back: from a rollout that is under way to the stable revision, else to the one before it, or to `revision`.

    Raises NothingToUndo, or NotFound for a revision that is not kept.
    """
    require_staying(draft.deployment)
    rollout = draft.deployment.rollout
    if revision is None and rollout is not None and not rollout.state.finished:
        _abort(draft, rollout, "undone by a person")
        return draft.deployment
    target = _former(draft) if revision is None else _kept(draft, revision)
    if target != draft.deployment.stable:
        begin_rollout(draft, target)
    return draft.deployment


def hold_traffic(draft: Draft) -> Deployment:
    """Let gateways keep new calls waiting."""
    return _set_held(draft, "deployment.held", held=True)


def release_traffic(draft: Draft) -> Deployment:
    """Let calls through again."""
    return _set_held(draft, "deployment.released", held=False)


def require_staying(deployment: Deployment) -> None:
    """Raise BeingDestroyed for a deployment that is being taken down."""
    if deployment.status in _ENDING:
        raise BeingDestroyed(
            f"{deployment.endpoint} is being taken down",
            next_step="try again when it is gone: flashcore status",
            endpoint=deployment.endpoint,
        )


def _require_rollout(draft: Draft) -> Rollout:
    require_staying(draft.deployment)
    rollout = draft.deployment.rollout
    if rollout is None or rollout.state.finished:
        raise NoRollout(
            f"no rollout of {draft.deployment.endpoint} is under way",
            next_step=f"look at it: flashcore status {draft.deployment.endpoint}",
            endpoint=draft.deployment.endpoint,
        )
    return rollout


def _take_policy(draft: Draft, wish: Wish) -> None:
    before = draft.deployment
    if (before.policy_digest, before.surface) == (wish.policy_digest, wish.surface):
        return
    draft.amend(policy=wish.policy, policy_digest=wish.policy_digest, surface=wish.surface)
    if before.policy.replicas != wish.policy.replicas:
        goal = goals.within(before.goal, wish.policy.replicas)
        draft.amend(goal=goal, goal_by=goals.POLICY)
    if before.stable is not None or before.rollout is not None:
        draft.tell("deployment.policy", "the policy was changed in place")


def _require_revision(draft: Draft, wish: Wish) -> None:
    if wish.revision in draft.snapshot.revisions:
        return
    number = draft.deployment.revisions_made + 1
    draft.amend(revisions_made=number)
    draft.make(Revision(wish.revision, wish.content, number, draft.now))


def _supersede(draft: Draft, target: RevisionId) -> None:
    deployment, rollout = draft.deployment, open_rollout(draft.deployment)
    if rollout is None:
        return
    if not rollout.state.finished:
        draft.tell("rollout.superseded", f"by {short(target)}", revision=rollout.target)
    sides = sides_of(draft)
    side = sides.target
    if side is None or side.revision == target:
        return
    serving = bool(side.ready) and rollout.traffic.percent != 0
    if deployment.stable is None and serving:
        # The first deployment was not complete, but all calls are answered by it: that is what an abort goes back to.
        draft.amend(stable=side.revision)
    elif serving:
        draft.amend(superseded=(*deployment.superseded, side.revision))
    else:
        retire(draft, _existing(side))


def _set_held(draft: Draft, kind: str, *, held: bool) -> Deployment:
    require_staying(draft.deployment)
    if draft.deployment.held is not held:
        draft.amend(held=held)
        draft.tell(kind, "by a person")
    return draft.deployment


def _former(draft: Draft) -> RevisionId:
    for revision in draft.deployment.history:
        if revision in draft.snapshot.revisions:
            return revision
    raise NothingToUndo(
        f"{draft.deployment.endpoint} has no earlier revision to go back to",
        next_step="deploy the version that you want",
        endpoint=draft.deployment.endpoint,
    )


def _kept(draft: Draft, revision: RevisionId) -> RevisionId:
    found = [known for known in draft.snapshot.revisions if known.startswith(revision)] if revision else []
    if len(found) == 1:
        return found[0]
    kept = ", ".join(short(known) for known in sorted(draft.snapshot.revisions))
    raise NotFound(
        f"{draft.deployment.endpoint} has {'no' if not found else 'more than one'} revision {revision!r}; kept: {kept}",
        next_step=f"choose one of: flashcore status {draft.deployment.endpoint}",
        endpoint=draft.deployment.endpoint,
    )


def _existing(side: Side) -> tuple[Side, ...]:
    return (side,) if side.replicas else ()


def _abort(draft: Draft, rollout: Rollout, reason: str) -> None:
    if draft.deployment.stable is None:
        raise Refused(
            f"{draft.deployment.endpoint} has nothing to go back to: this is its first deployment",
            next_step=f"flashcore undeploy {draft.deployment.endpoint}, or deploy another version",
            endpoint=draft.deployment.endpoint,
        )
    if rollout.reason_code != ABORTED:
        take_back(draft, ABORTED, reason)


def _settle_on_stable(draft: Draft) -> None:
    """The stable revision is what is wanted: a rollout that ended otherwise is no longer held against it."""
    rollout = draft.deployment.rollout
    if rollout is not None and rollout.state is RolloutState.FAILED:
        sides = sides_of(draft)
        retire(draft, (*sides.superseded, *(_existing(sides.target) if sides.target else ())))
        draft.amend(superseded=())
        draft.amend_rollout(state=RolloutState.ABORTED, reason="the stable revision was deployed again")


def _with_grace(policy: Policy, grace: float) -> Policy:
    return dataclasses.replace(policy, termination_grace=grace)
