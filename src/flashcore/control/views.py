"""From a deployment's records to what people see of it."""

from __future__ import annotations

from collections.abc import Mapping

from flashcore.control.draft import Draft
from flashcore.control.readmodel import DeploymentView, SideStatus
from flashcore.control.sides import Side, sides_of
from flashcore.control.snapshot import Snapshot
from flashcore.control.traffic import shares
from flashcore.model.names import RevisionId, new_replica_id
from flashcore.model.revision import Revision
from flashcore.model.table import EndpointRoute


def view_of(snapshot: Snapshot, now: float, route: EndpointRoute | None, next_wake: float | None) -> DeploymentView:
    """The deployment of a snapshot, for people."""
    deployment = snapshot.deployment
    sides = sides_of(Draft(snapshot, now, new_replica_id))
    answering = shares(deployment, sides)
    roles = (
        *((("stable", sides.stable),) if sides.stable else ()),
        *((("target", sides.target),) if sides.target else ()),
        *(("superseded", side) for side in sides.superseded),
        *(("retiring", side) for side in sides.retiring),
    )
    shown = tuple(_side_status(role, side, snapshot.revisions, answering.get(side.revision, 0)) for role, side in roles)
    return DeploymentView(
        endpoint=deployment.endpoint,
        resource=deployment.resource,
        status=deployment.status,
        status_since=deployment.status_since,
        reason=deployment.reason,
        goal=deployment.goal,
        goal_by=deployment.goal_by,
        ready=sum(side.ready for side in shown),
        stable=deployment.stable,
        rollout=deployment.rollout,
        sides=shown,
        revisions=tuple(sorted(snapshot.revisions.values(), key=lambda revision: -revision.number)),
        route=route,
        next_wake=next_wake,
        deployment=deployment,
    )


def _side_status(role: str, side: Side, revisions: Mapping[RevisionId, Revision], share: int | None) -> SideStatus:
    known = revisions.get(side.revision)
    return SideStatus(
        revision=side.revision,
        number=known.number if known else 0,
        role=role,
        exists=len(side.replicas),
        live=len(side.live),
        ready=len(side.ready),
        share=share,
        replicas=side.replicas,
    )
