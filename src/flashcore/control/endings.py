"""How a rollout ends: the target is stable, or it is taken back, or it is given up."""

from __future__ import annotations

from collections.abc import Iterable

from flashcore.control.draft import Draft
from flashcore.control.failures import why
from flashcore.control.sides import Side, Sides
from flashcore.model.deployment import Retiring, Rollout, RolloutState, percent
from flashcore.model.errors import Refused
from flashcore.model.names import RevisionId
from flashcore.model.revision import short

ABORTED = "aborted"
SUPERSEDED = "superseded"
UNPROVEN = "the goal is 0 replicas: it was never probed"


def complete(draft: Draft, sides: Sides, rollout: Rollout, keep_old: float = 0.0, reason: str = "") -> None:
    """The target is the stable revision from now on; the sides before it retire, the stable one kept warm."""
    deployment = draft.deployment
    if not deployment.goal and not (sides.target and sides.target.ready):
        reason = UNPROVEN
    before = deployment.stable
    keep = {before: keep_old} if before else {}
    former = [revision for revision in (before, *deployment.history) if revision and revision != rollout.target]
    draft.amend(
        stable=rollout.target,
        superseded=(),
        history=tuple(dict.fromkeys(former))[: deployment.policy.revision_history],
    )
    retire(draft, (side for side in sides.old if side.revision != rollout.target), keep)
    draft.amend_rollout(
        state=RolloutState.DONE, traffic=percent(100), reason=reason, reason_code="", checkpoint=None, promoted=False
    )
    draft.tell("rollout.done", reason or f"{short(rollout.target)} is stable", revision=rollout.target)


def retire(draft: Draft, sides: Iterable[Side], keep: dict[RevisionId, float] | None = None) -> None:
    """Take sides out of the traffic; they go when the seconds for which they are kept are over, 0 by default."""
    entries = {entry.revision: entry for entry in draft.deployment.retiring}
    for side in sides:
        if side.replicas:
            seconds = (keep or {}).get(side.revision, 0.0)
            entries[side.revision] = Retiring(side.revision, draft.now + seconds)
    draft.amend(retiring=tuple(entries.values()))


def fail(draft: Draft, sides: Sides, code: str, reason: str) -> None:
    """The rollout cannot succeed: take it back, or give it up where there is nothing to go back to."""
    rollout = draft.deployment.rollout
    if rollout is None:
        return
    if rollout.initial and sides.target is not None and sides.target.ready:
        # What serves goes on serving, with less than was wanted.
        complete(draft, sides, rollout, reason=f"not all of it could be started: {reason}")
    elif not rollout.initial and draft.deployment.policy.auto_rollback and draft.deployment.stable is not None:
        take_back(draft, code, reason)
    else:
        failed = draft.amend_rollout(state=RolloutState.FAILED, reason=reason, reason_code=code, checkpoint=None)
        draft.tell("rollout.failed", why(failed), revision=rollout.target, data={"code": code})


def take_back(draft: Draft, code: str, reason: str) -> None:
    """Begin to restore the stable side. The code is kept: it says what the rollout will have been in the end."""
    rollout = draft.amend_rollout(
        state=RolloutState.RESTORING, reason=reason, reason_code=code, checkpoint=None, promoted=False, wake_at=None
    )
    draft.tell("rollout.restoring", why(rollout), revision=rollout.target, data={"code": code})


def go_back(draft: Draft, rollout: Rollout, reason: str) -> None:
    """Take a rollout back because a person wants it. Raises Refused where there is nothing to go back to."""
    if draft.deployment.stable is None:
        raise Refused(
            f"{draft.deployment.endpoint} has nothing to go back to: this is its first deployment",
            next_step=f"flashcore undeploy {draft.deployment.endpoint}, or deploy another version",
            endpoint=draft.deployment.endpoint,
        )
    if rollout.reason_code != ABORTED:
        take_back(draft, ABORTED, reason)


def restored(draft: Draft, rollout: Rollout) -> None:
    """The stable side has everything again."""
    state = RolloutState.ABORTED if rollout.reason_code in (ABORTED, SUPERSEDED) else RolloutState.FAILED
    draft.amend_rollout(state=state, traffic=percent(0))
    draft.amend(superseded=())
    draft.tell(f"rollout.{state.value}", why(rollout), revision=rollout.target, data={"code": rollout.reason_code})
