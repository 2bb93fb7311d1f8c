"""The job store is away or full: nothing is acknowledged that is not stored, and all goes on when it is back."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.gateway.conftest import FAST, Running, eventually, gateway_at, jobs_route, side

from flashcore.builtin.memory_state import MemoryStores
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.control.link import SocketDataPlane
from flashcore.hookspecs.jobs import JobStore
from flashcore.model.errors import FlashcoreError, StateError, StorageFull
from flashcore.model.layout import Layout
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire.messages import Assignment


class Moody:
    """A job store that is away, or full, when it is told to be."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self.failure: Exception | None = None
        self.of: set[str] = set()
        """What fails; everything, where nothing is named."""
        self.refused: list[str] = []
        self.swept = 0
        """Sweeps since it was away."""

    def __getattr__(self, name: str) -> Any:
        """The store's own method, unless it is away."""
        method = getattr(self._store, name)
        if name in ("now", "enqueued", "on_enqueued", "close"):
            return method

        async def call(*given: Any, **named: Any) -> Any:
            if self.failure is not None and (not self.of or name in self.of):
                self.refused.append(name)
                self.swept = 0
                raise self.failure
            self.swept += name == "sweep"
            return await method(*given, **named)

        return call


@pytest.fixture
async def moody() -> Moody:
    """A store in memory, in a good mood."""
    return Moody(await MemoryStores().open_jobs("memory:"))


@pytest.fixture
async def running(layout: Layout, moody: Moody) -> AsyncIterator[Running]:
    """A gateway over that store."""
    store: Any = moody
    async with gateway_at(layout, store=store) as running:
        yield running
        moody.failure = None


@pytest.mark.parametrize("failure", [StateError("the disk is away"), StorageFull("the disk is full")])
@pytest.mark.parametrize("route", ["run", "runsync"])
async def test_a_submission_that_cannot_be_stored_is_refused_with_the_reason(
    running: Running, moody: Moody, failure: FlashcoreError, route: str
) -> None:
    """Q26: 503, and the caller may try again."""
    running.serve(jobs_route("hello"))
    moody.failure = failure

    answer = await running.post(f"/v2/hello/{route}", {"input": {}})
    moody.failure = None
    after = await running.post("/v2/hello/run", {"input": {}})

    assert (answer.status, answer.json["error"]["message"]) == (503, failure.message)
    assert answer.headers["retry-after"]
    assert after.status == 200


async def test_a_result_is_held_until_it_is_stored(running: Running, moody: Moody) -> None:
    """Q26: the worker hears nothing before, and the caller gets the result after."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))

    def answer(_: Assignment) -> bytes:
        moody.failure = StateError("the disk is away")
        return b'"kept"'

    async with FakeWorker(running.gateway.layout.worker_socket, hello, answer) as worker:
        job = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
        await eventually(lambda: "finish" in moody.refused)
        unreceived = dict(worker.unreceived)
        moody.failure = None
        ended = await running.get(f"/v2/hello/status-sync/{job}?wait=50000")
        await eventually(lambda: not worker.unreceived)

    assert list(unreceived) == [job]
    assert (ended.json["status"], ended.json["output"]) == ("COMPLETED", "kept")


@pytest.mark.parametrize("failure", [StateError("the disk is away"), ArithmeticError("a mistake")])
async def test_jobs_are_claimed_when_the_store_is_back(running: Running, moody: Moody, failure: Exception) -> None:
    """A claim that failed is made again, without anybody asking; so is a sweep. Whatever it was, no loop ends of it."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    job = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
    moody.failure = failure

    async with FakeWorker(running.gateway.layout.worker_socket, hello, lambda _: b"1"):
        await eventually(lambda: {"claim", "sweep"} <= set(moody.refused))
        moody.failure = None
        ended = await running.get(f"/v2/hello/status-sync/{job}?wait=50000")
        await eventually(lambda: moody.swept > 0)

    assert ended.json["status"] == "COMPLETED"


async def test_a_store_that_was_away_for_longer_than_a_lease_charges_nobody(layout: Layout, moody: Moody) -> None:
    """Q26: the leases ran out while nobody could renew them; the job goes on where it is."""
    store: Any = moody
    hello = worker_hello("hello")
    settings = dataclasses.replace(FAST, lease=0.9, reconnect_grace=0.4, sweep_interval=0.01)
    go_on = asyncio.Event()

    async def answer(_: Assignment) -> bytes:
        await go_on.wait()
        return b"1"

    async with gateway_at(layout, settings, store) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, answer) as worker:
            job = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
            await worker.until(lambda: bool(worker.seen))
            moody.failure = StateError("the disk is away")
            await asyncio.sleep(settings.lease * 1.5)
            moody.failure = None
            await eventually(lambda: moody.swept > 0)
            go_on.set()
            ended = await running.get(f"/v2/hello/status-sync/{job}?wait=50000")

    assert ended.json["status"] == "COMPLETED"
    assert "retries" not in ended.json


@pytest.mark.parametrize("what", ["finish", "extend"])
async def test_a_store_that_takes_all_but_one_thing_for_longer_than_a_lease_charges_nobody(
    layout: Layout, moody: Moody, what: str
) -> None:
    """Q26: a large result waits for room, or no lease can be renewed: the job is not taken from its worker for that."""
    store: Any = moody
    hello = worker_hello("hello")
    settings = dataclasses.replace(FAST, lease=0.9, sweep_interval=0.01)
    go_on = asyncio.Event()

    async def answer(_: Assignment) -> bytes:
        if what == "extend":
            await go_on.wait()
        return b"1"

    async with gateway_at(layout, settings, store) as running:
        running.serve(jobs_route("hello", side(hello)))
        moody.failure, moody.of = StorageFull("there is no room for that"), {what}
        async with FakeWorker(layout.worker_socket, hello, answer) as worker:
            job = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
            await eventually(lambda: what in moody.refused)
            await asyncio.sleep(settings.lease * 1.5)
            moody.failure = None
            go_on.set()
            ended = await running.get(f"/v2/hello/status-sync/{job}?wait=50000")

    assert ended.json["status"] == "COMPLETED"
    assert "retries" not in ended.json
    assert len(worker.seen) == 1


async def test_the_control_plane_hears_why_results_are_held(layout: Layout, moody: Moody) -> None:
    """Q26: also where all else can be written, so that nothing else says so; and that they are stored."""
    store: Any = moody
    hello = worker_hello("hello")
    async with gateway_at(layout, store=store) as running:
        running.serve(jobs_route("hello", side(hello)))
        moody.failure, moody.of = StorageFull("there is no room for that"), {"finish"}
        async with FakeWorker(layout.worker_socket, hello, lambda _: b"1"):
            plane = SocketDataPlane(layout.dataplane_socket)
            await running.post("/v2/hello/run", {"input": {}})
            await eventually(lambda: any(state.trouble == "there is no room for that" for state in plane.gateways()))
            moody.failure = None
            await eventually(lambda: not any(state.trouble for state in plane.gateways()))
            await plane.close()


async def test_a_worker_that_comes_back_is_not_told_that_a_held_result_is_stored(layout: Layout, moody: Moody) -> None:
    """Q26: it reports it again over its new connection; were it told, a gateway that is killed now would lose it."""
    store: Any = moody
    hello = worker_hello("hello")
    async with gateway_at(layout, store=store) as running:
        running.serve(jobs_route("hello", side(hello)))
        moody.failure, moody.of = StorageFull("there is no room for that"), {"finish"}
        async with FakeWorker(layout.worker_socket, hello, lambda _: b"1") as worker:
            job = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
            await eventually(lambda: "finish" in moody.refused)
            worker.hang_up()
            await worker.until(lambda: worker.welcomes == 2)
            # What is asked for now is answered after what the worker said when it was welcomed.
            second = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
            await worker.until(lambda: second in worker.unreceived)
            kept = set(worker.unreceived)
            moody.failure = None
            await eventually(lambda: not worker.unreceived)
            ended = await running.get(f"/v2/hello/status/{job}")

    assert kept == {job, second}
    assert (ended.json["status"], "retries" in ended.json) == ("COMPLETED", False)


@pytest.mark.parametrize("path", ["status/x-u1", "stream/x-u1", "health"])
async def test_every_route_says_that_the_store_is_away(running: Running, moody: Moody, path: str) -> None:
    """No route makes a 500 of it."""
    running.serve(jobs_route("hello"))
    moody.failure = StateError("the disk is away")

    answer = await running.get(f"/v2/hello/{path}")

    assert (answer.status, answer.json["error"]["code"]) == (503, "state")


async def test_workers_are_not_read_from_while_too_much_is_not_stored(layout: Layout, moody: Moody) -> None:
    """Q11, Q26: a generator waits, the gateway's memory does not grow, and nothing is lost."""
    store: Any = moody
    hello = worker_hello("hello")
    settings = dataclasses.replace(FAST, unrecorded_bytes=100_000, heartbeat=0.1)
    chunk = b'"%b"' % (b"x" * 10_000)
    sent = 500

    async with gateway_at(layout, settings, store) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, lambda _: asyncio.Future()) as worker:
            job = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
            await worker.until(lambda: bool(worker.seen))
            moody.failure = StateError("the disk is away")
            for _ in range(sent):
                worker.chunk(worker.seen[0], chunk)
            await eventually(lambda: "append_stream" in moody.refused)
            # For longer than a worker may be silent: it is not, it is not listened to.
            await asyncio.sleep(settings.silence * 3)
            stuck = worker.unsent
            moody.failure = None

            read = 0
            async with asyncio.timeout(60):
                while read < sent:
                    read += len((await running.get(f"/v2/hello/stream/{job}?wait=50000")).json["stream"])

            stored = await running.store.get(job)

    assert stuck > 1_000_000
    assert read == sent
    assert stored is not None
    assert stored.attempt == 1


async def test_a_job_file_that_was_deleted_takes_no_jobs_and_the_control_plane_hears_why(layout: Layout) -> None:
    """What is running ends as ever; what is new would be lost at the next start, and is refused as by a full disk."""
    layout.home.mkdir(parents=True)
    store = await SqliteStores().open_jobs(f"sqlite:///{layout.jobs_db}")
    hello = worker_hello("hello")
    go_on = asyncio.Event()

    async def answer(_: Assignment) -> bytes:
        await go_on.wait()
        return b"1"

    async with gateway_at(layout, store=store) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, answer):
            plane = SocketDataPlane(layout.dataplane_socket)
            early = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
            layout.jobs_db.unlink()

            refused = await running.post("/v2/hello/run", {"input": {}})
            await eventually(lambda: any(state.trouble for state in plane.gateways()))
            trouble = plane.gateways()[0].trouble
            go_on.set()
            ended = (await running.get(f"/v2/hello/status-sync/{early}?wait=50000")).json
            await plane.close()

            # The next control plane hears of it at once, though it was said before.
            plane = SocketDataPlane(layout.dataplane_socket)
            await eventually(lambda: any(state.trouble == trouble for state in plane.gateways()))
            await plane.close()

    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert "was deleted or replaced while it was in use" in refused.json["error"]["message"]
    assert "restart-gateway" in refused.json["error"]["next_step"]
    assert str(layout.jobs_db) in trouble
    assert (ended["status"], ended["output"]) == ("COMPLETED", 1)
