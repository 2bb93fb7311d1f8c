"""A gateway within the test's own process, on real sockets, and the means to call it."""

from __future__ import annotations

import asyncio
import http.client
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias
from urllib.parse import urlsplit

import pytest
from tests.gateway.loops import UvLoop

from flashcore.builtin.memory_state import MemoryStores
from flashcore.gateway.assembly import Gateway
from flashcore.gateway.security import Security
from flashcore.gateway.settings import Settings
from flashcore.hookspecs.jobs import JobStore
from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest, RoutingPolicy
from flashcore.model.errors import UnknownPart
from flashcore.model.job import Job, NewJob
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, ReplicaRoute, RoutingTable, SideRoute
from flashcore.testing.fake_worker import route_of
from flashcore.wire.hello import Hello

FAST = Settings(
    heartbeat=0.4, lease=900.0, reconnect_grace=600.0, hello_patience=50.0, sweep_interval=0.1, signal_interval=0.02,
    forget_after=0.2, hold_seconds=50.0, stop_grace=50.0,
)  # fmt: skip
"""Numbers at which a test need not wait, and no machine is too slow to come back in time."""
IMPATIENT = replace(FAST, lease=3.0, reconnect_grace=0.6)
"""For tests of workers that do not come back."""

HASTY = replace(FAST, hello_patience=0.1, hold_seconds=0.1)
"""For tests of who is not waited for."""


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that a gateway's process has; the engine's own tests run on both."""
    return {"uvloop": UvLoop}


class LeastBusy:
    """Whoever has the least in flight; remembers the sets that it was told of."""

    body_need = BodyNeed.NONE
    body_limit = 0

    def __init__(self) -> None:
        self.sets: list[tuple[Candidate, ...]] = []

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """See RoutingPolicy."""
        return min(candidates, key=lambda candidate: candidate.in_flight)

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """See RoutingPolicy."""
        self.sets.append(tuple(candidates))


class FailingPolicy(LeastBusy):
    """One with a mistake in it."""

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """Raises."""
        raise ZeroDivisionError("a mistake")


class Policies:
    """Routing policies by name."""

    kinds: ClassVar[Mapping[str, type[LeastBusy]]] = {"least_busy": LeastBusy, "failing": FailingPolicy}

    def __init__(self) -> None:
        self.made: list[LeastBusy] = []

    def make(self, ref: PartRef) -> RoutingPolicy:
        """A fresh one. Raises UnknownPart."""
        if ref.name not in self.kinds:
            raise UnknownPart(f"there is no routing policy {ref.name!r}")
        self.made.append(self.kinds[ref.name]())
        return self.made[-1]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


def fetch(
    url: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, seconds: float = 60.0
) -> Answer:
    """One request by the standard library's client; `body` is sent as JSON unless it is bytes."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=seconds)
    try:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@dataclass(slots=True)
class Running:
    """A gateway at work, and a client of it."""

    gateway: Gateway
    store: JobStore
    version: int = 0
    routes: list[EndpointRoute] = field(default_factory=list)

    async def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request."""
        return await asyncio.to_thread(fetch, self.gateway.url, method, path, body, headers)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET."""
        return await self.call("GET", path, None, headers)

    async def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """POST."""
        return await self.call("POST", path, body, headers)

    def serve(self, *routes: EndpointRoute) -> None:
        """Take over a table of these endpoints."""
        self.version += 1
        self.gateway.live.apply(RoutingTable(self.version, routes))


@dataclass(slots=True)
class Listener:
    """A caller whose answer can be awaited."""

    heard: asyncio.Future[Job | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def told(self, job: Job | None) -> None:
        """See Caller."""
        self.heard.set_result(job)

    def failed(self, error: Exception) -> None:
        """See Caller."""
        self.heard.set_exception(error)


async def called(running: Running, new: NewJob, seconds: float) -> Job | None:
    """What a caller is told of a job who waits for it so many seconds."""
    listener = Listener()
    running.gateway.broker.call(new, seconds, listener)
    return await listener.heard


def jobs_route(name: str, *sides: SideRoute, **changes: Any) -> EndpointRoute:
    """A queue endpoint's route."""
    return _route(name, "jobs", sides, changes)


def http_route(name: str, *sides: SideRoute, **changes: Any) -> EndpointRoute:
    """An HTTP endpoint's route."""
    return _route(name, "http", sides, changes)


def _route(name: str, ingress: str, sides: tuple[SideRoute, ...], changes: Mapping[str, Any]) -> EndpointRoute:
    given = {
        "routing": PartRef("least_busy"),
        "execution_timeout": 600.0,
        "ttl": 3600.0,
        "result_retention": 1800.0,
        "max_attempts": 2,
        **changes,
    }
    return EndpointRoute(EndpointName(name), ingress, sides, **given)


def side(
    *replicas: Hello | ReplicaRoute, revision: str | None = None, weight: int | None = None, preview: bool = False
) -> SideRoute:
    """A side of these workers or replicas; the revision is the first worker's unless given."""
    first = next((replica for replica in replicas if isinstance(replica, Hello)), None)
    of = RevisionId(revision or (first.identity.revision if first else "r" * 64))
    return SideRoute(of, weight, tuple(route_of(one) if isinstance(one, Hello) else one for one in replicas), preview)


@pytest.fixture
def layout() -> Iterator[Layout]:
    """An environment in a directory whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="fc-") as folder:
        yield Layout(Path(folder), "test")


Starter: TypeAlias = Callable[..., AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def gateway_at(
    layout: Layout, settings: Settings = FAST, store: JobStore | None = None, security: Security | None = None
) -> AsyncIterator[Running]:
    """A gateway on this layout; its store is one in memory unless given."""
    jobs = store or await MemoryStores().open_jobs("memory:")
    gateway = Gateway(layout, jobs, Policies(), settings, security=security)
    await gateway.start()
    port = await gateway.http.listen("127.0.0.1", 0)
    gateway.url = f"http://127.0.0.1:{port}"
    try:
        yield Running(gateway, jobs)
    finally:
        await gateway.close()


@pytest.fixture
async def running(layout: Layout, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """A gateway with jobs in memory, and with fast settings unless it is given others."""
    async with gateway_at(layout, getattr(request, "param", FAST)) as running:
        yield running


not_waiting = pytest.mark.parametrize("running", [pytest.param(IMPATIENT, id="impatient")], indirect=True)
"""A test whose gateway soon gives up workers that are away."""
hasty = pytest.mark.parametrize("running", [pytest.param(HASTY, id="hasty")], indirect=True)
"""A test whose gateway soon sends away whom nobody serves, and who does not say who it is."""


async def eventually(look: Callable[[], Awaitable[Any] | Any], seconds: float = 60.0) -> Any:
    """The first true value that `look` gives; fails when there is none in time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        seen = look()
        value = await seen if isinstance(seen, Awaitable) else seen
        if value:
            return value
        assert loop.time() < until, f"never true within {seconds} s; last seen: {value!r}"
        await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as a replica got it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(slots=True)
class HttpReplica:
    """A replica that answers HTTP on a Unix socket: it tells what it was asked, when it is let."""

    path: Path
    route: ReplicaRoute
    seen: list[Seen] = field(default_factory=list)
    status: int = 200
    headers: str = ""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Requests are answered while it is set."""
    busiest: int = 0
    """The most requests that it had at one time."""
    _busy: int = 0

    @property
    def name(self) -> str:
        """Its replica id."""
        return self.route.replica

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").strip().split("\r\n")
                pairs = [line.split(": ", 1) for line in lines]
                headers = {name.lower(): value for name, value in pairs}
                method, target, _ = first.split(" ")
                await self._answer(Seen(method, target, headers, await _body(reader, headers)), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self.seen.append(seen)
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        await self.open.wait()
        self._busy -= 1
        body = json.dumps({"replica": self.name, "target": seen.target}).encode()
        writer.write(f"HTTP/1.1 {self.status} X\r\n{self.headers}content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "transfer-encoding" not in headers:
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


@asynccontextmanager
async def http_replica(
    layout: Layout, name: str, *, concurrency: int = 10, instance: str = "i1"
) -> AsyncIterator[HttpReplica]:
    """A replica that listens within the environment's directory."""
    path = layout.root / f"{name}.sock"
    route = ReplicaRoute(ReplicaId(name), InstanceId(instance), f"unix:{path}", concurrency)
    replica = HttpReplica(path, route)
    replica.open.set()
    server = await asyncio.start_unix_server(replica.serve, str(path))
    try:
        yield replica
    finally:
        server.close()
