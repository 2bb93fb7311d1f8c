"""What one proxied request costs: a small GET through the gateway, beside its peers and its limit.

The gateway is whole: table, policy (of two at random the less busy), circuits, metrics, tokens, request ids, forwarded
headers, traces and limits. Its peers do as much as they can of it: request ids, forwarded headers, the same choice
where they have one, and a look at the token. Each proxy is one process, pinned to one core of this machine; the load
and the answering server are on the others. All candidates take turns in one run, so that a busy neighbour hits all of
them. The limit is the answering server without any proxy. nginx, HAProxy and wrk take part where they are installed;
without wrk the load is an open loop of our own at a fixed rate, without nginx the answers come from a minimal server of
our own. With wrk there is a second table, in which no two requests have the same head.

    python benchmarks/bench_proxy.py [--rounds 3] [--seconds 1.5] [--connections 64]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import psutil
import uvloop

from flashcore.builtin.memory_state import MemoryStores
from flashcore.builtin.p2c import PowerOfTwoChoices
from flashcore.gateway.assembly import Gateway
from flashcore.gateway.security import Security
from flashcore.gateway.settings import Settings
from flashcore.hookspecs.routing import RoutingPolicy
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, ReplicaRoute, RoutingTable, SideRoute

BODY = b"hello, world\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
OPEN_LOOP_RATE = 2_000
CALM_RATE = 100
IDLE_CONNECTIONS = 10_000
LARGE_BODY = 100_000_000
TOKEN = "a-token-of-the-length-that-tokens-have-0123456789abcdef"  # noqa: S105 - made up
PATH = "/web/"
UNLIKE = f"""
local number = 0
request = function()
  number = number + 1
  return wrk.format(nil, wrk.path .. "?n=" .. number, {{["x-n"] = number, ["authorization"] = "Bearer {TOKEN}"}})
end
"""
REQUEST = f"GET {PATH} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode()

NGINX = """
daemon off; master_process off; pid {folder}/nginx-{port}.pid; error_log {folder}/error.log crit;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_max_body_size 1g; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 128; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ {location} }} }}
}}
"""
NGINX_ANSWERS = 'default_type text/plain; return 200 "hello, world\\n";'
NGINX_PASSES_ON = (
    'if ($http_authorization != "Bearer {token}") {{ return 401; }}'
    'proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";'
    'proxy_set_header Authorization ""; proxy_set_header X-Forwarded-Proto http;'
    "proxy_set_header X-Forwarded-Host $host;"
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
  stats enable
  unique-id-format %[uuid]
  unique-id-header X-Request-Id
frontend in
  bind 127.0.0.1:{port}
  http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str "Bearer {token}" }}
  http-request del-header authorization
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend out
backend out
  balance random(2)
  server one 127.0.0.1:{backend} maxconn 1000
  server two 127.0.0.1:{backend} maxconn 1000
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way from the load to the answer; `pid` is the proxy's, or nothing where there is no proxy."""

    name: str
    port: int
    pid: int | None


Load: TypeAlias = Callable[[int, float, int], tuple[int, float, float, float]]
"""From port, seconds and connections to requests, seconds, p50 and p99."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one turn of one candidate came to; times in microseconds."""

    requests_per_second: float
    cpu: float
    p50: float
    p99: float


# -- what runs in processes of its own -------------------------------------------------------------------------------


async def serve_gateway(port: int, backend: int) -> None:
    """A gateway before two replicas of one endpoint, until killed."""
    with tempfile.TemporaryDirectory(prefix="fc-") as folder:
        layout = Layout(Path(folder), "bench")
        layout.home.mkdir(parents=True)
        layout.token.write_text(TOKEN)
        jobs = await MemoryStores().open_jobs("memory:")
        gateway = Gateway(layout, jobs, _OnePolicy(), Settings(), security=Security(auth=True))
        await gateway.start()
        replicas = tuple(
            ReplicaRoute(ReplicaId(name), InstanceId("i1"), f"tcp:127.0.0.1:{backend}", 1000) for name in ("one", "two")
        )
        side = SideRoute(RevisionId("r" * 64), None, replicas)
        route = EndpointRoute(
            EndpointName("web"), "http", (side,), PartRef("p2c"),
            execution_timeout=60.0, ttl=60.0, result_retention=60.0, max_attempts=2,
        )  # fmt: skip
        gateway.live.apply(RoutingTable(1, (route,)))
        await gateway.http.listen("127.0.0.1", port)
        await asyncio.Event().wait()


class _OnePolicy:
    """The routing policies of a registry that has one."""

    def make(self, ref: PartRef) -> RoutingPolicy:  # noqa: ARG002 - the RoutingPolicies' signature
        """A fresh one."""
        return PowerOfTwoChoices()


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
    return _wrk(["-H", f"Authorization: Bearer {TOKEN}"], port, seconds, connections)


def wrk_unlike_load(port: int, seconds: float, connections: int) -> tuple[int, float, float, float]:
    """As `wrk_load`, with a head of its own for each request."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(UNLIKE)
        script.flush()
        return _wrk(["-s", script.name], port, seconds, connections)


def _wrk(options: list[str], port: int, seconds: float, connections: int) -> tuple[int, float, float, float]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *options]
    command.append(f"http://127.0.0.1:{port}{PATH}")
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
    return uvloop.run(_open_loop(port, seconds, connections, OPEN_LOOP_RATE))


def calm_load(port: int, seconds: float, connections: int) -> tuple[int, float, float, float]:  # noqa: ARG001 - a load
    """100 requests a second: what a proxy adds to the time of one, with nobody in its way."""
    return uvloop.run(_open_loop(port, seconds, 4, CALM_RATE))


async def _open_loop(port: int, seconds: float, connections: int, rate: int) -> tuple[int, float, float, float]:
    took: list[float] = []
    due: asyncio.Queue[float] = asyncio.Queue()
    users = [asyncio.create_task(_user(port, due, took)) for _ in range(connections)]
    start = time.perf_counter()
    for number in range(int(seconds * rate)):
        at = start + number / rate
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
        writer.write(REQUEST)
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
    found = {"flashcore": ([sys.executable, __file__, "--serve-gateway", str(port := free_port()), str(backend)], port)}
    if nginx := shutil.which("nginx"):
        found["nginx"] = (
            nginx_command(nginx, folder, port := free_port(), backend, NGINX_PASSES_ON.format(token=TOKEN)),
            port,
        )
    if haproxy := shutil.which("haproxy"):
        config = folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=(port := free_port()), backend=backend, token=TOKEN))
        found["haproxy"] = ([haproxy, "-f", str(config), "-db", "-q"], port)
    return found


def nginx_command(nginx: str, folder: Path, port: int, backend: int, location: str) -> list[str]:
    """How to start an nginx of one process on `port`."""
    config = folder / f"nginx-{port}.conf"
    config.write_text(NGINX.format(folder=folder, port=port, backend=backend, location=location))
    return [nginx, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]


def measure(candidate: Candidate, load: Load, seconds: float, connections: int) -> Sample:
    """One turn of one candidate."""
    process = psutil.Process(candidate.pid) if candidate.pid is not None else None
    before = process.cpu_times() if process else None
    requests, took, p50, p99 = load(candidate.port, seconds, connections)
    cpu = 0.0
    if process and before:
        after = process.cpu_times()
        cpu = (after.user + after.system - before.user - before.system) / requests * 1e6
    return Sample(requests / took, cpu, p50, p99)


def compare(title: str, candidates: list[Candidate], load: Load, rounds: int, seconds: float, connections: int) -> None:
    """Let all take turns, print the medians."""
    samples: dict[str, list[Sample]] = {candidate.name: [] for candidate in candidates}
    for candidate in candidates:
        measure(candidate, load, 1, connections)  # connections are opened, code is warm
    for _ in range(rounds):
        for candidate in candidates:
            samples[candidate.name].append(measure(candidate, load, seconds, connections))
    print(f"\n{title}, medians of {rounds} turns of {seconds:g} s")
    show(samples)


def compare_processes(pair: tuple[Candidate, Candidate], load: Load, rounds: int, seconds: float) -> None:
    """CPU per request of one gateway process, and of two at once."""
    alone, together = [], []
    for _ in range(rounds):
        alone.append(measure(pair[0], load, seconds, 32).cpu)
        with ThreadPoolExecutor(2) as threads:
            both = [threads.submit(measure, one, load, seconds, 32) for one in pair]
            together.append(statistics.mean(one.result().cpu for one in both))
    one, two = statistics.median(alone), statistics.median(together)
    print(f"\none gateway process {one:.1f} us a request, two at once {two:.1f} us each: x {two / one:.2f}")


def show_added_latency(candidates: list[Candidate], rounds: int, seconds: float) -> None:
    """What each proxy adds to a request's time while there is little to do."""
    taken: dict[str, list[Sample]] = {candidate.name: [] for candidate in candidates}
    for _ in range(rounds):
        for candidate in candidates:
            taken[candidate.name].append(measure(candidate, calm_load, seconds, 4))
    medians = {
        name: (statistics.median(one.p50 for one in samples), statistics.median(one.p99 for one in samples))
        for name, samples in taken.items()
    }
    print(f"\nadded to a request's time at {CALM_RATE} requests/s, in us")
    direct = medians.pop("direct")
    for name, (p50, p99) in medians.items():
        print(f"{name:12} p50 {p50 - direct[0]:7.0f}   p99 {p99 - direct[1]:7.0f}")


def show_memory(gateway: Candidate) -> None:
    """What idle connections and large bodies cost the gateway."""
    process = psutil.Process(gateway.pid)
    base = peak = process.memory_info().rss
    with socket.create_connection(("127.0.0.1", gateway.port)) as sender:
        length = f"content-length: {LARGE_BODY}\r\n\r\n".encode()
        sender.sendall(REQUEST.replace(b"GET", b"POST")[:-2] + length)
        for _ in range(LARGE_BODY // 1_000_000):
            sender.sendall(bytes(1_000_000))
            peak = max(peak, process.memory_info().rss)
        sender.recv(4096)
    print(f"\na body of {LARGE_BODY / 1e6:.0f} MB on its way: {(peak - base) / 1e6:.1f} MB at the most")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    before = process.memory_info().rss
    idle = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(IDLE_CONNECTIONS)]
    for each in idle:
        each.sendall(REQUEST)
        each.recv(4096)
    time.sleep(4)
    during = process.memory_info().rss
    for each in idle:
        each.close()
    print(f"{IDLE_CONNECTIONS} idle connections: {(during - before) / IDLE_CONNECTIONS / 1024:.1f} KiB each")


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
    """Start everything, let all take turns."""
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
        command = [sys.executable, __file__, "--serve-gateway", str(port := free_port()), str(backend)]
        second = Candidate("second", port, stack.enter_context(started(command, port, proxy_core)))
        load: Load = wrk_load if shutil.which("wrk") else open_loop_load
        title = f"small GET, {connections} connections"
        if shutil.which("wrk"):
            compare(f"{title}, load by wrk", candidates, load, rounds, seconds, connections)
            compare(f"{title}, no two heads alike", candidates, wrk_unlike_load, rounds, seconds, connections)
        else:
            compare(f"{title}, {OPEN_LOOP_RATE} requests/s", candidates, load, rounds, seconds, connections)
        compare_processes((candidates[1], second), load, rounds, seconds)
        show_added_latency(candidates, rounds, seconds)
        show_memory(candidates[1])


def main() -> None:
    """Read the arguments; without any, the whole run takes about a minute and a half."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each turn")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--serve-gateway", nargs=2, type=int, metavar=("PORT", "BACKEND"), help=argparse.SUPPRESS)
    parser.add_argument("--serve-answers", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_gateway:
        uvloop.run(serve_gateway(*arguments.serve_gateway))
    elif arguments.serve_answers:
        uvloop.run(serve_answers(arguments.serve_answers))
    else:
        run(arguments.rounds, arguments.seconds, arguments.connections)


if __name__ == "__main__":
    main()
