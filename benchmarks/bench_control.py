"""What one controller costs at rest, how soon it acts, and how that grows with the number of deployments.

    python benchmarks/bench_control.py [--deployments 200,2000] [--replicas 10] [--seconds 15] [--link | --real]

The controller is the real one, in real time, over a store, a provider and a gateway in memory, so that what is measured
is the controller. Every replica is probed at its ordinary interval of 10 seconds: 2,000 deployments of 10 replicas give
2,000 reports a second. At rest nothing may be written but the lease. Then, with the reports still coming in, one
deployment after the other is scaled; what counts is the time from the call to the provider's being told.

The limit is what the reports alone cost: as many sleeping tasks, each of which asks a probe every 10 seconds.

`--link` measures what gateways are told: the controller's publisher, the socket, and a gateway's process behind it;
half of the endpoints are queues, half answer HTTP. What both ends cost at rest, then the cost of one changed route:
bytes sent, CPU of both processes, time until the gateway said that it serves by it. The limit is to write the changed
route as JSON, and nothing else. And what it costs to find the one deployment that waits for a gateway's ack.

`--real` measures on the platform, with processes: from the commit that begins an update to the first answer of the new
revision, with three replicas and an app that starts at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flashcore.builtin.memory_state import MemoryState
from flashcore.cli.connecting import connect_running
from flashcore.control.controller import Controller
from flashcore.control.isolation import Direct
from flashcore.control.kinds import KINDS
from flashcore.control.link import SocketDataPlane
from flashcore.control.listening import Listening
from flashcore.control.publishing import Publisher
from flashcore.control.store import Ledger
from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget
from flashcore.hookspecs.providers import Hints
from flashcore.hookspecs.resources import Ingress
from flashcore.hookspecs.state import Batch, Page, StateBackend, Transaction
from flashcore.model.codec import to_json
from flashcore.model.layout import Layout
from flashcore.model.manifest import Manifest
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.revision import Revision
from flashcore.model.table import EndpointRoute, ReplicaRoute, SideRoute
from flashcore.settings import open_project
from flashcore.testing.dataplane import TwinDataPlane, TwinGateway
from flashcore.testing.parts import PartTables
from flashcore.testing.project import ProjectUnderTest
from flashcore.testing.simulated_provider import Life, SimulatedProvider
from flashcore.testing.simulation import SCOPE, EveryArtifact, entry
from flashcore.wire.news import News

SHARE_WANTED, SECONDS_WANTED, TRAFFIC_WANTED = 0.30, 0.100, 1.0
CHANGES = 200
LINK_CHANGES = 100
APP = """
    from flashcore import LoadBalancedEndpoint

    web = LoadBalancedEndpoint("web", replicas=3, strategy="rolling")


    @web.get("/version")
    async def version() -> int:
        return {version}
"""


class Clock:
    """Real time."""

    def __call__(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def sleep_until(self, when: float) -> None:
        """Return at that time."""
        await asyncio.sleep(max(0.0, when - time.time()))


class Well:
    """A probe that finds everybody well, after a moment."""

    def __init__(self) -> None:
        self.asked = 0

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:  # noqa: ARG002  # all are well
        """See Probe."""
        self.asked += 1
        await asyncio.sleep(0)
        return Finding(Answer.OK)


class NotingProvider(SimulatedProvider):
    """Notes when it is told something."""

    told_at = 0.0

    async def apply(self, revision: Revision, want: frozenset[ReplicaId], hints: Hints) -> None:
        """See Provider."""
        self.told_at = time.perf_counter()
        await super().apply(revision, want, hints)


class CountingState:
    """A StateBackend that counts what is written, renewals of the lease left out."""

    def __init__(self, backend: StateBackend) -> None:
        self.writes = 0
        self._backend = backend

    async def read(self, prefix: str, *, after: str = "", limit: int = 1000, at: int | None = None) -> Page:
        """See StateBackend."""
        return await self._backend.read(prefix, after=after, limit=limit, at=at)

    async def commit(self, transaction: Transaction) -> int:
        """See StateBackend."""
        self.writes += any("/records/" in put.key or "/events/" in put.key for put in transaction.puts)
        return await self._backend.commit(transaction)

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        """See StateBackend."""
        return self._backend.watch(prefix, after)

    def now(self) -> float:
        """See StateBackend."""
        return self._backend.now()

    async def close(self) -> None:
        """See StateBackend."""
        await self._backend.close()


@dataclass(frozen=True, slots=True)
class Measured:
    """One size."""

    deployments: int
    replicas: int
    deploying: float
    """CPU seconds of the first deployment."""
    share: float
    """Of one core, at rest."""
    alone: float
    """Of one core, the reports alone."""
    reports: float
    """A second."""
    writes: int
    latencies: list[float]
    """Seconds."""


async def measure(deployments: int, replicas: int, seconds: float) -> Measured:
    """Deploy, rest, change."""
    clock, well = Clock(), Well()
    state = CountingState(MemoryState(clock))
    provider = NotingProvider(clock, lambda _replica, _revision: Life(runs_after=0.0, ready_after=0.0))
    parts = PartTables()
    parts.probes.made["scripted"] = lambda: well
    ledger = Ledger(state, SCOPE, KINDS)
    controller = Controller(
        ledger=ledger,
        leadership=await ledger.take_over("benchmark", duration=30.0),
        parts=parts,
        providers={"simulated": provider},
        default_provider="simulated",
        dataplane=TwinDataPlane([TwinGateway("gateway-1")]),
        artifacts=EveryArtifact(),
        clock=clock,
        isolation=Direct(),
    )
    await controller.start()
    deploying = time.process_time()
    names = [f"web-{number:04d}" for number in range(deployments)]
    await controller.deploy(Manifest("bench", tuple(entry(name, replicas=replicas) for name in names), "0", "3.11"))
    while not all(view.settled and view.ready == replicas for view in controller.views()):  # noqa: ASYNC110  # it is long
        await asyncio.sleep(0.5)
    deploying = time.process_time() - deploying
    # Until the replicas that have just begun are asked as seldom as those that are steady.
    await asyncio.sleep(12.0)
    gc.collect()
    gc.freeze()

    asked, written = well.asked, state.writes
    share = await share_of_a_core(seconds)
    reports, writes = (well.asked - asked) / seconds, state.writes - written
    latencies: list[float] = []
    for change in range(CHANGES):
        began = time.perf_counter()
        await controller.scale(names[(change * 7) % deployments], replicas + 1 + change // deployments)
        while provider.told_at < began:  # noqa: ASYNC110  # what is measured is not to wake who measures
            await asyncio.sleep(0.0005)
        latencies.append(provider.told_at - began)
        await asyncio.sleep(0.03)
    await controller.close()
    alone = await reports_alone(deployments * replicas, seconds, well)
    return Measured(deployments, replicas, deploying, share, alone, reports, writes, sorted(latencies))


async def reports_alone(replicas: int, seconds: float, probe: Well) -> float:
    """The share of a core that asking so many replicas costs, and nothing else."""

    async def ask() -> None:
        await asyncio.sleep(random.uniform(0, 10))  # noqa: S311  # spreads them
        while True:
            async with asyncio.timeout(5):
                await probe.probe(None, 5.0)  # type: ignore[arg-type]  # it looks at nothing
            await asyncio.sleep(10.0)

    tasks = [asyncio.create_task(ask()) for _ in range(replicas)]
    await asyncio.sleep(10.0)
    share = await share_of_a_core(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return share


async def share_of_a_core(seconds: float) -> float:
    """What this process costs while nothing is asked of it."""
    began = time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - began) / seconds


@dataclass(frozen=True, slots=True)
class MeasuredLink:
    """One size. Seconds of CPU and bytes are those of one change, unless said otherwise."""

    deployments: int
    replicas: int
    first: float
    """Seconds until the gateway serves by the first table, which is whole."""
    first_bytes: int
    rest: tuple[float, float]
    """Shares of a core that this process and the gateway take while nothing happens."""
    latencies: list[float]
    """Seconds until the gateway said that it serves by the change, sorted."""
    here: float
    there: float
    sent: float
    limit: float
    limit_bytes: int
    heard: float
    """Of those in this process, for finding whom the gateway's word on it concerns."""


async def measure_link(deployments: int, replicas: int, seconds: float, changes: int = LINK_CHANGES) -> MeasuredLink:
    """Tell a gateway of everything, rest, change one route after the other."""
    with tempfile.TemporaryDirectory(prefix="fc-") as folder:
        layout = Layout(Path(folder), "bench")
        layout.home.mkdir(parents=True)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flashcore.gateway", "--layout", folder, "--env", "bench", "--port", "0"),
            *("--jobs", f"sqlite:///{layout.jobs_db}", "--no-plugins"),
            stderr=asyncio.subprocess.DEVNULL,
        )
        plane = SocketDataPlane(layout.dataplane_socket)
        publisher = Publisher(plane, Clock(), epoch=1)
        running: asyncio.Task[None] | None = None
        try:
            for number in range(deployments):
                route = bench_route(number, replicas)
                publisher.put(route.name, route)
            async with asyncio.timeout(20):
                while not plane.gateways():  # noqa: ASYNC110  # a process is starting
                    await asyncio.sleep(0.05)
            began = time.perf_counter()
            running = asyncio.create_task(publisher.run())
            await acknowledged(plane, publisher)
            first, first_bytes = time.perf_counter() - began, plane.bytes_sent
            await asyncio.sleep(2.0)
            gc.collect()
            gc.freeze()
            here, there = time.process_time(), cpu_of(process.pid)
            await asyncio.sleep(seconds)
            rest = (time.process_time() - here) / seconds, (cpu_of(process.pid) - there) / seconds
            here, there, sent = time.process_time(), cpu_of(process.pid), plane.bytes_sent
            latencies = [await one_change(plane, publisher, deployments, replicas, n) for n in range(changes)]
            await asyncio.sleep(0.5)
            here, there = time.process_time() - here, cpu_of(process.pid) - there
            sent = plane.bytes_sent - sent
            heard = cpu_of_acks(plane, publisher, [bench_route(number, 0).name for number in range(deployments)])
        finally:
            if running is not None:
                running.cancel()
            await plane.close()
            process.terminate()
            await process.wait()
    limit, limit_bytes = route_alone(bench_route(0, replicas))
    return MeasuredLink(
        deployments, replicas, first, first_bytes, rest, sorted(latencies),
        here / changes, there / changes, sent / changes, limit, limit_bytes, heard,
    )  # fmt: skip


async def one_change(plane: SocketDataPlane, publisher: Publisher, deployments: int, replicas: int, n: int) -> float:
    """One replica less, or more, in one route; seconds until the gateway serves by it."""
    route = bench_route((n * 7) % deployments, replicas - 1 - n // deployments % 2)
    began = time.perf_counter()
    publisher.put(route.name, route)
    await acknowledged(plane, publisher)
    latency = time.perf_counter() - began
    await asyncio.sleep(0.02)
    return latency


def cpu_of_acks(plane: SocketDataPlane, publisher: Publisher, names: Sequence[EndpointName]) -> float:
    """Seconds of CPU, in the middle of many, to find whom an ack concerns for which one of the deployments waits."""
    listening = Listening(plane, publisher, frozenset(names), lambda _: None)
    taken = []
    for _ in range(100):
        publisher.await_free(names[0], ReplicaId(names[0]))
        began = time.process_time_ns()
        listening.take(News(gateways=True))
        taken.append(time.process_time_ns() - began)
    return statistics.median(taken) / 1e9


async def acknowledged(plane: SocketDataPlane, publisher: Publisher) -> None:
    """Return when the gateway serves by the newest table."""
    wanted = publisher.table.version
    async with asyncio.timeout(60), contextlib.aclosing(plane.changes()) as changes:
        while not any(gateway.applied >= wanted for gateway in plane.gateways()):
            await anext(changes)


def bench_route(number: int, replicas: int) -> EndpointRoute:
    """A queue endpoint's route where the number is even, an HTTP endpoint's where it is odd."""
    name = EndpointName(f"web-{number:04d}")
    revision = RevisionId(f"{number:064x}")
    routes = tuple(
        ReplicaRoute(ReplicaId(f"{name}-{one:04d}"), InstanceId(f"{number:08x}{one:08x}"), f"unix:/run/{name}-{one}", 4)
        for one in range(replicas)
    )
    ingress = Ingress.HTTP if number % 2 else Ingress.JOBS
    return EndpointRoute(
        name, ingress.value, (SideRoute(revision, None, routes),), PartRef("p2c"), 600.0, 3600.0, 1800.0, 2
    )


def route_alone(route: EndpointRoute) -> tuple[float, int]:
    """Seconds of CPU that it takes to write one route as JSON, and how many bytes that makes."""
    times, data = 300, b""
    began = time.process_time()
    for _ in range(times):
        data = json.dumps(to_json(route), separators=(",", ":")).encode()
    return (time.process_time() - began) / times, len(data)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process took, all its threads."""
    return sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def show_link(one: MeasuredLink) -> None:
    """Print a size."""
    p50, p99 = statistics.median(one.latencies), one.latencies[int(0.99 * len(one.latencies))]
    print(f"{one.deployments} deployments, {one.deployments * one.replicas} replicas, over the socket")
    print(f"  the whole table is served after {one.first:.2f} s, {one.first_bytes / 1e6:.2f} MB")
    print(f"  at rest {100 * one.rest[0]:.2f} % of a core here, {100 * one.rest[1]:.2f} % in the gateway")
    print(
        f"  one change: {one.sent:,.0f} bytes, {1e6 * one.here:,.0f} us of CPU here, {1e6 * one.there:,.0f} us in the"
        f" gateway, served after {1000 * p50:.1f} ms, p99 {1000 * p99:.1f} ms"
    )
    print(f"  an ack for which one deployment waits: {1e6 * one.heard:,.1f} us of CPU")
    print(
        f"  the route alone: {one.limit_bytes:,} bytes, {1e6 * one.limit:,.0f} us;"
        f" {one.sent / one.limit_bytes:.1f} x the bytes, {(one.here + one.there) / one.limit:.1f} x the CPU"
    )


def show(one: Measured) -> None:
    """Print a size."""
    p50, p99 = statistics.median(one.latencies), one.latencies[int(0.99 * len(one.latencies))]
    print(
        f"{one.deployments} deployments, {one.deployments * one.replicas} replicas, {one.reports:,.0f} reports a second"
    )
    print(
        f"  at rest {100 * one.share:.1f} % of a core, {one.share / SHARE_WANTED:.2f} of {100 * SHARE_WANTED:.0f} %;"
        f" the reports alone {100 * one.alone:.1f} %, {one.share / one.alone:.1f} x; {one.writes} writes"
    )
    print(
        f"  a change is acted on after {1000 * p50:.1f} ms, p99 {1000 * p99:.1f} ms,"
        f" {p99 / SECONDS_WANTED:.2f} of {1000 * SECONDS_WANTED:.0f} ms"
    )
    print(
        f"  deploying all of it took {one.deploying:.1f} s of CPU, {1000 * one.deploying / one.deployments:.1f} ms each"
    )


def measure_real() -> None:
    """Print how long it takes until the new revision answers, on the platform."""
    with tempfile.TemporaryDirectory() as folder:
        project = ProjectUnderTest(Path(folder) / "shop")
        project.write("flashcore.toml", 'app = "shop"\n')
        project.write("app.py", APP.format(version=1))
        try:
            project.must("deploy")
            found = sorted(_until_new(project, version) for version in range(2, 7))
            print("three replicas on the platform: from the commit that begins an update to the new revision's answer")
            middle = found[len(found) // 2]
            print(
                f"  {middle:.2f} s in the middle of {len(found)}, {found[0]:.2f} to {found[-1]:.2f} s,"
                f" {middle / TRAFFIC_WANTED:.2f} of {TRAFFIC_WANTED:g} s"
            )
        finally:
            project.run("undeploy", "--all")
            project.run("server", "stop")


def _until_new(project: ProjectUnderTest, version: int) -> float:
    """Seconds from the event of the rollout's beginning to the first answer of the version."""
    project.write("app.py", APP.format(version=version))
    answered: list[float] = []

    def ask() -> None:
        while not answered:
            with urllib.request.urlopen(f"{project.url()}/web/version") as answer:  # noqa: S310  # our own gateway
                if int(answer.read()) == version:
                    answered.append(time.time())
            time.sleep(0.002)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    project.must("deploy")
    asking.join(30)
    return answered[0] - _begun(project)


def _begun(project: ProjectUnderTest) -> float:
    """When the last rollout began, by the log."""
    log = connect_running(open_project(project.root)).get("/api/v1/events/last?count=200")["events"]
    return max(float(event["at"]) for event in log if event["kind"] == "rollout.started")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--deployments", default="200,2000")
    parser.add_argument("--replicas", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--link", action="store_true")
    parser.add_argument("--real", action="store_true")
    arguments = parser.parse_args()
    if arguments.real:
        measure_real()
        return
    for deployments in map(int, arguments.deployments.split(",")):
        if arguments.link:
            show_link(asyncio.run(measure_link(deployments, arguments.replicas, arguments.seconds)))
            continue
        show(asyncio.run(measure(deployments, arguments.replicas, arguments.seconds)))


if __name__ == "__main__":
    main()
