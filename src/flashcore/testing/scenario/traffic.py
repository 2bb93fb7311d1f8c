"""Requests as a stream: where gateways send them by the tables they have, what is served, kept waiting, failed.

Nothing is sent. Between two changes of a table or a replica all rates are constant, so what happened meanwhile is
arithmetic: each gateway gets its part of the load, spreads it over the sides of its table by their weights, and a
replica serves at most `max_concurrency / latency`. What is too much waits, and fails after what a gateway holds
requests for. A replica that ends by itself takes along what it was working on; one that is stopped finishes it,
as far as its grace goes. A replica that refuses connections costs nothing: the gateway goes elsewhere.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

from flashcore.gateway.counting import BOUNDS
from flashcore.gateway.settings import Settings
from flashcore.hookspecs.providers import Running
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.table import EndpointRoute, EndpointSignals, SideRoute, SideSignals
from flashcore.testing.dataplane import TwinDataPlane, TwinGateway
from flashcore.testing.scenario.curve import requests_between
from flashcore.testing.scenario.values import Load, Version
from flashcore.testing.simulated_provider import SimulatedProvider
from flashcore.wire.hello import Stage

_NAMES = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")
_P99 = NormalDist().inv_cdf(0.99)
_NOTHING = 1e-9
HOLD = Settings().hold_seconds
"""Seconds that a gateway keeps a request waiting."""


@dataclass(slots=True)
class Counts:
    """What one gateway counted of one revision; fractions count on."""

    requests: float = 0.0
    failures: float = 0.0
    in_flight: float = 0.0
    latency: list[float] = field(default_factory=lambda: [0.0] * len(_NAMES))


@dataclass(slots=True)
class Tally:
    """What became of all requests to one endpoint."""

    offered: float = 0.0
    answered: float = 0.0
    """Answered by a replica, its own errors among them."""
    errors: float = 0.0
    """Answered with an error by the app itself."""
    lost: float = 0.0
    """In flight at a replica that ended."""
    expired: float = 0.0
    """Kept waiting for too long."""

    @property
    def failed(self) -> float:
        """Those that the platform could not get answered."""
        return self.lost + self.expired


@dataclass(slots=True)
class Waiting:
    """Requests that one gateway keeps for one endpoint, oldest first, each as (since, how many)."""

    queue: deque[tuple[float, float]] = field(default_factory=deque)

    @property
    def count(self) -> float:
        """How many wait."""
        return sum(many for _, many in self.queue)

    def add(self, since: float, many: float) -> None:
        """More come."""
        if many > _NOTHING:
            self.queue.append((since, many))

    def take(self, many: float) -> list[tuple[float, float]]:
        """Up to so many of the oldest."""
        taken: list[tuple[float, float]] = []
        while self.queue and many > _NOTHING:
            since, here = self.queue.popleft()
            used = min(here, many)
            taken.append((since, used))
            many -= used
            if here - used > _NOTHING:
                self.queue.appendleft((since, here - used))
        return taken

    def expire(self, before: float) -> float:
        """Give up those that came before; how many."""
        given_up = 0.0
        while self.queue and self.queue[0][0] < before:
            given_up += self.queue.popleft()[1]
        return given_up


@dataclass(frozen=True, slots=True)
class _Share:
    """A side as one gateway can use it: how many replicas answer, and how much they can do in a second."""

    side: SideRoute
    version: Version
    replicas: tuple[ReplicaId, ...]
    capacity: float


VersionOf = Callable[[RevisionId], tuple[Version, int]]
"""How a revision behaves, and how many requests one of its replicas works on at once."""


class Traffic:
    """All load of a scenario. `advance` must be called before anything changes that requests depend on."""

    def __init__(
        self,
        loads: Mapping[EndpointName, Load],
        now: Callable[[], float],
        provider: SimulatedProvider,
        dataplane: TwinDataPlane,
        version_of: VersionOf,
    ) -> None:
        self.tallies = {endpoint: Tally() for endpoint in loads}
        self._loads = loads
        self._now = now
        self._provider = provider
        self._dataplane = dataplane
        self._version_of = version_of
        self._counts: dict[tuple[str, EndpointName, RevisionId], Counts] = {}
        self._waiting: dict[tuple[str, EndpointName], Waiting] = {}
        self._busy: dict[ReplicaId, float] = {}
        """Requests in flight at each replica."""
        self._since = now()
        self._quantiles: dict[Version, tuple[float, ...]] = {}
        dataplane.taking_over = lambda _gateway: self.advance()
        provider.changing = lambda _replica: self.advance()
        provider.ended = self._end
        provider.finishing = self._finish

    def advance(self) -> None:
        """Let what happened since the last time have happened."""
        now = self._now()
        if now <= self._since:
            return
        self._busy.clear()
        for endpoint, load in self._loads.items():
            self._advance_one(endpoint, load, now)
        self._since = now

    def signals(self) -> dict[EndpointName, tuple[EndpointSignals, ...]]:
        """What all gateways say of all endpoints now."""
        return {
            endpoint: tuple(self._signals_of(gateway, endpoint) for gateway in self._dataplane.twins)
            for endpoint in self._loads
        }

    def _finish(self, replica: ReplicaId, grace: float) -> float:
        """It is told to stop: seconds that it needs for what it works on. What takes longer than its grace is lost."""
        self.advance()
        version = self._version_at(replica)
        if version is None or self._busy.get(replica, 0.0) <= _NOTHING:
            return 0.0
        if version.latency > grace:
            self._lose(replica, 1 - grace / version.latency)
        return version.latency

    def _end(self, replica: ReplicaId) -> None:
        """It ended by itself: what it worked on is lost."""
        self._lose(replica, 1.0)

    def _lose(self, replica: ReplicaId, share: float) -> None:
        endpoint = EndpointName(replica.rsplit("-", 2)[0])
        lost = self._busy.pop(replica, 0.0) * share
        if endpoint in self.tallies and lost > _NOTHING:
            tally = self.tallies[endpoint]
            tally.lost += lost
            tally.answered -= lost

    def _advance_one(self, endpoint: EndpointName, load: Load, now: float) -> None:
        gateways = list(self._dataplane.twins.values())
        if not gateways:
            return
        offered = requests_between(load, self._since, now)
        preview = load.preview * (now - self._since)
        for gateway in gateways:
            self._serve(gateway, endpoint, offered / len(gateways), preview / len(gateways), now)

    def _serve(self, gateway: TwinGateway, endpoint: EndpointName, offered: float, preview: float, now: float) -> None:
        tally, waiting = self.tallies[endpoint], self._waiting_at(gateway, endpoint)
        tally.offered += offered
        waiting.add(self._since, offered)
        route = next((one for one in gateway.table.endpoints if one.name == endpoint), None)
        for counts in self._counts_of(gateway, endpoint):
            counts.in_flight = 0.0
        if route is not None:
            shares = self._shares(route)
            for share, many in [] if route.held else _spread(shares, waiting.count, now - self._since):
                for since, served in waiting.take(many):
                    self._answer(gateway, endpoint, share, served, max(0.0, self._since - since), now)
            previewed = [share for share in shares if share.side.preview and share.replicas]
            if previewed and preview > _NOTHING:
                self._answer(gateway, endpoint, previewed[0], preview, 0.0, now, tally=False)
        tally.expired += waiting.expire(now - HOLD)

    def _shares(self, route: EndpointRoute) -> list[_Share]:
        found: list[_Share] = []
        for side in route.sides:
            version, slots = self._version_of(side.revision)
            able = tuple(one.replica for one in side.replicas if self._answers(one.replica))
            found.append(_Share(side, version, able, len(able) * slots / version.latency))
        return found

    def _answers(self, replica: ReplicaId) -> bool:
        state = self._provider.state(replica)
        return isinstance(state, Running) and state.stage is Stage.READY

    def _answer(  # noqa: PLR0913  # one bundle of requests: from where, by whom, how many, after how long
        self,
        gateway: TwinGateway,
        endpoint: EndpointName,
        share: _Share,
        served: float,
        waited: float,
        now: float,
        *,
        tally: bool = True,
    ) -> None:
        version, span = share.version, now - self._since
        counts = self._counts.setdefault((gateway.name, endpoint, share.side.revision), Counts())
        counts.requests += served
        counts.failures += served * version.errors
        in_flight = served / span * version.latency
        counts.in_flight += in_flight
        for replica in share.replicas:
            self._busy[replica] = self._busy.get(replica, 0.0) + in_flight / len(share.replicas)
        for i, part in enumerate(self._histogram(version, waited)):
            counts.latency[i] += served * part
        if tally:
            self.tallies[endpoint].answered += served
            self.tallies[endpoint].errors += served * version.errors

    def _histogram(self, version: Version, waited: float) -> tuple[float, ...]:
        """Which share of the requests falls under each bound; what waited takes so much longer."""
        if version not in self._quantiles:
            self._quantiles[version] = _cumulative(version)
        below = self._quantiles[version]
        if waited <= 0.0:
            return below
        return (*(0.0 if bound < waited else below[bisect_left(BOUNDS, bound - waited)] for bound in BOUNDS), 1.0)

    def _signals_of(self, gateway: str, endpoint: EndpointName) -> EndpointSignals:
        sides = tuple(
            SideSignals(
                revision,
                round(counts.in_flight),
                int(counts.requests + _NOTHING),
                int(counts.failures + _NOTHING),
                {name: int(count + _NOTHING) for name, count in zip(_NAMES, counts.latency, strict=True)},
            )
            for (where, which, revision), counts in self._counts.items()
            if where == gateway and which == endpoint
        )
        waiting = self._waiting.get((gateway, endpoint), Waiting())
        oldest = self._now() - waiting.queue[0][0] if waiting.queue else 0.0
        return EndpointSignals(sides, queued=int(waiting.count), oldest_queued=max(0.0, oldest), gateway=gateway)

    def _counts_of(self, gateway: TwinGateway, endpoint: EndpointName) -> list[Counts]:
        return [
            counts for (where, which, _), counts in self._counts.items() if (where, which) == (gateway.name, endpoint)
        ]

    def _waiting_at(self, gateway: TwinGateway, endpoint: EndpointName) -> Waiting:
        return self._waiting.setdefault((gateway.name, endpoint), Waiting())

    def _version_at(self, replica: ReplicaId) -> Version | None:
        revision = self._provider.revision_of(replica)
        return self._version_of(revision)[0] if revision is not None else None


def _spread(shares: list[_Share], waiting: float, span: float) -> list[tuple[_Share, float]]:
    """How many of those that wait each side takes: by its weight, or as it has room."""
    public = [share for share in shares if not share.side.preview]
    able = [share for share in public if share.replicas]
    if all(share.side.weight is None for share in public):
        room = sum(share.capacity for share in able)
        return [(share, min(waiting, room * span) * share.capacity / room) for share in able if room > 0]
    whole = sum(share.side.weight or 0 for share in able)
    return [
        (share, min(waiting * (share.side.weight or 0) / whole, share.capacity * span)) for share in able if whole > 0
    ]


def _cumulative(version: Version) -> tuple[float, ...]:
    """The share of requests below each bound: the logarithm of a latency is normal."""
    slow = version.slow or 2 * version.latency
    deviation = max(1e-6, math.log(slow / version.latency) / _P99)
    normal = NormalDist(math.log(version.latency), deviation)
    return (*(normal.cdf(math.log(bound)) for bound in BOUNDS), 1.0)
