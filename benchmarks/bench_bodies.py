"""Bodies of 100 MB and 10,000 idle connections: what they cost the gateway in memory, and how fast bodies pass.

A client, the gateway and an answering server, each a process, over loopback. Bodies go up and down, with a length and
in chunks, one at a time; beside them, in turns, the limit (a raw relay: the same bytes through a process that knows
nothing of HTTP) and the peer (nginx, which buffers nothing either; left out where it is not installed). The gateway's
memory is looked at every few milliseconds while a body is on its way, also for a client that does not read, and again
when all are through. The same bodies go to and from a replica with a FastAPI app, which streams them.

10,000 connections make one request each, stay, and go, four times over. The memory that they had is kept for the next
ones, in pieces that do not quite fit them at first: the last time may take no more than the second. The gateway is
started with a limit of 1,024 descriptors, as most systems have it, and has to see to it that they are enough.

    python benchmarks/bench_bodies.py [--rounds 3] [--megabytes 100] [--connections 10000]

It takes about two minutes; exit status 1 when a figure is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import resource
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import psutil
import uvloop
from bench_calls import pump
from bench_proxy import free_port, nginx_command, started
from fastapi import Request
from fastapi.responses import StreamingResponse

from flashcore import LoadBalancedEndpoint
from flashcore.control.link import SocketDataPlane
from flashcore.model.codec import from_json
from flashcore.model.layout import Layout
from flashcore.model.manifest import FunctionEntry, FunctionKind
from flashcore.model.names import EndpointName, InstanceId, ReplicaId
from flashcore.model.table import ReplicaRoute, RoutingTable
from flashcore.testing.stand import Served, Stand, standing

PIECE = 1 << 16
GROWTH = 4.0
"""MB that the gateway may have more while one body is on its way: the buffers of both ends."""
LEFT = 2.0
"""MB that it may have more when all are through."""
TIMES = 4
"""That all idle connections come and go."""
AGAIN = 1.03
"""Times the memory of the second time that is right for the last: what the first ones left is used again."""
USUAL_DESCRIPTORS = 1024
RAW = EndpointName("raw")
NGINX_PASSES_ON = (
    'proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";'
    "proxy_request_buffering off; proxy_buffering off; client_max_body_size 0;"
)

web = LoadBalancedEndpoint("web")


@web.post("/up")
async def up(request: Request) -> dict[str, int]:
    """How much came."""
    return {"size": sum([len(piece) async for piece in request.stream()])}


@web.get("/down")
async def down(size: int) -> StreamingResponse:
    """So many bytes, in chunks."""
    piece = bytes(PIECE)
    return StreamingResponse(piece[: min(PIECE, size - at)] for at in range(0, size, PIECE))


# -- what runs in processes of its own ---------------------------------------------------------------------------------


def serve_raw(ports: Any) -> None:
    """The answering server: takes what comes, gives what is asked for, in blocking threads."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        ports.send(server.getsockname()[1])
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    # Who asked may go away at any time.
    with contextlib.suppress(OSError), connection, connection.makefile("rb", PIECE) as stream:
        while first := stream.readline():
            lines = iter(stream.readline, b"\r\n")
            headers = dict(line.decode().lower().rstrip().split(": ", 1) for line in lines)
            size = _take(stream, headers)
            path, _, asked = first.split()[1].decode().partition("?size=")
            if path.endswith("/chunked"):
                _send_chunked(connection, int(asked))
            elif asked:
                _send(connection, int(asked))
            else:
                _say(connection, size)
            if headers.get("connection") == "close":
                return


def _take(stream: Any, headers: dict[str, str]) -> int:
    """Read a request's body."""
    if "transfer-encoding" not in headers:
        return _skip(stream, int(headers.get("content-length", 0)))
    size = 0
    while length := int(stream.readline(), 16):
        size += _skip(stream, length)
        stream.readline()
    stream.readline()
    return size


def _skip(stream: Any, size: int) -> int:
    left = size
    while left:
        left -= len(stream.read(min(left, PIECE)))
    return size


def _say(connection: socket.socket, size: int) -> None:
    text = b'{"size":%d}' % size
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))


def _send(connection: socket.socket, size: int) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
    for piece in pieces(size):
        connection.sendall(piece)


def _send_chunked(connection: socket.socket, size: int) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for piece in pieces(size):
        connection.sendall(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)))
    connection.sendall(b"0\r\n\r\n")


def serve_relay(ports: Any, target: int) -> None:
    """The limit: passes bytes on, both ways, whatever they are."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ports.send(server.getsockname()[1])
        while True:
            client, _ = server.accept()
            backend = socket.create_connection(("127.0.0.1", target))
            for one, other in ((client, backend), (backend, client)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        pump(source, sink)
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def beside(serve: Callable[..., None], *arguments: Any) -> Iterator[int]:
    """A server in a process of its own; its port."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=serve, args=(theirs, *arguments), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


# -- the client --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Body:
    """One way for a body to go."""

    name: str
    upwards: bool
    chunked: bool


BODIES = (
    Body("up, with a length", upwards=True, chunked=False),
    Body("up, in chunks", upwards=True, chunked=True),
    Body("down, with a length", upwards=False, chunked=False),
    Body("down, in chunks", upwards=False, chunked=True),
)


@dataclass(frozen=True, slots=True)
class Way:
    """Where bodies are sent: through what, to which endpoint."""

    port: int
    prefix: str = ""
    upload: str = "/"
    download: str = "/"
    chunked: str = "/chunked"


def pieces(size: int) -> Iterator[memoryview]:
    """So many bytes, in pieces."""
    piece = memoryview(bytes(PIECE))
    for at in range(0, size, PIECE):
        yield piece[: min(PIECE, size - at)]


def send_body(way: Way, body: Body, size: int) -> float:
    """Seconds that a body takes to go one way."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", way.port), timeout=60) as connection:
        if body.upwards:
            _upload(connection, way, body, size)
        else:
            _ask(connection, way, body, size)
            _download(connection, size)
    return time.perf_counter() - began


def _upload(connection: socket.socket, way: Way, body: Body, size: int) -> None:
    framing = "transfer-encoding: chunked" if body.chunked else f"content-length: {size}"
    connection.sendall(f"POST {way.prefix}{way.upload} HTTP/1.1\r\nhost: bench\r\n{framing}\r\n\r\n".encode())
    for piece in pieces(size):
        if body.chunked:
            connection.sendall(b"%x\r\n" % len(piece))
        connection.sendall(piece)
        if body.chunked:
            connection.sendall(b"\r\n")
    if body.chunked:
        connection.sendall(b"0\r\n\r\n")
    _require(connection, b'{"size":%d}' % size)


def _ask(connection: socket.socket, way: Way, body: Body, size: int) -> None:
    path = way.chunked if body.chunked else way.download
    connection.sendall(
        f"GET {way.prefix}{path}?size={size} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n".encode()
    )


def _download(connection: socket.socket, size: int) -> None:
    """Read to the end of the connection, which the request asked for."""
    memory = bytearray(1 << 18)
    got = connection.recv_into(memory)
    if not memory.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"an unexpected answer: {bytes(memory[:got])[:300]!r}")
    while count := connection.recv_into(memory):
        got += count
    if got < size:
        raise SystemExit(f"the answer ended after {got} bytes")


def _require(connection: socket.socket, wanted: bytes) -> None:
    said = b""
    while wanted not in said:
        more = connection.recv(PIECE)
        said += more
        if not more or not said.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"an unexpected answer: {said[:300]!r}")


# -- memory ------------------------------------------------------------------------------------------------------------


class Watch:
    """Looks at the memory of a process all the time, and keeps the most."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._done = threading.Event()
        self._before = self.peak = megabytes_of(process)
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> float:
        """MB that it had more at the most than in the beginning."""
        return self.peak - self._before

    def _look(self) -> None:
        while not self._done.wait(0.005):
            self.peak = max(self.peak, megabytes_of(self._process))


def megabytes_of(process: psutil.Process) -> float:
    """What it has in memory, in MB."""
    return float(process.memory_info().rss / 1e6)


def asked(what: str, found: float, most: float, unit: str) -> bool:
    """Say whether a figure is as asked."""
    good = found <= most
    print(f"  {what}: {found:.2f} {unit}  (at most {most:g}: {'ok' if good else 'MISSED'})")
    return good


# -- bodies ------------------------------------------------------------------------------------------------------------


def measure_speed(ways: dict[str, Way], rounds: int, size: int) -> None:
    """Print MB/s of each body each way, in turns, beside the relay."""
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for body in BODIES:
            for name, way in ways.items():
                times.setdefault((body.name, name), []).append(send_body(way, body, size))
    names = list(ways)
    print(f"\nMB/s, medians of {rounds} rounds" + "".join(f"{name:>22}" for name in names))
    for body in BODIES:
        middle = {name: statistics.median(times[body.name, name]) for name in names}
        cells = [f"{size / 1e6 / took:12,.0f} ({middle[names[0]] / took:6.2f} x)" for took in middle.values()]
        print(f"{body.name:31}" + "".join(cells))


def measure_memory(gateway: psutil.Process, ways: dict[str, Way], rounds: int, size: int) -> bool:
    """Print what the gateway has more while bodies are on their way, and after them; whether that is as asked."""
    good = True
    print("\nmemory of the gateway while a body is on its way, and when all are through")
    for name, way in ways.items():
        for body in BODIES:
            send_body(way, body, size)  # what is kept for good is kept from the first one on
        before = megabytes_of(gateway)
        for body in BODIES:
            with Watch(gateway) as watch:
                for _ in range(rounds):
                    send_body(way, body, size)
            good &= asked(f"{name}, {body.name}", watch.growth, GROWTH, "MB more")
        with Watch(gateway) as watch:
            unread_body(way, size)
        good &= asked(f"{name}, down, and nobody reads", watch.growth, GROWTH, "MB more")
        good &= asked(f"{name}, when all are through", megabytes_of(gateway) - before, LEFT, "MB more")
    return good


def unread_body(way: Way, size: int) -> None:
    """Ask for a body, and read none of it for a second."""
    with socket.create_connection(("127.0.0.1", way.port), timeout=60) as connection:
        _ask(connection, way, BODIES[2], size)
        time.sleep(1.0)


# -- idle connections --------------------------------------------------------------------------------------------------


def idle_connections(port: int, path: str, count: int) -> list[socket.socket]:
    """So many, each of which had an answer."""
    made = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode())
        if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit("a request on one of many connections was not answered well")
        made.append(connection)
    return made


@dataclass(frozen=True, slots=True)
class Idle:
    """MB of a process before the connections came, and with all of them and without, each time that they came."""

    before: float
    during: list[float]
    after: list[float]


def measure_idle(process: psutil.Process, port: int, path: str, count: int, times: int) -> Idle:
    """Let so many connections come and go, again and again."""
    found = Idle(megabytes_of(process), [], [])
    for _ in range(times):
        made = idle_connections(port, path, count)
        time.sleep(0.5)
        found.during.append(megabytes_of(process))
        for connection in made:
            connection.close()
        time.sleep(1.0)
        found.after.append(megabytes_of(process))
    return found


def tell_idle(name: str, found: Idle, count: int) -> None:
    """One line."""
    each = (max(found.during) - found.before) * 1e6 / count / 1024
    steps = ", ".join(f"{during:.1f} / {after:.1f}" for during, after in zip(found.during, found.after, strict=True))
    print(f"  {name:8} {each:5.2f} KiB each; MB before {found.before:.1f}, with all / without: {steps}")


def enough_descriptors(count: int) -> int:
    """Have this process open as many files as it may; how many of the connections that allows."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    room = (most if most != resource.RLIM_INFINITY else 1 << 30) - 200
    if room < count:
        print(f"only {room} connections: a process here may have no more than {most} descriptors")
    return min(count, room)


# -- all of it ---------------------------------------------------------------------------------------------------------


async def add_raw(layout: Layout, port: int) -> None:
    """Have the gateway pass what is asked of /raw/ on to the answering server."""
    table = from_json(RoutingTable, json.loads(layout.table_file.read_text()))
    (route,) = table.endpoints
    (side,) = route.sides
    replica = ReplicaRoute(ReplicaId("raw-1"), InstanceId("life-1"), f"tcp:127.0.0.1:{port}", 10_000)
    raw = replace(route, name=RAW, sides=(replace(side, replicas=(replica,)),))
    plane = SocketDataPlane(layout.dataplane_socket)
    await plane.publish(RoutingTable(table.version + 1, (route, raw)))
    async for _ in plane.changes():
        if any(state.applied == table.version + 1 for state in plane.gateways()):
            break
    await plane.close()


@contextlib.contextmanager
def stand_in(folder: Path) -> Iterator[Stand]:
    """A gateway with a replica, started where a process may have few descriptors at first."""
    functions = [
        FunctionEntry(
            function.__name__, Path(__file__).name, function.__name__, FunctionKind.ASYNC_FUNCTION, route=route
        )
        for function, route in ((up, up.route), (down, down.route))
    ]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(USUAL_DESCRIPTORS, most), most))
    with standing(folder, [Served("web", "http", Path(__file__).resolve().parent, functions)]) as stand:
        yield stand


def gateway_of(layout: Layout) -> psutil.Process:
    """The gateway's process."""
    return psutil.Process(json.loads(layout.gateway_file.read_text())["pid"])


def run(rounds: int, size: int, connections: int) -> bool:
    """Measure everything; whether all is as asked."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fc")))
        stand = stack.enter_context(stand_in(folder / "stand"))
        connections = enough_descriptors(connections)
        raw = stack.enter_context(beside(serve_raw))
        uvloop.run(add_raw(stand.layout, raw))
        gateway, port = gateway_of(stand.layout), int(stand.url.rpartition(":")[2])
        ways = {"relay (limit)": Way(stack.enter_context(beside(serve_relay, raw))), "gateway": Way(port, "/raw")}
        idle = {"gateway": (gateway, port, "/raw/")}
        if nginx := shutil.which("nginx"):
            command = nginx_command(nginx, folder, nginx_port := free_port(), raw, NGINX_PASSES_ON)
            pid = stack.enter_context(started(command, nginx_port, set(range(psutil.cpu_count() or 1))))
            ways["nginx (peer)"] = Way(nginx_port)
            idle["nginx"] = (psutil.Process(pid), nginx_port, "/")
        else:
            print("skipped: nginx, which is not installed")
        replica = Way(port, "/web", upload="/up", download="/down", chunked="/down")
        measure_speed({**ways, "FastAPI, by gateway": replica}, rounds, size)
        good = measure_memory(gateway, {"raw server": ways["gateway"], "FastAPI": replica}, rounds, size)
        print(f"\n{connections} idle connections")
        found = {name: measure_idle(*what, connections, TIMES) for name, what in idle.items()}
        for name, megabytes in found.items():
            tell_idle(name, megabytes, connections)
        last = found["gateway"].during[-1] / found["gateway"].during[1]
        return asked("gateway, the last time", last, AGAIN, "x the memory of the second time") and good


def main() -> None:
    """Read the arguments, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--connections", type=int, default=10_000)
    given = parser.parse_args()
    sys.exit(not run(given.rounds, given.megabytes * 1_000_000, given.connections))


if __name__ == "__main__":
    main()
