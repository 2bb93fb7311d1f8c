"""What the layer above decides, and how it says it: answer here, or pass on to whom.

    dispatch(head, peer) -> Local(handler)            the gateway itself answers
                          | Proxy(route)               a replica answers
                          | Peek(proxy, size, see)     a replica answers, chosen by the start of the body
                          | Switch(protocol, begin)    the connection leaves HTTP, for a protocol of the gateway's own
    route.choose(tried)  -> Upstream | Unavailable     at once: the usual case
                          | Future of either           the request is held until there is somebody

Handing out an `Upstream` is a lease: whoever does counts the request as in flight from then on, and `release` is called
exactly once for it, when the last byte of the answer was passed on, or when nobody waits for it any longer. The object
itself may be the same each time: nothing is written to it.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple, Protocol, TypeAlias

from flashcore.gateway.http.errors import Outcome
from flashcore.gateway.http.exchange import Client, Exchange
from flashcore.gateway.http.forward import NOTHING_ADDED, AddedHeaders
from flashcore.gateway.http.head import Headers, RequestHead
from flashcore.gateway.http.respond import Handler
from flashcore.model.light import light


class UnixAddress(NamedTuple):
    """A socket in the file system."""

    path: str


class TcpAddress(NamedTuple):
    """A host, by name or number, and a port."""

    host: str
    port: int


Address: TypeAlias = UnixAddress | TcpAddress


@dataclass(slots=True, eq=False)
class Upstream:
    """A replica that was chosen for one request, and the lease on it."""

    id: str
    """Stands in `tried` when this replica is not to be asked again."""
    address: Address
    release: Callable[[], object]
    """Ends the lease."""
    request_headers: AddedHeaders = NOTHING_ADDED
    """Sent to the replica, in place of any of the same name from the client; made once per replica."""
    answer_headers: AddedHeaders = NOTHING_ADDED
    """Sent to the client, in place of any of the same name from the replica."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody can be chosen: what the client is told. `code` is stable, `data` goes into the JSON error."""

    code: str
    message: str
    status: int = 503
    headers: Headers = ()
    """For example `retry-after`."""
    data: dict[str, object] = field(default_factory=dict)


Choice: TypeAlias = Upstream | Unavailable


class Route(Protocol):
    """Picks replicas for one request, or for many: the engine keeps what it must know of each."""

    def choose(self, tried: frozenset[str]) -> Choice | Future[Choice]:
        """A replica whose id is not in `tried`. A future is cancelled when the client leaves."""
        ...

    def has_another(self, tried: frozenset[str]) -> bool:
        """Whether there is one now, not in `tried`, to be asked in place of a replica that answered 503.

        Where it says so, `choose` has one at once.
        """
        ...

    def on_outcome(self, upstream: Upstream, outcome: Outcome, latency: float) -> None:
        """Told once for each Upstream, right after its release; `latency` is seconds from choice to end."""
        ...


@light
class Local:
    """The gateway answers the request itself."""

    handler: Handler
    body_bytes: int | None = None
    """The most that its body may have; None: what the limits say for such requests; 0: the answer is the same for any.

    Then a long one is not waited for, nor kept: whoever is refused could fill the disk with it.
    """


@dataclass(slots=True, eq=False)
class Proxy:
    """A replica answers the request."""

    route: Route
    target: bytes | None = None
    """Path and query for the replica, where they differ from the client's."""
    answer_seconds: float = inf
    """Until the first byte of an answer, counted from when all of the request was sent; then 504."""


@dataclass(slots=True, eq=False)
class Peek:
    """A replica answers the request, and its route is shown the start of the body before it chooses."""

    proxy: Proxy
    size: int
    """Bytes to wait for, within the engine's limits of what is kept and of how long is waited."""
    see: Callable[[bytes, int | None], object]
    """Told what has come, which may be more or less than was wanted, and the body's length, None while it is not known.

    Called once, before the first `choose`; not at all where the client leaves before.
    """


@dataclass(slots=True, eq=False)
class Switch:
    """The connection speaks another protocol from here on. The request has no body, and asks for that."""

    protocol: bytes
    begin: Callable[[Client], Exchange]
    """Makes what then gets all that the client sends, and has no end but the connection's."""


Verdict: TypeAlias = Local | Proxy | Peek | Switch


class Dispatcher(Protocol):
    """The one object that the engine is given."""

    def dispatch(self, head: RequestHead, peer: str) -> Verdict:
        """Who answers. `peer` is the client's address, or nothing on a Unix socket. Called once per request."""
        ...
