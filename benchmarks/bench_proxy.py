"""What one proxied request costs: a small GET through the gateway, beside its peers and its limit.

The gateway is whole: table, policy (of two at random the less busy), circuits, metrics, tokens, request ids, forwarded
headers, traces and limits; that each of them is on is looked at before anything is measured. Its peers do as much as
they can of it: request ids, forwarded headers, the same choice where they have one, and a look at the token. Each proxy
is one process, pinned to one core of this machine; the load and the answering server are on the others. All candidates
take turns in one run, so that a busy neighbour hits all of them; ratios are medians of those of single rounds. The
limit is the answering server without any proxy. nginx, HAProxy and wrk take part where they are installed; without wrk
the load is an open loop of our own at a fixed rate, without nginx the answers come from a minimal server of our own.
With wrk there is a second table, in which no two requests have the same head. What a proxy adds to a request's time is
taken at a low rate, as medians of short rounds, and where the system allows it ahead of all else on the machine. In
the end each figure that is asked of the gateway stands beside its limit.

    python benchmarks/bench_proxy.py [--rounds 5] [--seconds 1] [--connections 64]
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import psutil
import uvloop

from flashcore.builtin.memory_state import MemoryStores
from flashcore.builtin.p2c import PowerOfTwoChoices
from flashcore.gateway.accessfile import keep_tokens
from flashcore.gateway.assembly import Gateway
from flashcore.gateway.buffers import keep_buffers
from flashcore.gateway.collecting import collect_seldom
from flashcore.gateway.security import Security
from flashcore.gateway.settings import Settings
from flashcore.hookspecs.routing import RoutingPolicy
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, ReplicaRoute, RoutingTable, SideRoute
from flashcore.model.token import Token, TokenScope, new_token

BODY = b"hello, world\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
OPEN_LOOP_RATE = 2_000
CALM_RATE = 100
IDLE_CONNECTIONS = 10_000
LARGE_BODY = 100_000_000
CALM_ROUNDS, CALM_SECONDS = 10, 2
PRIVATE, PUBLIC, MIRROR = "/web/", "/open/", "/mirror/"
"""Paths of the gateway's endpoints; the last one's replica answers with the head that it was sent."""
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
"""Each request is part of a trace, as those of a traced client are: the gateway looks whether it is one."""
UNLIKE = """
local number = 0
request = function()
  number = number + 1
  return wrk.format(nil, wrk.path .. "?n=" .. number, {
    ["x-n"] = number,
    ["authorization"] = "Bearer %s",
    ["traceparent"] = string.format("00-%%032x-%%016x-01", number, number),
  })
end
"""
CPU_LIMIT, SECOND_LIMIT, LATENCY_LIMIT = 1.8, 1.1, 3.0
"""CPU of HAProxy's, CPU of one process alone, and latency of nginx's, that the gateway may take."""

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
    token: str
    path: str = PRIVATE

    @property
    def request(self) -> bytes:
        """What our own clients send."""
        authorization = f"authorization: Bearer {self.token}"
        return f"GET {self.path} HTTP/1.1\r\nhost: bench\r\n{authorization}\r\ntraceparent: {TRACE}\r\n\r\n".encode()


Load: TypeAlias = Callable[[Candidate, float, int], tuple[int, float, float, float]]
"""From candidate, seconds and connections to requests, seconds, p50 and p99."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure that is asked of the gateway; None where a peer is missing."""

    what: str
    measured: float | None
    limit: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What one turn of one candidate came to; times in microseconds."""

    requests_per_second: float
    cpu: float
    p50: float
    p99: float


# -- what runs in processes of its own -------------------------------------------------------------------------------


async def serve_gateway(port: int, backend: int, mirror: int, folder: Path) -> None:
    """A gateway before two replicas of a private and of a public endpoint and before a mirror, until killed.

    Its process is set up as the gateway's own is.
    """
    keep_buffers()
    jobs = await MemoryStores().open_jobs("memory:")
    gateway = Gateway(Layout(folder, "bench"), jobs, _OnePolicy(), Settings(), security=Security(auth=True))
    await gateway.start()
    routes = (_route("web", backend), _route("open", backend, public=True), _route("mirror", mirror))
    gateway.live.apply(RoutingTable(1, routes))
    await gateway.http.listen("127.0.0.1", port)
    collect_seldom()
    await asyncio.Event().wait()


def _route(name: str, backend: int, *, public: bool = False) -> EndpointRoute:
    replicas = tuple(
        ReplicaRoute(ReplicaId(one), InstanceId("i1"), f"tcp:127.0.0.1:{backend}", 1000) for one in ("one", "two")
    )
    side = SideRoute(RevisionId("r" * 64), None, replicas)
    return EndpointRoute(
        EndpointName(name), "http", (side,), PartRef("p2c"),
        execution_timeout=60.0, ttl=60.0, result_retention=60.0, max_attempts=2, public=public,
    )  # fmt: skip


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


class _Mirror(_Answerer):
    def data_received(self, data: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(data)
        self._transport.write(head + data)  # type: ignore[attr-defined]  # a Transport, by contract


async def serve_answers(port: int) -> None:
    """A server that always answers the same, until killed: the limit where nginx is not installed."""
    await asyncio.get_running_loop().create_server(_Answerer, "127.0.0.1", port)
    await asyncio.Event().wait()


async def serve_mirror(port: int) -> None:
    """A server that answers with what it was sent, until killed."""
    await asyncio.get_running_loop().create_server(_Mirror, "127.0.0.1", port)
    await asyncio.Event().wait()


# -- the load --------------------------------------------------------------------------------------------------------


def wrk_load(candidate: Candidate, seconds: float, connections: int) -> tuple[int, float, float, float]:
    """Requests, seconds, p50 and p99 in microseconds of one closed-loop run of wrk."""
    headers = ["-H", f"Authorization: Bearer {candidate.token}", "-H", f"Traceparent: {TRACE}"]
    return _wrk(headers, candidate, seconds, connections)


def wrk_unlike_load(candidate: Candidate, seconds: float, connections: int) -> tuple[int, float, float, float]:
    """As `wrk_load`, with a head of its own for each request."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(UNLIKE % candidate.token)
        script.flush()
        return _wrk(["-s", script.name], candidate, seconds, connections)


def _wrk(options: list[str], candidate: Candidate, seconds: float, connections: int) -> tuple[int, float, float, float]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *options]
    command.append(f"http://127.0.0.1:{candidate.port}{candidate.path}")
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


def open_loop_load(candidate: Candidate, seconds: float, connections: int) -> tuple[int, float, float, float]:
    """As `wrk_load`, but requests are due at a fixed rate and late ones are measured from when they were due."""
    return uvloop.run(_open_loop(candidate, seconds, connections))


async def _open_loop(candidate: Candidate, seconds: float, connections: int) -> tuple[int, float, float, float]:
    took: list[float] = []
    start = time.perf_counter() + 0.1
    rate = OPEN_LOOP_RATE / connections
    users = (
        _user(candidate, start + at / OPEN_LOOP_RATE, rate, int(seconds * rate), took) for at in range(connections)
    )
    await asyncio.gather(*users)
    cuts = statistics.quantiles(took, n=100)
    return len(took), time.perf_counter() - start, cuts[49] * 1e6, cuts[98] * 1e6


async def _user(candidate: Candidate, start: float, rate: float, count: int, took: list[float]) -> None:
    """Ask so often; a request that is late because the one before it took too long counts from when it was due."""
    reader, writer = await asyncio.open_connection("127.0.0.1", candidate.port)
    for number in range(count):
        at = start + number / rate
        if (wait := at - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
            at = time.perf_counter()
        writer.write(candidate.request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        await reader.readexactly(len(BODY))
        took.append(time.perf_counter() - at)
    writer.close()


async def _calm(candidates: list[Candidate], seconds: float) -> dict[str, list[float]]:
    """Seconds that requests took at 100 a second to each candidate, all of them at the same time."""
    took: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    start = time.perf_counter() + 0.1
    step, count = 1 / CALM_RATE / len(candidates), int(seconds * CALM_RATE)
    users = (_user(one, start + at * step, CALM_RATE, count, took[one.name]) for at, one in enumerate(candidates))
    await asyncio.gather(*users)
    return took


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


def commands(folder: Path, backend: int, token: str) -> dict[str, tuple[list[str], int]]:
    """Command and port of every peer that can be started here."""
    found = {}
    if nginx := shutil.which("nginx"):
        passes_on = NGINX_PASSES_ON.format(token=token)
        found["nginx"] = (nginx_command(nginx, folder, port := free_port(), backend, passes_on), port)
    if haproxy := shutil.which("haproxy"):
        config = folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=(port := free_port()), backend=backend, token=token))
        found["haproxy"] = ([haproxy, "-f", str(config), "-db", "-q"], port)
    return found


def own(what: str, *arguments: object) -> list[str]:
    """This file as a process that serves `what`."""
    return [sys.executable, __file__, f"--serve-{what}", *map(str, arguments)]


def gateway_command(folder: Path, kept: Token, backend: int, mirror: int) -> tuple[list[str], int]:
    """Command and port of a gateway that knows this token."""
    port = free_port()
    layout = Layout(folder / f"gateway-{port}", "bench")
    layout.home.mkdir(parents=True)
    keep_tokens(layout.access_file, (kept,))
    return own("gateway", port, backend, mirror, layout.root), port


def nginx_command(nginx: str, folder: Path, port: int, backend: int, location: str) -> list[str]:
    """How to start an nginx of one process on `port`."""
    config = folder / f"nginx-{port}.conf"
    config.write_text(NGINX.format(folder=folder, port=port, backend=backend, location=location))
    return [nginx, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]


def measure(candidate: Candidate, load: Load, seconds: float, connections: int) -> Sample:
    """One turn of one candidate."""
    process = psutil.Process(candidate.pid) if candidate.pid is not None else None
    before = process.cpu_times() if process else None
    requests, took, p50, p99 = load(candidate, seconds, connections)
    cpu = 0.0
    if process and before:
        after = process.cpu_times()
        cpu = (after.user + after.system - before.user - before.system) / requests * 1e6
    return Sample(requests / took, cpu, p50, p99)


def compare(
    title: str, candidates: list[Candidate], load: Load, rounds: int, seconds: float, connections: int
) -> float | None:
    """Let all take turns, print the medians; the gateway's CPU as a ratio to HAProxy's, the median of all rounds."""
    samples: dict[str, list[Sample]] = {candidate.name: [] for candidate in candidates}
    for candidate in candidates:
        measure(candidate, load, 1, connections)  # connections are opened, code is warm
    for _ in range(rounds):
        for candidate in candidates:
            samples[candidate.name].append(measure(candidate, load, seconds, connections))
    print(f"\n{title}, medians of {rounds} turns of {seconds:g} s")
    show(samples)
    return median_ratio(samples["flashcore"], samples["haproxy"]) if "haproxy" in samples else None


def median_ratio(ours: list[Sample], theirs: list[Sample]) -> float:
    """The median of the rounds' ratios of CPU: a busy neighbour is there for both, or spoils one round of many."""
    return statistics.median(one.cpu / other.cpu for one, other in zip(ours, theirs, strict=True))


def compare_processes(pair: tuple[Candidate, Candidate], load: Load, rounds: int, seconds: float) -> float:
    """CPU per request of a gateway process while a second one works, as a ratio to that of one alone."""
    alone, together = [], []
    for _ in range(rounds):
        alone.append(measure(pair[0], load, seconds, 32).cpu)
        with ThreadPoolExecutor(2) as threads:
            both = [threads.submit(measure, one, load, seconds, 32) for one in pair]
            together.append(statistics.mean(one.result().cpu for one in both))
    one, two = statistics.median(alone), statistics.median(together)
    print(f"\none gateway process {one:.1f} us a request, two at once {two:.1f} us each")
    return statistics.median(many / single for many, single in zip(together, alone, strict=True))


def show_added_latency(candidates: list[Candidate], processes: list[int]) -> tuple[float | None, float | None]:
    """What each proxy adds to a request's time while there is little to do; p50 and p99 as ratios to nginx's.

    All are asked at the same time, in many short rounds, each in another order; what counts of each figure is its
    median over the rounds, for all alike. `processes` are all that take part.
    """
    with ahead_of_others(processes) as is_ahead:
        rounds = [_calm_round(candidates, number) for number in range(CALM_ROUNDS)]
    middle = {
        one.name: [statistics.median(each[one.name][at] for each in rounds) * 1e6 for at in (49, 98)]
        for one in candidates
    }
    direct = middle.pop("direct")
    added = {name: (p50 - direct[0], p99 - direct[1]) for name, (p50, p99) in middle.items()}
    print(
        f"\nadded to a request's time at {CALM_RATE} requests/s to each, in us: medians of {CALM_ROUNDS} rounds of",
        end="",
    )
    print(f" {CALM_SECONDS} s,", "ahead of all else on the machine" if is_ahead else "beside all else on the machine")
    print(f"{'direct':12} p50 {direct[0]:7.0f}   p99 {direct[1]:7.0f}   (the whole)")
    for name, (p50, p99) in added.items():
        print(f"{name:12} p50 {p50:7.0f}   p99 {p99:7.0f}")
    if "nginx" not in added:
        return None, None
    ours, theirs = added["flashcore"], added["nginx"]
    return ours[0] / theirs[0], ours[1] / theirs[1]


def _calm_round(candidates: list[Candidate], number: int) -> dict[str, list[float]]:
    """The hundredths of the seconds that requests took to each candidate."""
    first = number % len(candidates)
    took = uvloop.run(_calm(candidates[first:] + candidates[:first], CALM_SECONDS))
    return {name: statistics.quantiles(each, n=100) for name, each in took.items()}


@contextlib.contextmanager
def ahead_of_others(processes: list[int]) -> Iterator[bool]:
    """Let these and this one run before anything else that wants the processor; yields whether the system allows it.

    They are idle nine tenths of the time. Without it, a tail of latencies shows what else runs on the machine.
    """
    try:
        for pid in (0, *processes):
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
        yield True
    except PermissionError:
        yield False
    finally:
        for pid in (0, *processes):
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def ask(port: int, head: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(head.encode() + b"\r\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
    first, _, body = answer.decode("latin-1").partition("\r\n\r\n")
    line, *lines = first.split("\r\n")
    return int(line.split()[1]), dict(each.lower().split(": ", 1) for each in lines), body


def check_what_is_on(port: int, token: str) -> None:
    """That the gateway does what it is measured with. Raises RuntimeError where something of it is off."""
    bearer, end = f"Authorization: Bearer {token}\r\n", "Connection: close\r\n"
    get = f"GET {MIRROR} HTTP/1.1\r\nHost: bench\r\n{end}"
    status, headers, seen = ask(port, get + bearer + f"Traceparent: {TRACE}\r\n")
    sent = dict(line.lower().split(": ", 1) for line in seen.split("\r\n")[1:-2])
    replicas = {ask(port, get + bearer)[1].get("x-flashcore-replica") for _ in range(20)}
    numbers = ask(port, f"GET /metrics HTTP/1.1\r\nHost: bench\r\n{end}{bearer}")[2]
    found = {
        "auth": ask(port, get)[0] == 401
        and ask(port, get + bearer.replace(token[-4:], "0000"))[0] == 401
        and ask(port, get.replace(MIRROR, PUBLIC))[0] == 200
        and status == 200
        and "authorization" not in sent,
        "request id": len(headers["x-request-id"]) == 32 and sent["x-request-id"] == headers["x-request-id"],
        "trace": sent["traceparent"] == TRACE,
        "forwarded headers": sent["x-forwarded-for"] == "127.0.0.1" and sent["x-forwarded-host"] == "bench",
        "instance check": sent["x-flashcore-instance"] == "i1",
        "policy": replicas == {"one", "two"},
        "metrics": 'endpoint="mirror"' in numbers.partition("\nflashcore_requests_total{")[2].partition("\n#")[0],
        "limits": ask(port, get + bearer + f"X-Long: {'x' * 70_000}\r\n")[0] == 431,
    }
    print("on while measured:", ", ".join(name for name, is_on in found.items() if is_on))
    if off := [name for name, is_on in found.items() if not is_on]:
        raise RuntimeError(f"off, though they are to be measured: {', '.join(off)}\n{headers}\n{seen}\n{numbers}")


def show_verdicts(verdicts: list[Verdict]) -> bool:
    """Each figure beside its limit; whether all that were measured are within."""
    print(f"\n{'asked of the gateway':62}{'measured':>9}{'limit':>8}")
    for one in verdicts:
        measured = "-" if one.measured is None else f"{one.measured:.2f}"
        word = "a peer is missing" if one.measured is None else "met" if one.measured <= one.limit else "missed"
        print(f"{one.what:62}{measured:>9}{one.limit:8.2f}  {word}")
    return all(one.measured is None or one.measured <= one.limit for one in verdicts)


def show_memory(gateway: Candidate) -> None:
    """What idle connections and large bodies cost the gateway."""
    process = psutil.Process(gateway.pid)
    base = peak = process.memory_info().rss
    with socket.create_connection(("127.0.0.1", gateway.port)) as sender:
        length = f"content-length: {LARGE_BODY}\r\n\r\n".encode()
        sender.sendall(gateway.request.replace(b"GET", b"POST")[:-2] + length)
        for _ in range(LARGE_BODY // 1_000_000):
            sender.sendall(bytes(1_000_000))
            peak = max(peak, process.memory_info().rss)
        sender.recv(4096)
    print(f"\na body of {LARGE_BODY / 1e6:.0f} MB on its way: {(peak - base) / 1e6:.1f} MB at the most")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    before = process.memory_info().rss
    idle = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(IDLE_CONNECTIONS)]
    for each in idle:
        each.sendall(gateway.request)
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


def run(rounds: int, seconds: float, connections: int) -> bool:
    """Start everything, let all take turns; whether the gateway is within all its limits."""
    cores = sorted(os.sched_getaffinity(0))
    proxy_core, other_cores = {cores[0]}, set(cores[1:] or cores)
    os.sched_setaffinity(0, other_cores)
    token, kept = new_token("bench", [TokenScope.CALL, TokenScope.READ], time.time())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fc-")))
        backend, mirror = free_port(), free_port()
        nginx = shutil.which("nginx")
        answers = own("answers", backend)
        if nginx:
            answers = nginx_command(nginx, folder, backend, backend, NGINX_ANSWERS)
        answering = stack.enter_context(started(answers, backend, other_cores))
        stack.enter_context(started(own("mirror", mirror), mirror, other_cores))

        def start(name: str, command: list[str], port: int) -> Candidate:
            return Candidate(name, port, stack.enter_context(started(command, port, proxy_core)), token)

        gateway = start("flashcore", *gateway_command(folder, kept, backend, mirror))
        check_what_is_on(gateway.port, token)
        peers = [start(name, *each) for name, each in commands(folder, backend, token).items()]
        candidates = [Candidate("direct", backend, None, token), gateway, *peers]
        second = start("second", *gateway_command(folder, kept, backend, mirror))
        verdicts = compare_cpu(candidates, rounds, seconds, connections)
        load: Load = wrk_load if shutil.which("wrk") else open_loop_load
        ratio = compare_processes((gateway, second), load, rounds, seconds)
        verdicts.append(Verdict("CPU with a second process at work / of one alone", ratio, SECOND_LIMIT))
        p50, p99 = show_added_latency(candidates, [answering, *(one.pid for one in candidates if one.pid is not None)])
        verdicts.append(Verdict(f"p50 added at {CALM_RATE} requests/s / nginx's", p50, LATENCY_LIMIT))
        verdicts.append(Verdict(f"p99 added at {CALM_RATE} requests/s / nginx's", p99, LATENCY_LIMIT))
        show_memory(gateway)
        return show_verdicts(verdicts)


def compare_cpu(candidates: list[Candidate], rounds: int, seconds: float, connections: int) -> list[Verdict]:
    """The tables of CPU per request: the endpoint that wants the token, and the one that is public."""
    public = [replace(one, name="public", path=PUBLIC) for one in candidates if one.name == "flashcore"]
    title = f"small GET, {connections} connections"
    if not shutil.which("wrk"):
        each = f"{title}, {OPEN_LOOP_RATE} requests/s"
        ratio = compare(each, candidates + public, open_loop_load, rounds, seconds, connections)
        return [Verdict(f"CPU of a GET at {OPEN_LOOP_RATE} requests/s / HAProxy's", ratio, CPU_LIMIT)]
    alike = compare(f"{title}, load by wrk", candidates + public, wrk_load, rounds, seconds, connections)
    unlike_title = f"{title}, no two heads alike"
    unlike = compare(unlike_title, candidates + public, wrk_unlike_load, rounds, seconds, connections)
    return [
        Verdict("CPU of a GET whose head comes again and again / HAProxy's", alike, CPU_LIMIT),
        Verdict("CPU of a GET where no two heads are alike / HAProxy's", unlike, CPU_LIMIT),
    ]


def main() -> None:
    """Read the arguments; without any, the whole run takes about two minutes. Ends with 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1, help="of each turn")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--serve-gateway", nargs=4, help=argparse.SUPPRESS)  # PORT BACKEND MIRROR FOLDER
    parser.add_argument("--serve-answers", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--serve-mirror", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_gateway:
        port, backend, mirror, folder = arguments.serve_gateway
        uvloop.run(serve_gateway(int(port), int(backend), int(mirror), Path(folder)))
    elif arguments.serve_answers:
        uvloop.run(serve_answers(arguments.serve_answers))
    elif arguments.serve_mirror:
        uvloop.run(serve_mirror(arguments.serve_mirror))
    elif not run(arguments.rounds, arguments.seconds, arguments.connections):
        sys.exit(1)


if __name__ == "__main__":
    main()
