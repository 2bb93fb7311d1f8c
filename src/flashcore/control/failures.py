"""What a failed replica counts against: the back-off of its revision, and the rollout to it."""

from __future__ import annotations

import dataclasses

from flashcore.control.backoff import after_failure, after_success
from flashcore.control.draft import Draft
from flashcore.model.deployment import Backoff, Failure, Rollout
from flashcore.model.names import RevisionId
from flashcore.model.replica import Replica

START_ATTEMPTS = 3
"""Failures without progress that a rollout survives at least."""


def record(draft: Draft) -> None:
    """Count what failed and what got ready since the last pass."""
    _count_successes(draft)
    for casualty in draft.casualties:
        revision = casualty.replica.revision
        before = draft.deployment.backoff.get(revision, Backoff())
        _keep(draft, revision, after_failure(before, casualty, draft.now))
        rollout = draft.deployment.rollout
        if rollout and not rollout.state.finished and rollout.target == revision:
            _count_in_rollout(draft, rollout, casualty.replica)
    _fill_in_last_words(draft)


def limit(rollout: Rollout) -> int:
    """Failures of the target without progress between them that end a rollout: as many as may fall together."""
    return max(START_ATTEMPTS, rollout.budget.max_existing - rollout.budget.min_ready)


def why(rollout: Rollout) -> str:
    """Why a rollout did not come to its end, with the first replica that failed."""
    return f"{rollout.reason}: {describe(rollout.failure)}" if rollout.failure else rollout.reason


def describe(failure: Failure) -> str:
    """A failure for people: which replica, why, its last words."""
    lines = "".join(f"\n  | {line}" for line in failure.log_tail)
    return f"replica {failure.replica} failed: {failure.reason}{lines}"


def _count_successes(draft: Draft) -> None:
    for replica in draft.replicas.values():
        known = draft.deployment.backoff.get(replica.revision)
        if known is None or not replica.ready:
            continue
        before = draft.snapshot.replicas.get(replica.id)
        if before is not None and not before.ready:
            _keep(draft, replica.revision, after_success(known, draft.now))


def _count_in_rollout(draft: Draft, rollout: Rollout, replica: Replica) -> None:
    first = rollout.failure or Failure(replica.id, replica.reason, replica.log_tail)
    draft.amend_rollout(failures=rollout.failures + 1, failure=first)


def _fill_in_last_words(draft: Draft) -> None:
    """A replica that said why it cannot serve was recorded before it had ended; its output is known only now."""
    rollout = draft.deployment.rollout
    failure = rollout.failure if rollout else None
    if failure is None or failure.log_tail:
        return
    replica = draft.replicas.get(failure.replica)
    if replica is not None and replica.log_tail:
        draft.amend_rollout(failure=dataclasses.replace(failure, log_tail=replica.log_tail))


def _keep(draft: Draft, revision: RevisionId, backoff: Backoff) -> None:
    if draft.deployment.backoff.get(revision) != backoff:
        draft.amend(backoff={**draft.deployment.backoff, revision: backoff})
