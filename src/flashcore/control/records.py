"""The records of one deployment as the store has them, in memory: what a pass decides on, and is checked against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flashcore.control.kinds import DEPLOYMENTS, REPLICAS, REVISIONS
from flashcore.control.snapshot import Pass
from flashcore.control.store import Committed, Snapshot, Stored, Workspace
from flashcore.model.deployment import Deployment
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.replica import Phase, Replica
from flashcore.model.revision import Revision


@dataclass(frozen=True, slots=True)
class _Values:
    """What was read of the records."""

    replicas: Mapping[ReplicaId, Replica]
    revisions: Mapping[RevisionId, Revision]
    used: frozenset[RevisionId]
    drains: bool


class Records:
    """Begins with a deployment that is in no store yet, or with what a snapshot of the store holds."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._stored: Stored[Deployment] | None = None
        self._replicas: dict[ReplicaId, Stored[Replica]] = {}
        self._revisions: dict[RevisionId, Stored[Revision]] = {}
        self.changes = 0
        """Grows with every change."""
        self._values: _Values | None = None

    @property
    def is_stored(self) -> bool:
        """Whether the store has heard of the deployment."""
        return self._stored is not None

    @property
    def replicas(self) -> Mapping[ReplicaId, Replica]:
        """Its replicas."""
        return self._read().replicas

    @property
    def revisions(self) -> Mapping[RevisionId, Revision]:
        """Its revisions."""
        return self._read().revisions

    @property
    def used(self) -> frozenset[RevisionId]:
        """The revisions that have replicas."""
        return self._read().used

    @property
    def drains(self) -> bool:
        """Whether a replica is on its way out."""
        return self._read().drains

    def load(
        self,
        stored: Stored[Deployment],
        replicas: Mapping[str, Stored[Replica]],
        revisions: Mapping[RevisionId, Stored[Revision]],
    ) -> None:
        """Take over what the store holds of this deployment."""
        self._stored, self.deployment = stored, stored.value
        self._replicas = {one.value.id: one for one in replicas.values()}
        self._revisions = dict(revisions)
        self._values = None
        self.changes += 1

    def stage(self, work: Workspace, made: Pass) -> None:
        """Put everything that the pass changes into a workspace."""
        self._stage_deployment(work, made)
        for replica_id, replica in made.replicas.items():
            known = self._replicas.get(replica_id)
            if known is None:
                work.create(REPLICAS, replica)
            else:
                work.replace(known, replica)
        for replica_id in self._replicas.keys() - made.replicas.keys():
            work.remove(self._replicas[replica_id])
        for revision in made.made:
            if revision.id not in made.forgotten:
                work.create(REVISIONS, revision)
        for forgotten in made.forgotten & self._revisions.keys():
            work.remove(self._revisions[forgotten])
        for event in made.events:
            work.emit(event)

    def take(self, committed: Committed) -> None:
        """Take over what was written."""
        self._values = None
        self.changes += 1
        for stored in committed.stored:
            self._take_stored(stored)
        for removed in committed.removed:
            if removed.kind is REPLICAS:
                self._replicas.pop(ReplicaId(removed.id), None)
            elif removed.kind is REVISIONS:
                self._revisions.pop(RevisionId(removed.id), None)

    def _read(self) -> _Values:
        """Made anew after each change only: a pass asks many times, and most passes change nothing."""
        if self._values is None:
            replicas = {replica: stored.value for replica, stored in self._replicas.items()}
            self._values = _Values(
                replicas,
                {revision: stored.value for revision, stored in self._revisions.items()},
                frozenset(replica.revision for replica in replicas.values()),
                any(replica.phase is Phase.DRAINING for replica in replicas.values()),
            )
        return self._values

    def _stage_deployment(self, work: Workspace, made: Pass) -> None:
        if self._stored is None:
            work.create(DEPLOYMENTS, made.deployment)
        elif made.destroyed:
            work.remove(self._stored)
        else:
            work.replace(self._stored, made.deployment)
            work.require(self._stored)

    def _take_stored(self, stored: Stored[Any]) -> None:
        if stored.kind is DEPLOYMENTS:
            self._stored, self.deployment = stored, stored.value
        elif stored.kind is REPLICAS:
            self._replicas[stored.value.id] = stored
        elif stored.kind is REVISIONS:
            self._revisions[stored.value.id] = stored


def records_in(snapshot: Snapshot) -> dict[EndpointName, Records]:
    """The records of every deployment in the store."""
    by_endpoint: dict[EndpointName, dict[str, Stored[Replica]]] = {}
    for replica_id, stored in snapshot.of(REPLICAS).items():
        by_endpoint.setdefault(stored.value.endpoint, {})[replica_id] = stored
    revisions: dict[EndpointName, dict[RevisionId, Stored[Revision]]] = {}
    for one in snapshot.of(REVISIONS).values():
        revisions.setdefault(one.value.content.endpoint, {})[one.value.id] = one
    found: dict[EndpointName, Records] = {}
    for deployment in snapshot.of(DEPLOYMENTS).values():
        endpoint = deployment.value.endpoint
        records = Records(deployment.value)
        records.load(deployment, by_endpoint.get(endpoint, {}), revisions.get(endpoint, {}))
        found[endpoint] = records
    return found
