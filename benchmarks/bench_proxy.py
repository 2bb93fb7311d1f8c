"""What one proxied request costs: a small GET through the gateway's HTTP engine, beside its peers and its limit.

Everything is on this machine; each proxy is one process, pinned to one core; the load and the answering server are on
the others. All candidates take turns in one run, so that a busy neighbour hits all of them. The limit is the answering
server without any proxy. nginx, HAProxy and wrk take part where they are installed; without wrk the load is an open
loop of our own at a fixed rate, without nginx the answers come from a minimal server of our own.

    python benchmarks/bench_proxy.py [--rounds 3] [--seconds 1.5] [--connections 64]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvloop

from flashcore.gateway.http.errors import Outcome
from flashcore.gateway.http.forward import add_headers
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.route import Proxy, TcpAddress, Upstream
from flashcore.gateway.http.server import HttpServer

BODY = b"hello, world\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
OPEN_LOOP_RATE = 2_000

NGINX = """
daemon off; master_process off; pid {folder}/nginx-{port}.pid; error_log {folder}/error.log crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 128; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ {location} }} }}
}}
"""
NGINX_ANSWERS = 'default_type text/plain; return 200 "hello, world\\n";'
NGINX_PASSES_ON = (
    'proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";'
    "proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-Id $request_id;"
)
HAPROXY = """
global
  nbthread 1
  maxconn 1024
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option forwardfor
  unique-id-format %[uuid]
  unique-id-header X-Request-Id
frontend in
  bind 127.0.0.1:{port}
  default_backend out
backend out
  server one 127.0.0.1:{backend}
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way from the load to the answer; `pid` is the proxy's, or nothing where there is no proxy."""

    name: str
    port: int
    pid: int | None


@dataclass(frozen=True, slots=True)
class Sample:
    """What one turn of one candidate came to; times in microseconds."""

    requests_per_second: float
    cpu: float
    p50: float
    p99: float


# -- what runs in processes of its own -------------------------------------------------------------------------------


class _OneReplica:
    """Dispatcher and route at once: every request goes to the same replica, counted as in flight."""

    def __init__(self, port: int) -> None:
        self._address = TcpAddress("127.0.0.1", port)
        self._proxy = Proxy(self)
        self._in_flight = 0
        self._request_headers = add_headers((b"x-flashcore-instance", b"0123456789abcdef"))
        self._answer_headers = add_headers((b"x-flashcore-replica", b"one"))

    def dispatch(self, head: RequestHead, peer: str) -> Proxy:  # noqa: ARG002 - the Dispatcher's signature
        """The only route there is."""
        return self._proxy

    def choose(self, tried: frozenset[str]) -> Upstream:  # noqa: ARG002 - the Route's signature
        """The only replica there is."""
        self._in_flight += 1
        return Upstream("one", self._address, self._release, self._request_headers, self._answer_headers)

    def has_another(self, tried: frozenset[str]) -> bool:  # noqa: ARG002 - the Route's signature
        """There is one replica."""
        return False

    def on_outcome(self, upstream: Upstream, outcome: Outcome, latency: float) -> None:
        """Nobody asks here."""

    def _release(self) -> None:
        self._in_flight -= 1


async def serve_engine(port: int, backend: int) -> None:
    """The gateway's HTTP engine in front of one replica, until killed."""
    server = HttpServer(_OneReplica(backend))
    await server.listen("127.0.0.1", port)
    await asyncio.Event().wait()


class _Answerer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]  # a Transport, by contract


async def serve_answers(port: int) -> None:
    """A server that always answers the same, until killed: the limit where nginx is not installed."""
    await asyncio.get_running_loop().create_server(_Answerer, "127.0.0.1", port)
    await asyncio.Event().wait()


# -- the load --------------------------------------------------------------------------------------------------------


def wrk_load(port: int, seconds: float, connections: int) -> tuple[int, float, float, float]:
    """Requests, seconds, p50 and p99 in microseconds of one closed-loop run of wrk."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}/"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    total = re.search(r"(\d+) requests in ([\d.]+)(ms|s)", text)
    # The lines of the latency distribution; "99%" also stands elsewhere.
    p50, p99 = (re.search(rf"^ +{share}% +(\S+)$", text, re.MULTILINE) for share in (50, 99))
    if total is None or p50 is None or p99 is None or "Non-2xx" in text:
        raise RuntimeError(f"wrk said something unexpected:\n{text}")
    took = float(total[2]) * {"ms": 0.001, "s": 1.0}[total[3]]
    return int(total[1]), took, _microseconds(p50[1]), _microseconds(p99[1])


def _microseconds(text: str) -> float:
    for unit, factor in (("us", 1.0), ("ms", 1e3), ("s", 1e6)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


def open_loop_load(port: int, seconds: float, connections: int) -> tuple[int, float, float, float]:
    """As `wrk_load`, but requests are due at a fixed rate and late ones are measured from when they were due."""
    return uvloop.run(_open_loop(port, seconds, connections))


async def _open_loop(port: int, seconds: float, connections: int) -> tuple[int, float, float, float]:
    took: list[float] = []
    due: asyncio.Queue[float] = asyncio.Queue()
    users = [asyncio.create_task(_user(port, due, took)) for _ in range(connections)]
    start = time.perf_counter()
    for number in range(int(seconds * OPEN_LOOP_RATE)):
        at = start + number / OPEN_LOOP_RATE
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        due.put_nowait(at)
    await due.join()
    elapsed = time.perf_counter() - start
    for user in users:
        user.cancel()
    await asyncio.gather(*users, return_exceptions=True)
    cuts = statistics.quantiles(took, n=100)
    return len(took), elapsed, cuts[49] * 1e6, cuts[98] * 1e6


async def _user(port: int, due: asyncio.Queue[float], took: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        at = await due.get()
        writer.write(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        await reader.readexactly(len(BODY))
        took.append(time.perf_counter() - at)
        due.task_done()


# -- the run ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(command: list[str], port: int, cores: set[int]) -> Iterator[int]:
    """A process pinned to `cores` that answers on `port`; yields its pid."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        os.sched_setaffinity(process.pid, cores)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not listen on {port} (exit code {process.poll()})")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def commands(folder: Path, backend: int) -> dict[str, tuple[list[str], int]]:
    """Command and port of every proxy that can be started here."""
    found = {"flashcore": ([sys.executable, __file__, "--serve-engine", str(port := free_port()), str(backend)], port)}
    if nginx := shutil.which("nginx"):
        found["nginx"] = (nginx_command(nginx, folder, port := free_port(), backend, NGINX_PASSES_ON), port)
    if haproxy := shutil.which("haproxy"):
        config = folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=(port := free_port()), backend=backend))
        found["haproxy"] = ([haproxy, "-f", str(config), "-db", "-q"], port)
    return found


def nginx_command(nginx: str, folder: Path, port: int, backend: int, location: str) -> list[str]:
    """How to start an nginx of one process on `port`."""
    config = folder / f"nginx-{port}.conf"
    config.write_text(NGINX.format(folder=folder, port=port, backend=backend, location=location))
    return [nginx, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]


def measure(candidate: Candidate, seconds: float, connections: int) -> Sample:
    """One turn of one candidate."""
    load = wrk_load if shutil.which("wrk") else open_loop_load
    process = psutil.Process(candidate.pid) if candidate.pid is not None else None
    before = process.cpu_times() if process else None
    requests, took, p50, p99 = load(candidate.port, seconds, connections)
    cpu = 0.0
    if process and before:
        after = process.cpu_times()
        cpu = (after.user + after.system - before.user - before.system) / requests * 1e6
    return Sample(requests / took, cpu, p50, p99)


def show(samples: dict[str, list[Sample]]) -> None:
    """The medians, and each as a ratio to the limit and to every peer."""
    medians = {
        name: Sample(*(statistics.median(column) for column in zip(*map(_row, taken), strict=True)))
        for name, taken in samples.items()
    }
    peers = [name for name in ("nginx", "haproxy") if name in medians]
    print(f"{'':12}{'req/s':>9}{'/ direct':>10}{'p50 us':>9}{'p99 us':>9}{'CPU us/req':>12}", end="")
    print("".join(f"{'/ ' + peer:>11}" for peer in peers))
    for name, sample in medians.items():
        ratio = sample.requests_per_second / medians["direct"].requests_per_second
        print(f"{name:12}{sample.requests_per_second:9.0f}{ratio:10.2f}{sample.p50:9.0f}{sample.p99:9.0f}", end="")
        print(f"{sample.cpu:12.1f}" if sample.cpu else f"{'-':>12}", end="")
        print("".join(f"{sample.cpu / medians[peer].cpu:11.2f}" if sample.cpu else f"{'-':>11}" for peer in peers))


def _row(sample: Sample) -> tuple[float, float, float, float]:
    return sample.requests_per_second, sample.cpu, sample.p50, sample.p99


def run(rounds: int, seconds: float, connections: int) -> None:
    """Start everything, let all take turns, print the medians."""
    cores = sorted(os.sched_getaffinity(0))
    proxy_core, other_cores = {cores[0]}, set(cores[1:] or cores)
    os.sched_setaffinity(0, other_cores)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend = free_port()
        nginx = shutil.which("nginx")
        answers = [sys.executable, __file__, "--serve-answers", str(backend)]
        if nginx:
            answers = nginx_command(nginx, folder, backend, backend, NGINX_ANSWERS)
        stack.enter_context(started(answers, backend, other_cores))
        candidates = [Candidate("direct", backend, None)]
        for name, (command, port) in commands(folder, backend).items():
            candidates.append(Candidate(name, port, stack.enter_context(started(command, port, proxy_core))))
        samples: dict[str, list[Sample]] = {candidate.name: [] for candidate in candidates}
        for candidate in candidates:
            measure(candidate, 1, connections)  # connections are opened, code is warm
        for _ in range(rounds):
            for candidate in candidates:
                samples[candidate.name].append(measure(candidate, seconds, connections))
        print(f"small GET, {connections} connections, medians of {rounds} turns of {seconds:g} s, load by ", end="")
        print("wrk" if shutil.which("wrk") else f"an open loop at {OPEN_LOOP_RATE} requests/s")
        show(samples)


def main() -> None:
    """Read the arguments; without any, the whole run takes about 30 seconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each turn")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--serve-engine", nargs=2, type=int, metavar=("PORT", "BACKEND"), help=argparse.SUPPRESS)
    parser.add_argument("--serve-answers", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_engine:
        uvloop.run(serve_engine(*arguments.serve_engine))
    elif arguments.serve_answers:
        uvloop.run(serve_answers(arguments.serve_answers))
    else:
        run(arguments.rounds, arguments.seconds, arguments.connections)


if __name__ == "__main__":
    main()
