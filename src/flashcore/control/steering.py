"""What people ask of a rollout: to go on, to wait, to go back."""

from __future__ import annotations

from flashcore.control.beginnings import begin_rollout
from flashcore.control.draft import Draft
from flashcore.control.endings import go_back
from flashcore.control.refusals import NoRollout, NothingToPromote, NothingToUndo, require_staying
from flashcore.model.deployment import Deployment, Rollout, RolloutState
from flashcore.model.errors import NotFound, Refused
from flashcore.model.names import RevisionId
from flashcore.model.revision import short


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
    go_back(draft, rollout, "aborted by a person")
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
        go_back(draft, rollout, "undone by a person")
        return draft.deployment
    target = _former(draft) if revision is None else _kept(draft, revision)
    if target != draft.deployment.stable:
        begin_rollout(draft, target)
    return draft.deployment


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
