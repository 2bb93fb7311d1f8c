"""What one queued job costs: submitted, run by a worker that does nothing, and read, each singly.

A driver, a gateway and one worker, each a process; the worker takes up to 50 jobs at a time over its own socket, and
every job carries 1 KB in and out. One caller alone gives the latency, 50 of them the throughput: over HTTP with 50
connections, or over one link, as our client has it (`wire/calls.py`). "By our client" are calls of a function of a
queue endpoint, sealed, with a replica that runs it: blocking by 1 caller, awaited by 50. Limits of the same
machine in the same run: a ping-pong of 1 KB over a Unix socket between two processes, and rows inserted into SQLite
with a sync for each, and for each 50. All take turns, so that a busy neighbour hits all of them. The processor's time
for a job is each process's own, which a busy neighbour changes least.

    python benchmarks/bench_jobs.py [--rounds 3] [--seconds 2] [--callers 50]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import uvloop
from link_driver import drive_link

from flashcore import QueueEndpoint
from flashcore.control.link import SocketDataPlane
from flashcore.model.codec import from_json, to_json
from flashcore.model.job import Payload
from flashcore.model.layout import Layout
from flashcore.model.manifest import FunctionEntry, FunctionKind
from flashcore.model.names import EndpointName
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, RoutingTable, SideRoute
from flashcore.presence import read_presence
from flashcore.testing.fake_worker import route_of, worker_hello
from flashcore.testing.stand import Served as ServedFunctions
from flashcore.testing.stand import standing
from flashcore.wire import sealed
from flashcore.wire.frames import FrameDecoder
from flashcore.wire.heads import encode_message
from flashcore.wire.hello import Hello
from flashcore.wire.messages import Beat, Result, Results, Work, from_frame

ENDPOINT = "noop"
SLOTS = 50
PAYLOAD = b"x" * 1000
BODY = b'{"input": "%b"}' % PAYLOAD
REQUEST = b"POST /v2/%b/runsync HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (
    ENDPOINT.encode(),
    len(BODY),
    BODY,
)


KEY = "the key of the measurement"
echoing = QueueEndpoint("echoing", max_concurrency=SLOTS)


@echoing.function
async def echo(value: str) -> str:
    """Give it back."""
    return value


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn: jobs a second, microseconds of a job, and microseconds of each process's CPU for a job."""

    rate: float
    p50: float
    p99: float
    driver: float = 0.0
    gateway: float = 0.0
    worker: float = 0.0


@dataclass(frozen=True, slots=True)
class Processes:
    """Whose processor time is measured; the driver is this process."""

    gateway: int
    worker: int

    def sample(self, drive: Callable[[], tuple[float, list[float]]]) -> Sample:
        """Drive, and divide what each process took by the jobs."""
        began = self._seconds()
        rate, times = drive()
        costs = [1e6 * (after - before) / len(times) for before, after in zip(began, self._seconds(), strict=True)]
        return _sample(rate, times, *costs)

    def _seconds(self) -> list[float]:
        """The processor's time of driver, gateway and worker so far."""
        taken = [psutil.Process(pid).cpu_times() for pid in (os.getpid(), self.gateway, self.worker)]
        return [one.user + one.system for one in taken]


# -- the worker, in a process of its own -------------------------------------------------------------------------------


class NoopWorker(asyncio.Protocol):
    """Gives each job's input back at once."""

    def __init__(self, hello: Hello) -> None:
        self._hello = hello
        self._decoder = FrameDecoder()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce itself."""
        self._transport = transport  # type: ignore[assignment]  # a socket's transport can be written to
        self._write(encode_message(self._hello))
        self.beat()

    def data_received(self, data: bytes) -> None:
        """Answer every job that came."""
        results: list[Result] = []
        for frame in self._decoder.feed(data):
            message = from_frame(frame)
            if isinstance(message, Work):
                results += [Result(job.id, job.attempt, Payload(job.input.data)) for job in message.jobs]
        if results:
            self._write(encode_message(Results(tuple(results))))

    def beat(self) -> None:
        """Say that it lives."""
        self._write(encode_message(Beat(())))
        asyncio.get_running_loop().call_later(1.0, self.beat)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def run_worker(path: str, hello: str) -> None:
    """The worker's process."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        said = from_json(Hello, json.loads(hello))
        await loop.create_unix_connection(lambda: NoopWorker(said), path)
        await asyncio.Event().wait()

    uvloop.run(serve())


# -- the driver --------------------------------------------------------------------------------------------------------


class Caller(asyncio.Protocol):
    """One connection that submits a job, waits for its result, and submits the next."""

    def __init__(self, until: float, done: asyncio.Future[None]) -> None:
        self.times: list[float] = []
        self._until = until
        self._done = done
        self._transport: asyncio.WriteTransport | None = None
        self._data = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]  # a socket's transport can be written to
        self._submit()

    def data_received(self, data: bytes) -> None:
        """A part of an answer, or the whole."""
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        if b'"COMPLETED"' not in body:
            raise SystemExit(f"a job did not end well: {body[:300]!r}")
        self._data = b""
        now = time.perf_counter()
        self.times.append(now - self._sent)
        if now < self._until:
            self._submit()
        elif not self._done.done():
            self._done.set_result(None)

    def _submit(self) -> None:
        self._sent = time.perf_counter()
        if self._transport is not None:
            self._transport.write(REQUEST)


async def drive(port: int, callers: int, seconds: float) -> tuple[float, list[float]]:
    """Jobs a second, and how long each took."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = []
    for _ in range(callers):
        done: asyncio.Future[None] = loop.create_future()
        caller = Caller(began + seconds, done)
        transport, _ = await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)  # type: ignore[misc]  # binds the loop's value
        made.append((caller, done, transport))
    await asyncio.gather(*(done for _, done, _ in made))
    took = time.perf_counter() - began
    for _, _, transport in made:
        transport.close()
    times = [seconds for caller, _, _ in made for seconds in caller.times]
    return len(times) / took, times


# -- gateways ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway with its worker."""

    name: str
    port: int
    processes: Processes

    def drive(self, callers: int, seconds: float) -> tuple[float, list[float]]:
        """Jobs a second over HTTP, and how long each took."""
        return uvloop.run(drive(self.port, callers, seconds))

    def drive_link(self, in_flight: int, seconds: float) -> tuple[float, list[float]]:
        """The same over a link."""
        return uvloop.run(drive_link(self.port, ENDPOINT, b'"%b"' % PAYLOAD, in_flight, seconds))


@contextlib.contextmanager
def gateway(name: str, jobs: str, layout: Layout) -> Iterator[Served]:
    """A gateway with one worker and a table, ready to take jobs."""
    layout.home.mkdir(parents=True)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "flashcore.gateway", "--layout", str(layout.root), "--env", layout.environment),
            *("--jobs", jobs, "--port", "0"),
        ],
        stderr=subprocess.DEVNULL,
    )
    hello = worker_hello(ENDPOINT, slots=SLOTS)
    worker = None
    try:
        until = time.monotonic() + 20
        while (presence := read_presence(layout.gateway_file)) is None:
            if time.monotonic() > until or process.poll() is not None:
                raise SystemExit("the gateway did not come up")
            time.sleep(0.02)
        uvloop.run(publish(layout, hello))
        spawning = multiprocessing.get_context("spawn")
        worker = spawning.Process(target=run_worker, args=(str(layout.worker_socket), json.dumps(to_json(hello))))
        worker.start()
        yield Served(name, int(presence.url.rpartition(":")[2]), Processes(process.pid, worker.pid or 0))
    finally:
        if worker is not None:
            worker.kill()
            worker.join()
        process.terminate()
        process.wait()


async def publish(layout: Layout, hello: Hello) -> None:
    """Give the gateway its table."""
    side = SideRoute(hello.identity.revision, None, (route_of(hello),))
    route = EndpointRoute(
        EndpointName(ENDPOINT), "jobs", (side,), PartRef("p2c"), execution_timeout=60, ttl=600, result_retention=60,
        max_attempts=2,
    )  # fmt: skip
    plane = SocketDataPlane(layout.dataplane_socket)
    await plane.publish(RoutingTable(1, (route,)))
    async for _ in plane.changes():
        if any(state.applied == 1 for state in plane.gateways()):
            break
    await plane.close()


# -- our client -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def called(folder: Path) -> Iterator[Processes]:
    """A gateway with jobs on disk, and a replica that serves `echo`; calls from here go there."""
    entry = FunctionEntry("echo", Path(__file__).name, "echo", FunctionKind.ASYNC_FUNCTION)
    served = ServedFunctions("echoing", "jobs", Path(__file__).resolve().parent, [entry], SLOTS)
    with standing(folder, [served], KEY) as stand:
        os.environ["FLASHCORE_GATEWAY_URL"] = stand.url
        os.environ[sealed.KEY_VARIABLE] = KEY
        yield Processes(stand.gateway_pid, stand.replica_pids[0])


def call_in_turn(seconds: float) -> tuple[float, list[float]]:
    """Calls a second, one after the other, and how long each took."""
    argument = PAYLOAD.decode()
    times = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        echo.remote(argument)
        times.append(time.perf_counter() - began)
    return len(times) / sum(times), times


async def call_at_once(callers: int, seconds: float) -> tuple[float, list[float]]:
    """Calls a second, so many at a time, and how long each took."""
    argument = PAYLOAD.decode()
    times = []
    began = time.perf_counter()

    async def call_on() -> None:
        while (sent := time.perf_counter()) < began + seconds:
            await echo(argument)
            times.append(time.perf_counter() - sent)

    await asyncio.gather(*(call_on() for _ in range(callers)))
    return len(times) / (time.perf_counter() - began), times


# -- limits ------------------------------------------------------------------------------------------------------------


def ping_pong(seconds: float) -> Sample:
    """1 KB there and back over a Unix socket, between two processes, one at a time."""
    mine, other = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        mine.close()
        while data := other.recv(4096):
            other.sendall(data)
        os._exit(0)
    other.close()
    times = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        mine.sendall(PAYLOAD)
        received = 0
        while received < len(PAYLOAD):
            received += len(mine.recv(4096))
        times.append(time.perf_counter() - began)
    mine.close()
    os.waitpid(pid, 0)
    return _sample(len(times) / sum(times), times)


def inserts(folder: Path, batch: int, seconds: float) -> Sample:
    """Rows of 1 KB into SQLite with WAL and a sync for each transaction of `batch` rows."""
    path = folder / f"inserts-{batch}-{time.monotonic_ns()}.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=full")
        connection.execute("create table jobs (id integer primary key, body blob)")
        times = []
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            connection.execute("begin")
            connection.executemany("insert into jobs (body) values (?)", [(PAYLOAD,)] * batch)
            connection.execute("commit")
            times.append(time.perf_counter() - began)
    return _sample(len(times) * batch / sum(times), times)


def _sample(rate: float, times: list[float], *costs: float) -> Sample:
    ordered = sorted(times)
    return Sample(rate, 1e6 * statistics.median(ordered), 1e6 * ordered[int(0.99 * (len(ordered) - 1))], *costs)


# -- all of it ---------------------------------------------------------------------------------------------------------


def measure(rounds: int, seconds: float, callers: int, folder: Path) -> dict[str, list[Sample]]:
    """Samples by name, all candidates in turns."""
    found: dict[str, list[Sample]] = {}
    with contextlib.ExitStack() as stack:
        disk = Layout(folder / "disk", "bench")
        memory = Layout(folder / "memory", "bench")
        served = [
            stack.enter_context(gateway("jobs on disk", f"sqlite:///{disk.jobs_db}", disk)),
            stack.enter_context(gateway("jobs in memory", "memory:", memory)),
        ]
        (folder / "called").mkdir()
        processes = stack.enter_context(called(folder / "called"))
        for one in served:
            one.drive(callers, 0.3)
        call_in_turn(0.3)
        for _ in range(rounds):
            found.setdefault("limit: ping-pong over a Unix socket", []).append(ping_pong(seconds / 4))
            found.setdefault("limit: SQLite insert, synced singly", []).append(inserts(folder, 1, seconds / 4))
            found.setdefault("limit: SQLite insert, synced by 50", []).append(inserts(folder, 50, seconds / 4))
            for one in served:
                for how, driven in (("over HTTP", one.drive), ("over a link", one.drive_link)):
                    for many in (1, callers):
                        sample = one.processes.sample(partial(driven, many, seconds))
                        found.setdefault(f"{one.name}, {many} {how}", []).append(sample)
            by_client = processes.sample(partial(call_in_turn, seconds))
            found.setdefault("jobs on disk, 1 by our client", []).append(by_client)
            at_once = processes.sample(lambda: uvloop.run(call_at_once(callers, seconds)))
            found.setdefault(f"jobs on disk, {callers} by our client", []).append(at_once)
    return found


def main() -> None:
    """Measure, and print the medians of all rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--callers", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fc-bench-") as folder:
        found = measure(given.rounds, given.seconds, given.callers, Path(folder))
    fields = ("rate", "p50", "p99", "driver", "gateway", "worker")
    print(f"{'':40}{'jobs/s':>9}{'p50 us':>9}{'p99 us':>9}   CPU us: driver, gateway, worker")
    for name, samples in sorted(found.items()):
        rate, p50, p99, *costs = (statistics.median(getattr(sample, field) for sample in samples) for field in fields)
        shown = "".join(f"{cost:9,.0f}" for cost in costs) if any(costs) else ""
        print(f"{name:40}{rate:9,.0f}{p50:9,.0f}{p99:9,.0f}{shown}")


if __name__ == "__main__":
    main()
