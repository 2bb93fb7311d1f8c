"""The gateway as a process: how it starts, what it writes down, and what survives its sudden end."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import resource
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from tests.gateway.conftest import Answer, HttpReplica, eventually, fetch, http_replica, http_route, jobs_route, side
from tests.ports import free_port

from flashcore.control.link import LinkTimes, SocketDataPlane
from flashcore.gateway.main import parse
from flashcore.model.codec import to_json
from flashcore.model.errors import ConfigurationError
from flashcore.model.layout import Layout
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, RoutingTable
from flashcore.presence import Presence, read_presence
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire.messages import Assignment
from flashcore.worker.processes import boot_id

QUICK = ("--set", "heartbeat=20", "--set", "reconnect_grace=60", "--set", "lease=120", "--set", "sweep_interval=0.1")
"""It looks often, and is patient with workers that live in a process of their own, which may be kept from running."""


@dataclass(slots=True)
class GatewayProcess:
    """A gateway's process, and a client of it."""

    layout: Layout
    process: Process

    @property
    def presence(self) -> Presence:
        """What it wrote down."""
        found = read_presence(self.layout.gateway_file)
        assert found is not None
        return found

    async def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request by the standard library's client."""
        return await asyncio.to_thread(fetch, self.presence.url, method, path, body, headers)

    async def last_words(self) -> str:
        """All that it logged, once it has ended."""
        _, said = await self.process.communicate()
        return said.decode()

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return await self.process.wait()


async def spawn(
    layout: Layout, *arguments: str, jobs: str | None = None, inherited: Sequence[int] = (), passed: Sequence[int] = ()
) -> GatewayProcess:
    """Start one; it may not be listening yet. `inherited` are sockets that it listens on, `passed` others."""
    layout.home.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "flashcore.gateway", "--layout", str(layout.root), "--env", layout.environment),
        *("--jobs", jobs or f"sqlite:///{layout.jobs_db}", "--port", "0", *QUICK, *arguments),
        *(f"--listen-fd={descriptor}" for descriptor in inherited),
        stderr=asyncio.subprocess.PIPE,
        pass_fds=(*inherited, *passed),
    )
    return GatewayProcess(layout, process)


@asynccontextmanager
async def listening(layout: Layout, *arguments: str, inherited: Sequence[int] = ()) -> AsyncIterator[GatewayProcess]:
    """One that listens; killed in the end if it still runs."""
    gateway = await spawn(layout, *arguments, inherited=inherited)
    try:

        def written() -> bool:
            assert gateway.process.returncode is None, "it ended before it listened"
            found = read_presence(layout.gateway_file)
            return found is not None and found.pid == gateway.process.pid

        await eventually(written)
        yield gateway
    finally:
        with contextlib.suppress(ProcessLookupError):
            gateway.process.kill()
        await gateway.process.communicate()


@asynccontextmanager
async def serving(layout: Layout, *routes: EndpointRoute) -> AsyncIterator[SocketDataPlane]:
    """A control plane that published these endpoints; the gateway serves by them."""
    plane = SocketDataPlane(layout.dataplane_socket, times=LinkTimes(linger=0.1))
    try:
        await plane.publish(RoutingTable(1, routes))
        await eventually(lambda: [state.applied for state in plane.gateways()] == [1])
        yield plane
    finally:
        await plane.close()


async def ended(gateway: GatewayProcess, job: str) -> Any:
    """The job's final status document."""
    answer = await gateway.call("GET", f"/v2/hello/status-sync/{job}?wait=50000")
    return answer.json


async def test_jobs_and_requests_are_served_by_a_process_of_its_own(layout: Layout) -> None:
    """The whole path: options, plugins, job store, table over the socket, worker, replica, client."""
    hello = worker_hello("hello")
    async with listening(layout) as gateway, http_replica(layout, "web-1") as replica:
        routes = (jobs_route("hello", side(hello)), http_route("web", side(replica.route), routing=PartRef("p2c")))
        async with serving(layout, *routes), FakeWorker(layout.worker_socket, hello, lambda job: job.input.data):
            job = await gateway.call("POST", "/v2/hello/runsync", {"input": {"a": 1}})
            page = await gateway.call("GET", "/web/x")

        assert gateway.presence.url.startswith("http://127.0.0.1:")
        assert layout.home.stat().st_mode & 0o777 == 0o700
        assert layout.worker_socket.stat().st_mode & 0o777 == 0o600
        status = await gateway.end(signal.SIGTERM)

    assert (job.json["status"], job.json["output"]) == ("COMPLETED", {"a": 1})
    assert (page.status, page.json["target"]) == (200, "/x")
    assert status == 0
    assert not layout.gateway_file.exists()
    assert not layout.worker_socket.exists()


async def test_kill_loses_no_accepted_job(layout: Layout) -> None:
    """Q01, Q-C15: queued, running and finished jobs all end once, with the gateway killed twice among them."""
    hello = worker_hello("hello", slots=4)
    accepted: list[str] = []
    runs: dict[str, int] = {}

    async def answer(job: Assignment) -> bytes:
        runs[job.id] = runs.get(job.id, 0) + 1
        await asyncio.sleep(0.05)
        return bytes(job.input.data)

    async def submit_all(gateway: GatewayProcess) -> None:
        """As many as are accepted before it dies."""
        with contextlib.suppress(OSError):
            for number in range(60):
                answer = await gateway.call("POST", "/v2/hello/run", {"input": number})
                accepted.append(answer.json["id"])

    worker = FakeWorker(layout.worker_socket, hello, answer)
    async with listening(layout) as first, serving(layout, jobs_route("hello", side(hello))):
        worker.start()
        submitting = asyncio.create_task(submit_all(first))
        await eventually(lambda: len(accepted) >= 15)
        await first.end(signal.SIGKILL)
        await submitting
        # There is no control plane's hand in what follows: the table is the one that was kept.
    async with listening(layout) as second:
        await eventually(lambda: len(runs) >= 8)
        await second.end(signal.SIGKILL)
    async with listening(layout) as third:
        documents = [await ended(third, job) for job in accepted]

        async def settled() -> bool:
            # What was accepted without an answer is there as well, and ends as well.
            jobs = (await third.call("GET", "/v2/hello/health")).json["jobs"]
            return bool(jobs["inQueue"] + jobs["inProgress"] == 0)

        await eventually(settled)
        await worker.stop()

    assert {document["status"] for document in documents} == {"COMPLETED"}
    assert [document["output"] for document in documents] == list(range(len(accepted)))
    assert max(runs.values()) == 1


WORKER = """
import asyncio, os, sys
from functools import partial
from functools import partial
from pathlib import Path
from flashcore.model.codec import from_json
from flashcore.testing.fake_worker import FakeWorker
from flashcore.wire.hello import Hello
import dataclasses, json

hello = from_json(Hello, json.loads(sys.argv[2]))
hello = dataclasses.replace(hello, identity=dataclasses.replace(hello.identity, pid=os.getpid()))

def answer(job):
    os._exit(3)

async def main():
    async with FakeWorker(Path(sys.argv[1]), hello, answer):
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_job_of_a_worker_that_dies_with_it_goes_to_another_at_once(layout: Layout) -> None:
    """Q22, os._exit: the process is seen to be gone, nobody waits for the grace."""
    dying = worker_hello("hello", replica="w1", boot_id=boot_id())
    heir = worker_hello("hello", replica="w2")
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            listening(layout, "--set", "reconnect_grace=600", "--set", "lease=900")
        )
        plane = await stack.enter_async_context(serving(layout, jobs_route("hello", side(dying))))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, str(layout.worker_socket), json.dumps(to_json(dying))
        )
        job = (await gateway.call("POST", "/v2/hello/run", {"input": "poison?"})).json["id"]
        assert await process.wait() == 3
        await plane.publish(RoutingTable(2, (jobs_route("hello", side(dying, heir)),)))

        async with FakeWorker(layout.worker_socket, heir, lambda _: b'"survived"'):
            document = await ended(gateway, job)

    assert (document["status"], document["output"], document["retries"]) == ("COMPLETED", "survived", 1)


async def test_a_gateway_whose_readiness_is_asked_for_gives_notice_before_it_ends(layout: Layout) -> None:
    """S44: after SIGTERM it goes on for half of its grace."""
    async with listening(layout, "--set", "stop_grace=2") as gateway:
        starting = await gateway.call("GET", "/ping/ready")
        async with serving(layout, jobs_route("hello")):
            ready = await gateway.call("GET", "/ping/ready")
            told = time.monotonic()
            gateway.process.send_signal(signal.SIGTERM)
            said = await gateway.last_words()

    assert (starting.status, starting.json["status"]) == (503, "starting")
    assert (ready.status, ready.json) == (200, {"status": "ready"})
    assert gateway.process.returncode == 0
    assert "new requests are taken for 1.0 s more" in said
    assert time.monotonic() - told > 0.9


async def test_a_gateway_that_nobody_watches_or_that_is_replaced_gives_no_notice(layout: Layout) -> None:
    """S44: there is nobody to hear it; who sends SIGINT keeps the sockets for the next one."""
    for path, number in (("/ping", signal.SIGTERM), ("/ping/ready", signal.SIGINT)):
        async with listening(layout, "--set", "stop_grace=20") as gateway:
            await gateway.call("GET", path)
            gateway.process.send_signal(number)
            said = await gateway.last_words()

        assert gateway.process.returncode == 0
        assert "new requests are taken" not in said


async def test_a_second_gateway_of_the_environment_refuses_and_says_where_the_first_is(layout: Layout) -> None:
    """One process owns the jobs."""
    async with listening(layout) as first:
        second = await spawn(layout)
        _, said = await second.process.communicate()

        assert second.process.returncode == 1
        assert f"has a gateway already at {first.presence.url} (pid {first.process.pid})" in said.decode()
        assert (await first.call("GET", "/ping")).status == 200


async def test_sockets_that_a_killed_gateway_left_are_replaced(layout: Layout) -> None:
    """Nobody answers behind them."""
    async with listening(layout) as first:
        await first.end(signal.SIGKILL)
        assert layout.worker_socket.exists()

        async with listening(layout) as second:
            assert (await second.call("GET", "/ping")).status == 200


async def test_a_socket_that_somebody_answers_is_left_alone(layout: Layout) -> None:
    """Even without a lock: who listens there is not thrown out."""
    layout.run.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(layout.worker_socket))
        other.listen()
        gateway = await spawn(layout)

        _, said = await gateway.process.communicate()
        with socket.socket(socket.AF_UNIX) as still:
            still.connect(str(layout.worker_socket))

    assert gateway.process.returncode == 1
    assert f"another process listens at {layout.worker_socket}" in said.decode()


async def test_the_next_port_is_taken_and_found_again(layout: Layout) -> None:
    """A port in use is passed over; after a restart replicas find the gateway where it was."""
    port = free_port(3)
    with socket.create_server(("127.0.0.1", port)):
        async with listening(layout, "--port", str(port)) as first:
            url = first.presence.url
            await first.end(signal.SIGKILL)
    async with listening(layout, "--port", str(port)) as second:
        assert second.presence.url == url
    assert int(url.rpartition(":")[2]) > port


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the limits of another process")
async def test_a_gateway_allows_itself_as_many_connections_as_it_may(layout: Layout) -> None:
    """Most systems begin with 1,024 descriptors, and grant more to whoever asks."""
    with few_descriptors() as hard:
        async with listening(layout) as gateway:
            allowed, _ = psutil.Process(gateway.process.pid).rlimit(resource.RLIMIT_NOFILE)

    assert allowed == min(1 << 16, hard)


@contextlib.contextmanager
def few_descriptors() -> Iterator[int]:
    """What is started within has few of them, and may have as many as before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_strict_port_in_use_is_an_error(layout: Layout) -> None:
    """Who asked for this port and no other is told."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        gateway = await spawn(layout, "--port", str(port), "--strict-port")

        _, said = await gateway.process.communicate()

    assert gateway.process.returncode == 1
    assert f"port {port} is in use" in said.decode()
    assert "Traceback" not in said.decode()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "hartbeat=1"), "the gateway has no setting 'hartbeat'"),
        (("--set", "heartbeat=soon"), "heartbeat is a number, not 'soon'"),
        (("--set", "lease=0"), "it must be more than zero"),
        (("--set", "lease=nan"), "it must be more than zero"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(arguments: tuple[str, ...], said: str) -> None:
    """With what there is instead."""
    with pytest.raises(ConfigurationError, match=said):
        parse(["--layout", ".", "--env", "test", "--jobs", "memory:", *arguments])


async def test_a_job_store_that_nobody_offers_is_named(layout: Layout) -> None:
    """The scheme of the URL is a part's name."""
    gateway = await spawn(layout, jobs="sqlight:///x")

    _, said = await gateway.process.communicate()

    assert gateway.process.returncode == 1
    assert "sqlight" in said.decode()
    assert "Traceback" not in said.decode()


@asynccontextmanager
async def slow_request(layout: Layout) -> AsyncIterator[tuple[GatewayProcess, HttpReplica, asyncio.Task[Answer]]]:
    """A gateway with a request under way that its replica does not answer yet."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(listening(layout, "--set", "stop_grace=30"))
        replica = await stack.enter_async_context(http_replica(layout, "web-1"))
        route = http_route("web", side(replica.route), routing=PartRef("p2c"))
        await stack.enter_async_context(serving(layout, route))
        replica.open.clear()
        slow = asyncio.create_task(gateway.call("GET", "/web/slow"))
        await eventually(lambda: replica.seen)
        yield gateway, replica, slow


async def test_a_stop_lets_requests_end(layout: Layout) -> None:
    """SIGTERM is an order to finish, two are an order to hurry."""
    async with slow_request(layout) as (gateway, replica, slow):
        gateway.process.send_signal(signal.SIGTERM)
        await eventually(lambda: not _accepts(gateway))
        replica.open.set()
        answer = await slow

        assert (answer.status, await gateway.process.wait()) == (200, 0)


async def test_two_stops_are_an_order_to_hurry(layout: Layout) -> None:
    """It does not wait for what hangs."""
    async with slow_request(layout) as (gateway, _, slow):
        gateway.process.send_signal(signal.SIGTERM)
        await eventually(lambda: not _accepts(gateway))
        gateway.process.send_signal(signal.SIGTERM)

        assert await gateway.process.wait() == 128 + signal.SIGTERM
        with pytest.raises((OSError, http.client.HTTPException)):
            await slow


def _accepts(gateway: GatewayProcess) -> bool:
    port = int(gateway.presence.url.rpartition(":")[2])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
