"""HTTP endpoints: what a table says of one, immutable, beside what lives on over tables."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from time import monotonic

from flashcore.gateway.bodyneed import NO_WISH, BodyWish, body_wish
from flashcore.gateway.circuit import Circuit, CircuitState
from flashcore.gateway.counting import SideCount, Tally, remembered
from flashcore.gateway.ejection import Ejected, ejected, is_panicking
from flashcore.gateway.retired import Held
from flashcore.gateway.retrying import RetryBudget
from flashcore.gateway.settings import Settings
from flashcore.gateway.targets import Pool, Target, pool_of
from flashcore.gateway.waiting import WaitingRoom
from flashcore.hookspecs.routing import RoutedRequest, RoutingPolicy
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.table import EndpointRoute, ReplicaRoute, SideRoute
from flashcore.wire.hop import HOP_HEADER, hop_key

_log = logging.getLogger(__name__)

DRAWS = 100
"""A request draws a number below this; it decides the side where weights do."""


@dataclass(frozen=True, slots=True, eq=False)
class HttpRouting:
    """One table's word on an HTTP endpoint."""

    route: EndpointRoute
    policy: RoutingPolicy
    shares: tuple[tuple[int, Pool], ...]
    """Upper end of each side's share of the draws, and its pool; one share of all draws where capacity decides."""
    preview: Pool | None
    counts: Mapping[RevisionId, SideCount]
    wish: BodyWish
    """What the policy has to see of a body."""

    def choose(self, request: RoutedRequest, tried: frozenset[str], draw: int | None) -> Target | None:
        """A target for a request that drew this number, None for the preview; gives None while all are full.

        A side with nobody left to ask gives its draw to the others that have a share.
        Raises LookupError when nobody is left at all, PluginError when the policy fails.
        """
        if not tried and draw is not None and len(self.shares) == 1 and self.shares[0][1].targets:
            return self.shares[0][1].choose(self.policy, request, tried)  # the usual case, at the least cost
        for pool in self.pools(draw):
            if pool.has_any_but(tried):
                return pool.choose(self.policy, request, tried)
        raise LookupError(self.route.name)

    def pools(self, draw: int | None) -> tuple[Pool, ...]:
        """The pools that such a request may go to, its own first."""
        if draw is None:
            return () if self.preview is None else (self.preview,)
        if len(self.shares) == 1:
            return (self.shares[0][1],)
        own = next((at for at, (end, _) in enumerate(self.shares) if draw < end), 0)
        pools = [pool for _, pool in self.shares]
        return (*pools[own:], *pools[:own])

    @property
    def targets(self) -> tuple[Target, ...]:
        """All targets of all pools."""
        pools = [pool for _, pool in self.shares] + ([] if self.preview is None else [self.preview])
        return tuple(target for pool in pools for target in pool.targets.values())


class HttpService:
    """An HTTP endpoint over all tables: its targets, its counts, and who waits for it."""

    def __init__(
        self,
        name: EndpointName,
        loop: AbstractEventLoop,
        settings: Settings,
        changed: Callable[[EndpointName], None],
        hop_secret: str = "",
    ) -> None:
        self.name = name
        self.changed = partial(changed, name)
        """Called when something of what the control plane is told is different."""
        self._hop_secret = hop_secret
        self.routing: HttpRouting | None = None
        self.peeks = False
        """Whether the policy has to see anything of a body."""
        self.public = False
        """Whether it may be called without a token."""
        self.execution_timeout = inf
        """Seconds that a replica has until its answer begins."""
        self.counts: dict[RevisionId, SideCount] = {}
        self.past: tuple[SideCount, ...] = ()
        """Of revisions that left; one that comes back is counted anew."""
        self.room = WaitingRoom(loop, settings.hold_seconds, settings.waiting_limit, self.changed)
        self.budget = RetryBudget(settings.retry_share)
        self.tally = Tally()
        self.troubled: frozenset[Target] = frozenset()
        """Whose circuits are not closed."""
        self._circuit_rules = settings.circuit_rules
        self._ejected_share = settings.ejected_share
        self._loop = loop
        self._targets: dict[tuple[ReplicaId, InstanceId, str], Target] = {}

    def prepare(self, route: EndpointRoute, policy: RoutingPolicy) -> HttpRouting:
        """What the route means, with the targets that are known already. Changes nothing.

        Raises ValueError, and PluginError where the policy does not say what it needs.
        """
        counts = {side.revision: self.counts.get(side.revision) or SideCount(side.revision) for side in route.sides}
        pools = [(side, pool_of(self._target(side, one, counts) for one in side.replicas)) for side in route.sides]
        preview = next((pool for side, pool in pools if side.preview), None)
        shares = _shares([pair for pair in pools if not pair[0].preview])
        return HttpRouting(route, policy, shares, preview, counts, body_wish(policy))

    def adopt(self, routing: HttpRouting) -> None:
        """Serve by this from now on."""
        old_counts = self.counts
        self.routing = routing
        self.peeks = routing.wish != NO_WISH
        self.public = routing.route.public
        self.execution_timeout = routing.route.execution_timeout
        self._targets = {target.identity: target for target in routing.targets}
        self.troubled = self.troubled.intersection(self._targets.values())
        for replica in (replica for side in routing.route.sides for replica in side.replicas):
            self._set_limit(replica)
        still_busy = {revision: count for revision, count in old_counts.items() if count.in_flight}
        self.counts = {**still_busy, **routing.counts}
        self.past = remembered(self.past, old_counts.values(), self.counts)
        self._tell_policy(routing)
        self.room.serve_all()
        self.changed()

    @property
    def held(self) -> tuple[Held, ...]:
        """What its replicas are at for this gateway."""
        return tuple(
            Held(self.name, one.candidate.replica, one.candidate.instance, one.leased)
            for one in self._targets.values()
            if one.leased
        )

    def hold_elsewhere(self, counts: Mapping[tuple[ReplicaId, InstanceId], int]) -> None:
        """Replicas are at so much for other gateways."""
        for target in self._targets.values():
            target.hold_elsewhere(counts.get((target.candidate.replica, target.candidate.instance), 0))

    def retire(self) -> None:
        """The endpoint is gone: who waits for it is told."""
        self.routing = None
        self.room.serve_all()

    def ejected(self, draw: int | None) -> Ejected:
        """Who is left out of the choice for a request that drew this number."""
        pools = () if self.routing is None else self.routing.pools(draw)
        return ejected(pools, self.troubled, self._ejected_share, monotonic())

    @property
    def is_panicking(self) -> bool:
        """Whether so many replicas of a side fail that none is left out."""
        if not self.troubled or self.routing is None:
            return False
        preview = self.routing.preview
        pools = [pool for _, pool in self.routing.shares] + ([] if preview is None else [preview])
        return is_panicking(pools, self.troubled, self._ejected_share)

    def replica_succeeded(self, target: Target, seconds: float) -> None:
        """A request that took so long was answered well."""
        circuit = target.circuit
        # A closed one does not ask when the request was sent, and this is on the path of every request.
        circuit.succeeded(0.0 if circuit.state is CircuitState.CLOSED else monotonic() - seconds)
        if self.troubled and circuit.state is CircuitState.CLOSED:
            self.troubled -= {target}

    def replica_failed(self, target: Target, seconds: float) -> None:
        """A request failed after so long, and the replica is to blame."""
        now, circuit = monotonic(), target.circuit
        was = circuit.state
        circuit.failed(now - seconds, now)
        if circuit.state is CircuitState.OPEN and was is not CircuitState.OPEN:
            self.tally.openings += 1
            if target in self._targets.values():
                self.troubled |= {target}

    def trial_said_nothing(self, target: Target, seconds: float) -> None:
        """A request ended after so long in a way that says nothing of the replica."""
        target.circuit.ended_neutrally(monotonic() - seconds)

    def _target(self, side: SideRoute, replica: ReplicaRoute, counts: Mapping[RevisionId, SideCount]) -> Target:
        known = self._targets.get((replica.replica, replica.instance, replica.address or ""))
        if known is not None and known.candidate.revision == side.revision:
            return known
        circuit = Circuit(self._circuit_rules)
        hop = ((HOP_HEADER, hop_key(self._hop_secret, side.revision).encode()),) if self._hop_secret else ()
        return Target(replica, side.revision, counts[side.revision], self._freed, circuit, hop)

    def _set_limit(self, replica: ReplicaRoute) -> None:
        target = self._targets.get((replica.replica, replica.instance, replica.address or ""))
        if target is not None:
            target.candidate.max_concurrency = replica.max_concurrency

    def _tell_policy(self, routing: HttpRouting) -> None:
        try:
            routing.policy.changed(tuple(target.candidate for target in routing.targets))
        except Exception:  # noqa: BLE001 - a policy is anybody's code; the table serves all endpoints and is not stopped by one
            _log.exception("the routing policy of %s failed as its replicas changed", self.name)

    def _freed(self, target: Target) -> None:
        self.changed()
        if self.room.places:
            self.room.serve_one(target)


def _shares(sides: list[tuple[SideRoute, Pool]]) -> tuple[tuple[int, Pool], ...]:
    if all(side.weight is None for side, _ in sides):
        return ((DRAWS, pool_of(target for _, pool in sides for target in pool.targets.values())),)
    shares = []
    end = 0
    for side, pool in sides:
        if side.weight:
            end += side.weight
            shares.append((end, pool))
    return tuple(shares)
