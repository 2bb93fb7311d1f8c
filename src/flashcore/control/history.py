"""The revisions of an endpoint, newest first: the part that each plays, and what became of it last.

A revision that was taken back before it served alone is not kept for long; what the log says of it is told still.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flashcore.control.readmodel import DeploymentView
from flashcore.control.store import Recorded
from flashcore.model.events import Event
from flashcore.model.names import RevisionId
from flashcore.model.revision import Revision

_OUTCOMES = frozenset(
    {"rollout.started", "rollout.done", "rollout.aborted", "rollout.failed", "rollout.superseded", "rollout.restoring"}
)


@dataclass(frozen=True, slots=True)
class Version:
    """One revision."""

    id: RevisionId
    number: int
    created_at: float
    roles: tuple[str, ...]
    """Of `stable`, `target`, `superseded`, `retiring`, `former` (was stable: an undo finds it), or `forgotten` alone:
    only the log knows of it, and deploying the same code makes it anew."""
    replicas: int
    """How many exist."""
    outcome: str = ""
    """What was last heard of its rollout, as in `done`; empty when the log does not reach so far back."""
    outcome_at: float | None = None
    reason: str = ""


def history(view: DeploymentView, log: Sequence[Recorded], limit: int) -> tuple[Version, ...]:
    """The newest `limit` revisions."""
    last = {one.event.revision: one for one in log if one.event.kind in _OUTCOMES}
    kept = [_version(view, revision, last.get(revision.id)) for revision in view.revisions]
    known = {revision.id for revision in view.revisions}
    made = {one.event.revision: one for one in log if one.event.kind == "revision.created"}
    forgotten = [_forgotten(made[gone], last.get(gone)) for gone in made if gone is not None and gone not in known]
    return tuple(sorted((*kept, *forgotten), key=lambda version: -version.number)[:limit])


def _forgotten(made: Recorded, heard: Recorded | None) -> Version:
    event = heard.event if heard is not None else None
    return Version(
        id=made.event.revision or RevisionId(""),
        number=int(made.event.data.get("number", 0)),
        created_at=made.event.at,
        roles=("forgotten",),
        replicas=0,
        **_outcome(event),
    )


def _outcome(event: Event | None) -> dict[str, Any]:
    if event is None:
        return {}
    return {"outcome": event.kind.removeprefix("rollout."), "outcome_at": event.at, "reason": event.message}


def _version(view: DeploymentView, revision: Revision, heard: Recorded | None) -> Version:
    event = heard.event if heard is not None else None
    return Version(
        id=revision.id,
        number=revision.number,
        created_at=revision.created_at,
        roles=tuple(_roles(view, revision.id)),
        replicas=sum(side.exists for side in view.sides if side.revision == revision.id),
        **_outcome(event),
    )


def _roles(view: DeploymentView, revision: RevisionId) -> Iterator[str]:
    if revision == view.stable:
        yield "stable"
    rollout = view.rollout
    if rollout is not None and rollout.target == revision and not rollout.state.finished:
        yield "target"
    if revision in view.deployment.superseded:
        yield "superseded"
    if any(entry.revision == revision for entry in view.deployment.retiring):
        yield "retiring"
    if revision in view.deployment.history and revision != view.stable:
        yield "former"
