"""A pass in the making: the records as they are to be, and what is to be said about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flashcore.control.snapshot import Snapshot
from flashcore.model.deployment import Deployment, Rollout
from flashcore.model.events import Event
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.replica import Cause, Health, Phase, Replica, move_phase
from flashcore.model.revision import Revision

NameReplica = Callable[[EndpointName, RevisionId], ReplicaId]


@dataclass(frozen=True, slots=True)
class Casualty:
    """A replica that left, or must leave, though nobody wanted that."""

    replica: Replica
    """As it is now, draining or finished."""
    ran_for: float | None
    """Seconds since it was ready first; None if it never was."""
    permanent: bool = False
    """Its provider says that no further attempt can help."""


class Draft:
    """Only this module writes to it; every change of a replica goes through `put`, which tells of it."""

    def __init__(self, snapshot: Snapshot, now: float, name_replica: NameReplica) -> None:
        self.snapshot = snapshot
        self.now = now
        self.deployment: Deployment = snapshot.deployment
        self.replicas: dict[ReplicaId, Replica] = dict(snapshot.replicas)
        self.casualties: list[Casualty] = []
        self.complaints: list[str] = list(snapshot.complaints)
        self.events: list[Event] = []
        self.made: list[Revision] = []
        self.wake_at: float | None = None
        self.changes = 0
        """Grows with every change of a replica, so that what was counted once need not be counted again."""
        self.counted: tuple[object, object] | None = None
        """What `sides` counted last, and what it counted."""
        self._name_replica = name_replica

    def wake(self, at: float) -> None:
        """Ask for a pass at that time; a time that has come is no wait."""
        if at > self.now and (self.wake_at is None or at < self.wake_at):
            self.wake_at = at

    def tell(
        self,
        kind: str,
        message: str,
        *,
        revision: RevisionId | None = None,
        replica: ReplicaId | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an event to the commit."""
        self.events.append(
            Event(kind, self.now, self.deployment.endpoint, revision, replica, message, dict(data or {}))
        )

    def make(self, revision: Revision) -> None:
        """Add a revision that the store does not know."""
        self.made.append(revision)
        data = {"number": revision.number}
        self.tell("revision.created", f"revision {revision.number}", revision=revision.id, data=data)

    def amend(self, **changes: Any) -> None:
        """Change fields of the deployment."""
        self.deployment = dataclasses.replace(self.deployment, **changes)

    def amend_rollout(self, **changes: Any) -> Rollout:
        """Change fields of the rollout, which there must be."""
        if self.deployment.rollout is None:
            raise ValueError(f"{self.deployment.endpoint} has no rollout")
        changed = dataclasses.replace(self.deployment.rollout, **changes)
        self.amend(rollout=changed)
        return changed

    def put(self, replica: Replica) -> None:
        """Take over a replica's new state, and tell of it."""
        before = self.replicas[replica.id]
        if replica is before or replica == before:
            return
        self.replicas[replica.id] = replica
        self.changes += 1
        kind = _kind_of(before, replica)
        if kind is not None:
            data: dict[str, Any] = {"log_tail": list(replica.log_tail)} if replica.log_tail else {}
            if replica.cause is not Cause.NONE:
                data["code"] = replica.cause.value
            self.tell(kind, replica.reason, revision=replica.revision, replica=replica.id, data=data)

    def create(self, revision: RevisionId) -> None:
        """Add a replica that its provider has not heard of."""
        endpoint = self.deployment.endpoint
        replica = Replica(
            id=self._name_replica(endpoint, revision),
            endpoint=endpoint,
            revision=revision,
            created_at=self.now,
            phase_since=self.now,
            health_since=self.now,
        )
        self.replicas[replica.id] = replica
        self.changes += 1
        self.tell("replica.created", "", revision=revision, replica=replica.id)

    def remove_finished(self) -> None:
        """Let go of the replicas of which nothing is left."""
        left = {replica_id: replica for replica_id, replica in self.replicas.items() if replica.exists}
        if len(left) < len(self.replicas):
            self.replicas = left
            self.changes += 1

    def drain(self, victims: Iterable[Replica], cause: Cause, reason: str) -> None:
        """Take replicas out of service."""
        for victim in victims:
            if victim.live:
                self.put(move_phase(victim, Phase.DRAINING, self.now, reason, cause))


def _kind_of(before: Replica, after: Replica) -> str | None:
    """What an event about the change is called; a ready replica is told of once, not on each of its axes."""
    if after.ready and not before.ready:
        return "replica.ready"
    if after.phase is not before.phase:
        return f"replica.{after.phase.value}"
    if after.health is not before.health and after.health is not Health.NOT_CHECKED:
        return f"replica.{after.health.value}"
    return None
