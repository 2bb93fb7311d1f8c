"""What one pass over a deployment sees, and what it makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flashcore.control.health import Judgement
from flashcore.hookspecs.providers import InstanceState
from flashcore.model.deployment import Deployment
from flashcore.model.events import Event
from flashcore.model.names import ReplicaId, RevisionId
from flashcore.model.replica import Replica
from flashcore.model.revision import Revision
from flashcore.model.table import EndpointRoute


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a pass may know; the store's records first, then what was seen of the world."""

    deployment: Deployment
    revisions: Mapping[RevisionId, Revision]
    replicas: Mapping[ReplicaId, Replica]
    sightings: Mapping[ReplicaId, InstanceState] = field(default_factory=dict)
    """What providers last said of each replica; of one that is not here nothing is concluded."""
    absent: frozenset[ReplicaId] = frozenset()
    """Replicas that are no longer wanted and of which their provider, asked since, knows nothing."""
    judgements: Mapping[ReplicaId, Judgement] = field(default_factory=dict)
    """What the probes' answers amount to."""
    stale: frozenset[ReplicaId] = frozenset()
    """Replicas that were not heard of for so long that their record says nothing about now."""
    released: frozenset[ReplicaId] = frozenset()
    """Draining replicas that no gateway sends work to any more."""
    hard_quota: bool = False
    """Draining replicas count against what may exist."""
    desired: int | None = None
    """What the scaler wants, None while it has no say."""
    complaints: tuple[str, ...] = ()
    """What cannot be asked at present: a provider, a scaler, a gateway that refuses the routing table."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What is to be, as one commit and the acts that follow it."""

    deployment: Deployment
    replicas: Mapping[ReplicaId, Replica]
    """Those that are left; one that is not here any more has finished, and its record goes."""
    made: tuple[Revision, ...]
    """Revisions that are new."""
    forgotten: frozenset[RevisionId]
    """Revisions that nothing needs any more."""
    destroyed: bool
    """Nothing is left of the deployment: its record goes too."""
    events: tuple[Event, ...]
    wants: Mapping[RevisionId, frozenset[ReplicaId]]
    """What providers are to keep, by revision; of every revision that the pass knew."""
    route: EndpointRoute | None
    wake_at: float | None
    """When to look again even if nothing happens."""
