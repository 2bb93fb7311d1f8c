"""Routing policies: pick the replica for a request.

`choose` is on the hot path: it is called once per request, synchronously, with an immutable tuple of candidates that
is rebuilt only when the set changes. In-flight numbers are live: the same objects, counted by the gateway's one guard.

What a policy needs of the body delays the choice until it has come, up to limits of the gateway's own: some 64 KiB, and
about a second for a client that sends slowly. Then the policy is asked with what there is, and has to choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.records import Part
from flashcore.model.names import InstanceId, ReplicaId, RevisionId

API = range(1, 2)
CAPABILITIES: frozenset[str] = frozenset()


class BodyNeed(Enum):
    """How much of a request's body a policy must see before it can choose."""

    NONE = "none"
    LENGTH = "length"
    """Only how long it is. One whose head does not say is waited for, within the gateway's limits."""
    START = "start"
    """The first `body_limit` bytes, and its length where that is known by then."""


@dataclass(slots=True, eq=False)
class Candidate:
    """A routable replica. Only the gateway writes to it; `in_flight` is counted to the end of the response body."""

    replica: ReplicaId
    instance: InstanceId
    revision: RevisionId
    max_concurrency: int = 1
    weight: float = 1.0
    in_flight: int = 0
    reported_load: float | None = None
    """What the replica said of its load, None where it says nothing."""
    warm_since: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)


# Not frozen: it is made for every request, and setting each field through object.__setattr__ would double its cost.
@dataclass(slots=True)
class RoutedRequest:
    """What a policy may know of a request. Header names are lower-case; Authorization is never among them."""

    method: str
    path: str
    headers: Mapping[str, str]
    body_length: int | None = None
    """In bytes, 0 where there is no body; None while nobody knows."""
    body_start: bytes = b""
    """At most the `body_limit` of a policy of BodyNeed.START, less where the body is shorter or has not all come."""
    now: float = 0.0
    """Seconds by a monotonic clock."""


class RoutingPolicy(Protocol):
    """Made by the part's factory from its options; one object per endpoint and gateway, so it may remember."""

    @property
    def body_need(self) -> BodyNeed:
        """What of the body it must see."""
        ...

    @property
    def body_limit(self) -> int:
        """Bytes, for BodyNeed.START; otherwise 0."""
        ...

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """One of `candidates`, which is never empty and holds routable replicas only, those already tried left out."""
        ...

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """The set is now this one; forget who left. Called before the first choice too."""
        ...


@hookspec
def flashcore_routing_policies() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer routing policies."""
