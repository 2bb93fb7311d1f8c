"""What one table means to the gateway: a value that is swapped as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flashcore.gateway.http_service import HttpService
from flashcore.hookspecs.jobs import ALL_LANES
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.table import EndpointRoute, RoutingTable, SideRoute

NO_LANES = range(0)


@dataclass(frozen=True, slots=True)
class Share:
    """Which of an endpoint's jobs a revision may take, beside those that are pinned to it."""

    lanes: range
    pinned_only: bool


@dataclass(frozen=True, slots=True)
class JobsRouting:
    """One table's word on a queue endpoint."""

    route: EndpointRoute
    shares: Mapping[RevisionId, Share]
    listed: Mapping[ReplicaId, tuple[InstanceId, RevisionId]]
    """Who may get work."""
    preview: RevisionId | None
    serving: frozenset[RevisionId]
    """The revisions that jobs are shared among; the stable one also where it has no share any more."""

    def lists(self, replica: ReplicaId, instance: InstanceId, revision: RevisionId) -> bool:
        """Whether this life of a replica may get work of this revision."""
        return self.listed.get(replica) == (instance, revision)


@dataclass(frozen=True, slots=True)
class Routes:
    """Everything that is served by one table."""

    table: RoutingTable = field(default_factory=RoutingTable)
    http: Mapping[str, HttpService] = field(default_factory=dict)
    jobs: Mapping[str, JobsRouting] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """The table's."""
        return self.table.version

    @property
    def names(self) -> tuple[EndpointName, ...]:
        """All endpoints."""
        return tuple(route.name for route in self.table.endpoints)


@dataclass(frozen=True, slots=True)
class Swap:
    """One table's routes in place of another's."""

    old: Routes
    new: Routes
    touched: frozenset[str]
    """The endpoints that came, went, or are routed otherwise; all else is the same objects."""


def jobs_routing(route: EndpointRoute) -> JobsRouting:
    """What the route of a queue endpoint means."""
    listed = {replica.replica: (replica.instance, side.revision) for side in route.sides for replica in side.replicas}
    preview = next((side.revision for side in route.sides if side.preview), None)
    sides = [side for side in route.sides if not side.preview]
    serving = frozenset(side.revision for side in sides if side is sides[0] or side.weight != 0)
    return JobsRouting(route, _lane_shares(route.sides), listed, preview, serving)


def _lane_shares(sides: tuple[SideRoute, ...]) -> dict[RevisionId, Share]:
    """The newest side has the lowest lanes: raising its weight takes lanes from the others and gives none back."""
    shares = {}
    start = 0
    for side in reversed(sides):
        if side.preview:
            shares[side.revision] = Share(NO_LANES, pinned_only=True)
        elif side.weight is None:
            shares[side.revision] = Share(ALL_LANES, pinned_only=False)
        else:
            shares[side.revision] = Share(range(start, start + side.weight), pinned_only=side.weight == 0)
            start += side.weight
    return shares
