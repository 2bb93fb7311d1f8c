"""Both event loops for every test; raw clients, scripted replicas and a counting route around the engine."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from asyncio import AbstractEventLoop, Future, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.gateway.loops import PlainLoop, UvLoop

from flashcore.gateway.http.errors import Outcome, OutcomeKind
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.respond import Handler, Request, Response
from flashcore.gateway.http.route import Address, Choice, Local, Proxy, Unavailable, UnixAddress, Upstream, Verdict
from flashcore.gateway.http.server import HttpServer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
PATIENCE = 60.0
"""Seconds after which a test that waits for something gives up."""


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """The data path runs on uvloop where there is one, and has to run without."""
    return {"uvloop": UvLoop, "asyncio": PlainLoop}


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.002)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it was on the wire, its body without framing."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """One request as a replica saw it, its body without framing."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Wire:
    """One end of a connection, for tests that say themselves what goes over it."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Write, and wait until the system has taken it. Raises ConnectionError."""
        if self.writer.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, to_head: bool = False) -> Answer:
        """Read one answer. Raises IncompleteReadError where it is cut short."""
        async with asyncio.timeout(PATIENCE):
            line, headers = await self._head()
            status = int(line.split(" ")[1])
            body = b""
            if not to_head and status >= 200 and status not in {204, 304}:
                body = await self._body(headers, ends_with_connection=True)
            return Answer(status, headers, body)

    async def request(self) -> Received:
        """Read one request. Raises IncompleteReadError at the end of the connection."""
        async with asyncio.timeout(PATIENCE):
            line, headers = await self._head()
            method, target, _ = line.split(" ")
            return Received(method, target, headers, await self._body(headers, ends_with_connection=False))

    async def _head(self) -> tuple[str, dict[str, str]]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head[:-4].split("\r\n")
        pairs = [text.partition(":") for text in lines]
        return line, {name: value.removeprefix(" ") for name, _, value in pairs}

    async def _body(self, headers: dict[str, str], *, ends_with_connection: bool) -> bytes:
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            return await self._chunks()
        return await self.reader.read() if ends_with_connection else b""

    async def _chunks(self) -> bytes:
        pieces = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            pieces.append(await self.reader.readexactly(size))
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return b"".join(pieces)

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def ends(self) -> bool:
        """Whether the connection ends without another byte; a reset counts."""
        try:
            return await self.rest() == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        """Close this end."""
        self.writer.close()


class Memory(asyncio.Transport):
    """A transport whose other end is a list of bytes."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1)})
        self.written = b""
        self.closing = False
        self.reading = True

    def pause_reading(self) -> None:
        """Read no further."""
        self.reading = False

    def resume_reading(self) -> None:
        """Read on."""
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        """Keep it."""
        self.written += data

    def write_eof(self) -> None:
        """Nothing more will be written."""

    def can_write_eof(self) -> bool:
        """As a TCP connection's."""
        return True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closing

    def close(self) -> None:
        """Take no more."""
        self.closing = True

    def abort(self) -> None:
        """Take no more."""
        self.closing = True

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0


Script = Callable[[Wire], Awaitable[None]]


class Replica:
    """A server on a Unix socket that does what its script says, once for each connection."""

    def __init__(self, address: UnixAddress, script: Script) -> None:
        self.address = address
        self.script = script
        self.connections = 0
        self.received: list[Received] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._serve, self.address.path, limit=2**20)

    async def stop(self) -> None:
        """Listen no more and cut every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        Path(self.address.path).unlink(missing_ok=True)  # noqa: ASYNC240 - a test's own file

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self.script(Wire(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side left, or the test is over
        finally:
            self._tasks.discard(task)
            writer.close()

    async def read(self, wire: Wire) -> Received:
        """Read a request and remember it."""
        received = await wire.request()
        self.received.append(received)
        return received

    def always(self, answer: bytes) -> Script:
        """A script that gives one answer to every request."""

        async def script(wire: Wire) -> None:
            while True:
                await self.read(wire)
                await wire.send(answer)

        return script


class CountingRoute:
    """Chooses replicas in the order given, and keeps the books that a test wants to read."""

    def __init__(self, *upstreams: tuple[str, Address]) -> None:
        self.upstreams = [Upstream(name, address, self._release) for name, address in upstreams]
        self.in_flight = 0
        self.most_in_flight = 0
        self.chosen: list[str] = []
        self.outcomes: list[tuple[str, Outcome, float]] = []
        self.held: Future[Choice] | None = None
        self.replaces_503 = False

    def choose(self, tried: frozenset[str]) -> Choice | Future[Choice]:
        """The first one that was not tried; a future where the test holds requests."""
        if self.held is not None:
            return self.held
        return self.lease(tried)

    def lease(self, tried: frozenset[str] = frozenset()) -> Choice:
        """The first one that was not tried, counted as in flight."""
        for upstream in self.upstreams:
            if upstream.id not in tried:
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                self.chosen.append(upstream.id)
                return upstream
        return Unavailable("nobody_there", "No replica is left.", headers=((b"retry-after", b"1"),))

    def has_another(self, tried: frozenset[str]) -> bool:
        """Whether one is left, where the test wants a 503 to be answered by another."""
        return self.replaces_503 and any(upstream.id not in tried for upstream in self.upstreams)

    def on_outcome(self, upstream: Upstream, outcome: Outcome, latency: float) -> None:
        """Remember."""
        self.outcomes.append((upstream.id, outcome, latency))

    @property
    def kinds(self) -> list[OutcomeKind]:
        """How the attempts ended, in order."""
        return [outcome.kind for _, outcome, _ in self.outcomes]

    def _release(self) -> None:
        self.in_flight -= 1
        assert self.in_flight >= 0, "a lease was released twice"


@dataclass(slots=True)
class Desk:
    """A dispatcher of fixed verdicts by path; keeps the heads it was shown."""

    verdicts: dict[bytes, Verdict] = field(default_factory=dict)
    seen: list[tuple[RequestHead, str]] = field(default_factory=list)

    def dispatch(self, head: RequestHead, peer: str) -> Verdict:
        """The verdict for the path, else an echo of the request."""
        self.seen.append((head, peer))
        return self.verdicts.get(head.path) or Local(echo)


def echo(request: Request) -> Response:
    """Answers with the request's method, target and body."""
    head = request.head
    return Response(200, ((b"content-type", b"text/plain"),), b" ".join((head.method, head.target, request.body)))


class Gateway:
    """A running server with its desk, and the means to talk to it."""

    def __init__(self, folder: Path, limits: Limits, trusted_peers: frozenset[str]) -> None:
        self.desk = Desk()
        self.failures: list[BaseException] = []
        self.server = HttpServer(self.desk, limits, trusted_peers)
        self.port = 0
        self._folder = folder
        self._numbers = itertools.count()
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Listen on a free port; failures that are reported to the loop are kept in `failures`."""
        asyncio.get_running_loop().set_exception_handler(self._report)
        self.port = await self.server.listen("127.0.0.1", 0)
        self._stack.push_async_callback(self.server.close, 0.0)

    def _report(self, loop: AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        self.failures.append(error if isinstance(error, BaseException) else RuntimeError(str(context)))

    async def stop(self) -> None:
        """Close everything that was made here."""
        await self._stack.aclose()

    async def connect(self, *, read_limit: int = 2**16) -> Wire:
        """A client connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=read_limit)
        self._stack.callback(writer.close)
        return Wire(reader, writer)

    async def replica(self, script: Script | bytes = OK) -> Replica:
        """A replica; `script` may be the one answer that it gives to everything."""
        address = self.free_address()
        replica = Replica(address, _hang)
        replica.script = replica.always(script) if isinstance(script, bytes) else script
        await replica.start()
        self._stack.push_async_callback(replica.stop)
        return replica

    def free_address(self) -> UnixAddress:
        """An address at which nobody listens."""
        return UnixAddress(str(self._folder / f"{next(self._numbers)}.sock"))

    def route(self, *replicas: Replica | UnixAddress, path: bytes = b"/", target: bytes | None = None) -> CountingRoute:
        """Requests for `path` go to these replicas, named a, b, c in the order of choice."""
        addresses = [each.address if isinstance(each, Replica) else each for each in replicas]
        route = CountingRoute(*zip("abcdefgh", addresses, strict=False))
        self.desk.verdicts[path] = Proxy(route, target)
        return route

    def local(self, handler: Handler, path: bytes = b"/") -> None:
        """Requests for `path` are answered by `handler`."""
        self.desk.verdicts[path] = Local(handler)

    async def ask(self, data: bytes) -> Answer:
        """Send one request on a connection of its own and read the answer."""
        wire = await self.connect()
        await wire.send(data)
        return await wire.answer()


async def _hang(wire: Wire) -> None:
    await asyncio.Event().wait()


StartGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StartGateway]:
    """Starts gateways with limits of their own; nothing that fails within them goes unnoticed."""
    gateways: list[Gateway] = []

    async def start(limits: Limits | None = None, trusted_peers: frozenset[str] = frozenset()) -> Gateway:
        gateway = Gateway(tmp_path_factory.mktemp("g"), limits or Limits(), trusted_peers)
        gateways.append(gateway)
        await gateway.start()
        return gateway

    yield start
    for gateway in gateways:
        await gateway.stop()
        assert gateway.failures == []


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    """A gateway with the usual limits."""
    return await start_gateway()
