"""What people ask of a rollout: to go on, to wait, to go back."""

from __future__ import annotations

from flashcore.control.beginnings import begin_rollout
from flashcore.control.draft import Draft
from flashcore.control.endings import go_back
from flashcore.control.refusals import (
    NoRollout,
    NothingToPromote,
    NothingToRestart,
    NothingToRetry,
    NothingToUndo,
    RolloutUnderWay,
    require_staying,
)
from flashcore.control.sides import Side, sides_of
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


def promote_fully(draft: Draft) -> Deployment:
    """Let the rollout pass this checkpoint and all to come, whatever their gates say; a pause ends.

    Rules of capacity hold as ever. Raises NoRollout, or Refused while it is taken back.
    """
    rollout = _require_rollout(draft)
    if rollout.state is RolloutState.RESTORING:
        raise Refused(
            f"{draft.deployment.endpoint}: the rollout is being taken back",
            next_step=f"begin it again: flashcore rollout retry {draft.deployment.endpoint}",
            endpoint=draft.deployment.endpoint,
        )
    resume(draft)
    if not rollout.ungated:
        draft.amend_rollout(ungated=True)
        draft.tell("rollout.promoted", "fully", revision=rollout.target, data={"full": True})
    return draft.deployment


def retry(draft: Draft) -> Deployment:
    """Begin the rollout again that failed or was taken back: from its first step, with a fresh deadline.

    One that is under way is left to it. Raises NothingToRetry.
    """
    require_staying(draft.deployment)
    rollout = draft.deployment.rollout
    if rollout is None or rollout.state is RolloutState.DONE:
        raise NothingToRetry(
            f"{draft.deployment.endpoint} has no rollout that failed or was taken back",
            next_step=f"look at it: flashcore status {draft.deployment.endpoint}",
            endpoint=draft.deployment.endpoint,
        )
    if rollout.state.finished or rollout.state is RolloutState.RESTORING:
        begin_rollout(draft, rollout.target, "retry")
    return draft.deployment


def restart(draft: Draft, at: float | None = None) -> Deployment:
    """Replace every replica that was made before `at` (default: now; a time to come is waited for), one at a time.

    A restart that is under way is left to it. Raises NothingToRestart or RolloutUnderWay.
    """
    require_staying(draft.deployment)
    deployment = draft.deployment
    if deployment.rollout is not None and not deployment.rollout.state.finished:
        raise RolloutUnderWay(
            f"{deployment.endpoint} is rolled out at present, which makes every replica anew",
            next_step=f"wait for it: flashcore rollout status {deployment.endpoint} --follow",
            endpoint=deployment.endpoint,
        )
    if deployment.stable is None:
        raise NothingToRestart(
            f"{deployment.endpoint} has no stable revision",
            next_step=f"look at it: flashcore status {deployment.endpoint}",
            endpoint=deployment.endpoint,
        )
    if deployment.restart_at is None or draft.now < deployment.restart_at:
        when = draft.now if at is None else at
        draft.amend(restart_at=when)
        draft.tell("restart.started", "by a person", revision=deployment.stable, data={"at": when})
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
        draft.amend_rollout(
            state=RolloutState.PAUSED,
            reason="paused by a person",
            reason_code="paused",
            blocked_by="a person",
            wake_at=None,
        )
        draft.tell("rollout.paused", "", revision=rollout.target)
    return draft.deployment


def resume(draft: Draft) -> Deployment:
    """Let a paused rollout go on."""
    rollout = _require_rollout(draft)
    if rollout.state is RolloutState.PAUSED:
        draft.amend_rollout(state=RolloutState.RUNNING, reason="", reason_code="", blocked_by="", progress_at=draft.now)
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
        begin_rollout(draft, target, "undo", ungated=_is_trusted(draft, target))
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


def _is_trusted(draft: Draft, target: RevisionId) -> bool:
    """Whether a revision to go back to needs no gate: it is still warm, or was left only a few revisions ago."""
    if any(_is_warm(side, draft.deployment.goal) for side in sides_of(draft).retiring if side.revision == target):
        return True
    stable = draft.snapshot.revisions.get(draft.deployment.stable or target)
    number = draft.snapshot.revisions[target].number
    if stable is None or target not in draft.deployment.history:
        return False
    between = sum(number < one.number < stable.number for one in draft.snapshot.revisions.values())
    return number < stable.number and between < draft.deployment.policy.undo_window


def _is_warm(side: Side, goal: int) -> bool:
    return 0 < goal <= len(side.ready)


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
        next_step=f"choose one of them: flashcore rollout history {draft.deployment.endpoint}",
        endpoint=draft.deployment.endpoint,
    )
