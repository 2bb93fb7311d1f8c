"""The routing table: what the control plane tells gateways, whole and versioned; and what gateways see in return.

A gateway replaces its table in one step or refuses it; between two tables at least one of them serves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef


@dataclass(frozen=True, slots=True)
class ReplicaRoute:
    """A replica that may get work."""

    replica: ReplicaId
    instance: InstanceId
    address: str | None
    """`unix:PATH` or `tcp:HOST:PORT` for HTTP; None where the replica fetches its work."""
    max_concurrency: int


@dataclass(frozen=True, slots=True)
class SideRoute:
    """The routable replicas of one revision."""

    revision: RevisionId
    weight: int | None
    """Percent of the traffic; None for all sides means: by capacity."""
    replicas: tuple[ReplicaRoute, ...]
    preview: bool = False
    """Not promoted: only reached by who asks for the preview."""


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """How calls of one endpoint are answered."""

    name: EndpointName
    ingress: str
    """`jobs` or `http`; values of hookspecs.resources.Ingress."""
    sides: tuple[SideRoute, ...]
    """Stable side first."""
    routing: PartRef
    execution_timeout: float
    ttl: float
    result_retention: float
    max_attempts: int
    held: bool = False
    """Requests wait at the gateway (hold-traffic, or scaled to zero)."""
    public: bool = False
    """Anybody may call it, with or without a token."""


TABLES_PER_EPOCH = 1_000_000_000
"""A table's version is its leader's epoch times this, and its number among that leader's tables."""


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """All endpoints of one environment. `version` grows with each table; 0 is the empty one before the first."""

    version: int = 0
    endpoints: tuple[EndpointRoute, ...] = ()
    """Their order says nothing."""


@dataclass(frozen=True, slots=True)
class TableChange:
    """What makes the table of version `version` out of that of version `base`."""

    base: int
    version: int
    put: tuple[EndpointRoute, ...] = ()
    """The routes that are new or different, each of them whole."""
    removed: tuple[EndpointName, ...] = ()
    """Endpoints that are in the older table alone."""


def change_between(old: RoutingTable, new: RoutingTable) -> TableChange:
    """The change that makes the one table out of the other. Routes that are the same objects cost next to nothing."""
    pairs = [(was, now) for was, now in zip(old.endpoints, new.endpoints, strict=False) if was is not now]
    if len(old.endpoints) == len(new.endpoints) and all(was.name == now.name for was, now in pairs):
        return TableChange(old.version, new.version, tuple(now for was, now in pairs if was != now))
    before = {route.name: route for route in old.endpoints}
    put = tuple(route for route in new.endpoints if _differs(before.get(route.name), route))
    gone = before.keys() - {route.name for route in new.endpoints}
    return TableChange(old.version, new.version, put, tuple(sorted(gone)))


def _differs(old: EndpointRoute | None, new: EndpointRoute) -> bool:
    # Of most routes both are one object, and comparing it with itself field by field is most of what this would cost.
    return old is not new and old != new


def changed_table(table: RoutingTable, change: TableChange) -> RoutingTable:
    """The table that a change makes out of its base; routes that it does not name stay the same objects."""
    new = {route.name: route for route in change.put}
    gone = frozenset(change.removed)
    routes = [new.pop(route.name, route) for route in table.endpoints if route.name not in gone]
    if new:
        routes = sorted((*routes, *new.values()), key=lambda route: route.name)
    return RoutingTable(change.version, tuple(routes))


@dataclass(frozen=True, slots=True)
class SideSignals:
    """What a gateway counted of one revision since it started."""

    revision: RevisionId
    in_flight: int = 0
    requests: int = 0
    failures: int = 0
    latency: Mapping[str, int] = field(default_factory=dict)
    """Cumulative histogram: upper bound in seconds, as text -> count."""
    queued: int = 0
    """Of a preview, those that wait for it: nobody else may have them."""

    def without(self, part: SideSignals) -> SideSignals:
        """These counts but for a part of them."""
        return dataclasses.replace(
            self,
            requests=self.requests - part.requests,
            failures=max(0, self.failures - part.failures),
            latency={bound: max(0, count - part.latency.get(bound, 0)) for bound, count in self.latency.items()},
        )


@dataclass(frozen=True, slots=True)
class EndpointSignals:
    """What a gateway sees of one endpoint."""

    sides: tuple[SideSignals, ...] = ()
    queued: int = 0
    """Jobs and held requests that wait; not those for a preview, which are its side's."""
    oldest_queued: float = 0.0
    """Seconds that the oldest of them has waited."""
    connected: tuple[ReplicaId, ...] = ()
    """Queue workers that hold a connection now."""
    gateway: str = ""
