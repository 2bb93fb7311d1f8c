"""Replicas as the proxy sees them: live objects that outlast a table, and immutable pools of them that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from time import monotonic

from flashcore.gateway.circuit import Circuit
from flashcore.gateway.counting import SideCount
from flashcore.gateway.http.forward import add_headers
from flashcore.gateway.http.route import Address, TcpAddress, UnixAddress, Upstream
from flashcore.hookspecs.routing import Candidate, RoutedRequest, RoutingPolicy
from flashcore.model.errors import PluginError
from flashcore.model.names import InstanceId, ReplicaId, RevisionId
from flashcore.model.table import ReplicaRoute

INSTANCE_HEADER = b"x-flashcore-instance"
REPLICA_HEADER = b"x-flashcore-replica"
PANIC_HEADER = b"x-flashcore-panic"


def parse_address(text: str) -> Address:
    """`unix:PATH` or `tcp:HOST:PORT`, as a table has it. Raises ValueError."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return UnixAddress(rest)
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isdecimal() and 0 < int(port) < 65536:
        return TcpAddress(host.strip("[]"), int(port))
    raise ValueError(f"{text!r} is no address: write unix:PATH or tcp:HOST:PORT")


@dataclass(slots=True, eq=False)
class CountedUpstream(Upstream):
    """A replica whose answers are counted for its revision, and say something of its health."""

    count: SideCount = field(kw_only=True)
    target: Target = field(kw_only=True)


class Target:
    """One life of a replica that answers HTTP. Its in-flight count lives as long as anybody waits for an answer."""

    __slots__ = (
        "_elsewhere",
        "_freed",
        "address_text",
        "candidate",
        "circuit",
        "count",
        "panicking_upstream",
        "upstream",
    )

    def __init__(
        self,
        route: ReplicaRoute,
        revision: RevisionId,
        count: SideCount,
        freed: Callable[[Target], None],
        circuit: Circuit,
        hop: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self.address_text = route.address or ""
        self.candidate = Candidate(
            route.replica, route.instance, revision, max_concurrency=route.max_concurrency, warm_since=monotonic()
        )
        self._elsewhere = 0
        """How much of what is in flight here came from gateways that this one has replaced."""
        self.count = count
        self.circuit = circuit
        self._freed = freed
        # One lease object for all: whoever holds it gives it back once, and nothing in it differs between two.
        self.upstream = CountedUpstream(
            route.replica,
            parse_address(self.address_text),
            self._release,
            add_headers((INSTANCE_HEADER, route.instance.encode()), *hop),
            add_headers((REPLICA_HEADER, route.replica.encode())),
            count=count,
            target=self,
        )
        panicking = add_headers((REPLICA_HEADER, route.replica.encode()), (PANIC_HEADER, b"1"))
        self.panicking_upstream = replace(self.upstream, answer_headers=panicking)

    @property
    def identity(self) -> tuple[ReplicaId, InstanceId, str]:
        """What makes it the same target in the next table."""
        return self.candidate.replica, self.candidate.instance, self.address_text

    def lease(self) -> Upstream:
        """Count one more request as in flight here, until the lease is released."""
        self.candidate.in_flight += 1
        self.count.in_flight += 1
        return self.upstream

    def lease_in_panic(self) -> Upstream:
        """As `lease`; the answer tells that too many replicas fail for any of them to be left out."""
        self.lease()
        return self.panicking_upstream

    @property
    def leased(self) -> int:
        """Requests that it is at for this gateway."""
        return self.candidate.in_flight - self._elsewhere

    def hold_elsewhere(self, count: int) -> None:
        """So much of what it takes at a time is taken by other gateways, which count it for themselves."""
        fewer, self._elsewhere = self._elsewhere - count, count
        self.candidate.in_flight -= fewer
        for _ in range(fewer):
            self._freed(self)

    def _release(self) -> None:
        self.candidate.in_flight -= 1
        self.count.in_flight -= 1
        self._freed(self)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Targets that a request may choose among."""

    targets: dict[str, Target]
    """By replica id."""
    candidates: tuple[Candidate, ...]
    """The same, as policies see them."""

    def has_any_but(self, tried: frozenset[str]) -> bool:
        """Whether there is a target that is not in `tried`."""
        return not self.targets.keys() <= tried if tried else bool(self.targets)

    def has_room_but(self, tried: frozenset[str]) -> bool:
        """Whether a target that is not in `tried` could take one more."""
        return any(one.in_flight < one.max_concurrency for one in self.candidates if one.replica not in tried)

    def choose(self, policy: RoutingPolicy, request: RoutedRequest, tried: frozenset[str]) -> Target | None:
        """A target with room that is not in `tried`, of which there is one; None while all of them are full.

        Raises PluginError when the policy fails.
        """
        candidates = self.candidates
        if tried:
            candidates = tuple(one for one in candidates if one.replica not in tried)
        chosen = self._ask(policy, request, candidates)
        candidate = chosen.candidate
        if candidate.in_flight < candidate.max_concurrency:
            return chosen
        free = tuple(one for one in candidates if one.in_flight < one.max_concurrency)
        return self._ask(policy, request, free) if free else None

    def _ask(self, policy: RoutingPolicy, request: RoutedRequest, candidates: tuple[Candidate, ...]) -> Target:
        try:
            return self.targets[policy.choose(request, candidates).replica]
        except Exception as error:  # a policy is anybody's code: any of its failures is told as one
            raise PluginError(
                f"the routing policy {type(policy).__name__} failed: {type(error).__name__}: {error}",
                next_step="choose another routing policy for this endpoint, or mend this one",
            ) from error


def pool_of(targets: Iterable[Target]) -> Pool:
    """A pool of these targets."""
    by_id: dict[str, Target] = {target.candidate.replica: target for target in targets}
    return Pool(by_id, tuple(target.candidate for target in by_id.values()))
