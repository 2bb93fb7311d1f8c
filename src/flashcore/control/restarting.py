"""A restart: every replica is replaced by another of the same revision, one at a time, the oldest first.

One more than the goal is made and must be ready before an old one goes, so that not even an endpoint with one replica
has a gap. A replacement that fails stops the restart there until one succeeds, and nothing is lost by that.
"""

from __future__ import annotations

from flashcore.control.draft import Draft
from flashcore.control.placing import grow
from flashcore.control.sides import Side
from flashcore.model.deployment import Deployment
from flashcore.model.replica import Cause, Replica


def outdated(draft: Draft, side: Side) -> tuple[Replica, ...]:
    """The live replicas that a restart is still to replace, oldest first; none before its time."""
    since = draft.deployment.restart_at
    if since is None:
        return ()
    if draft.now < since:
        draft.wake(since)
        return ()
    return tuple(replica for replica in side.live if replica.created_at < since)


def replace_one(draft: Draft, side: Side, old: tuple[Replica, ...], wanted: int) -> None:
    """One step: let the oldest go if enough are ready without it, then see that one more than is wanted is there."""
    ready = {replica.id for replica in side.ready}
    useless = tuple(replica for replica in old if replica.id not in ready)
    if useless:
        draft.drain(useless, Cause.RESTARTED, "restarted")
    elif len(ready) > wanted:
        draft.drain(old[:1], Cause.RESTARTED, "restarted")
    else:
        grow(draft, side, wanted + 1)


def finish(draft: Draft) -> None:
    """Forget a restart that is over."""
    since = draft.deployment.restart_at
    if since is not None and draft.now >= since:
        draft.amend(restart_at=None)
        draft.tell("restart.done", "every replica is new", revision=draft.deployment.stable)


def cancel_restart(draft: Draft) -> None:
    """A restart has no purpose any more."""
    if draft.deployment.restart_at is not None:
        draft.amend(restart_at=None)
        draft.tell("restart.cancelled", "a rollout begins, all replicas will be new")


def is_under_way(draft: Draft) -> bool:
    """Whether replicas are being replaced now."""
    since = draft.deployment.restart_at
    return since is not None and draft.now >= since


def progress(deployment: Deployment, side: Side | None) -> tuple[int, int]:
    """How many live replicas are new already, and how many there are."""
    live = side.live if side is not None else ()
    since = deployment.restart_at or 0.0
    return sum(replica.created_at >= since for replica in live), len(live)
