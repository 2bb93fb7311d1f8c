"""What happens between asking the store and hearing its answer."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.gateway.conftest import FAST, Running, called, eventually, gateway_at, jobs_route, not_waiting, side

from flashcore.builtin.memory_state import MemoryStores
from flashcore.hookspecs.jobs import JobStore
from flashcore.model.job import JobStatus, NewJob, Payload
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, JobId
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire.messages import Assignment, Chunk, Progress

HELLO = EndpointName("hello")
JOB = JobId("job-u1")


class Slow:
    """A job store that does at once what it is asked, and answers some calls late."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self.late: dict[str, asyncio.Event] = {}
        self.waiting: list[str] = []

    def __getattr__(self, name: str) -> Any:
        """The store's own method; its answer waits for the event of that name."""
        method = getattr(self._store, name)
        if name in ("now", "enqueued", "on_enqueued", "close", "recall"):
            return method

        async def call(*given: Any, **named: Any) -> Any:
            result = await method(*given, **named)
            if name in self.late:
                self.waiting.append(name)
                await self.late[name].wait()
            return result

        return call


@pytest.fixture
async def slow() -> Slow:
    """A store in memory."""
    return Slow(await MemoryStores().open_jobs("memory:"))


@pytest.fixture
async def running(layout: Layout, slow: Slow, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """A gateway over that store, with fast settings unless it is given others."""
    store: Any = slow
    async with gateway_at(layout, getattr(request, "param", FAST), store) as running:
        yield running
        for event in slow.late.values():
            event.set()


async def submit(running: Running) -> None:
    """Queue one job."""
    await running.gateway.broker.submit(NewJob(JOB, HELLO, Payload(b'"work"'), 3))


async def test_a_job_that_is_cancelled_while_it_is_being_taken_is_not_run(running: Running, slow: Slow) -> None:
    """Q07: one outcome, CANCELLED, and no worker hears of it."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    slow.late["claim"] = asyncio.Event()
    async with FakeWorker(running.gateway.layout.worker_socket, hello, lambda _: b"1") as worker:
        await eventually(lambda: slow.waiting == ["claim"])
        slow.late["claim"].set()
        slow.waiting.clear()
        slow.late["claim"] = asyncio.Event()
        await submit(running)
        await eventually(lambda: slow.waiting == ["claim"])

        cancelled = await running.gateway.broker.cancel(JOB)
        slow.late["claim"].set()
        other = NewJob(JobId("other-u1"), HELLO, Payload(b"2"), 3)
        await called(running, other, 60.0)

    assert cancelled is not None
    assert cancelled.status is JobStatus.CANCELLED
    assert [job.id for job in worker.seen] == ["other-u1"]


async def test_a_job_whose_worker_leaves_while_it_is_being_taken_goes_back_unpaid(running: Running, slow: Slow) -> None:
    """Nothing was sent, so nothing is charged."""
    first, second = worker_hello("hello", replica="w1"), worker_hello("hello", replica="w2")
    running.serve(jobs_route("hello", side(first, second)))
    async with FakeWorker(running.gateway.layout.worker_socket, first, lambda _: b"1") as worker:
        slow.late["claim"] = asyncio.Event()
        await submit(running)
        await eventually(lambda: slow.waiting == ["claim"])
        worker.leave()
        await eventually(lambda: all(one.leaving for one in running.gateway.broker.books))
        slow.late["claim"].set()

        async with FakeWorker(running.gateway.layout.worker_socket, second, lambda _: b"2"):
            done = await running.gateway.broker.wait(JOB, 60.0)

    assert done is not None
    assert (done.status, done.output, done.charged) == (JobStatus.COMPLETED, Payload(b"2"), 0)
    assert worker.seen == []


async def test_a_job_whose_worker_hangs_up_while_it_is_being_taken_waits_for_it(running: Running, slow: Slow) -> None:
    """It is back in a moment, and gets the job as the same attempt."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    async with FakeWorker(running.gateway.layout.worker_socket, hello, lambda _: b"1") as worker:
        slow.late["claim"] = asyncio.Event()
        await submit(running)
        await eventually(lambda: slow.waiting == ["claim"])
        worker.hang_up()
        await eventually(lambda: all(one.link is None for one in running.gateway.broker.books))
        slow.late["claim"].set()
        done = await running.gateway.broker.wait(JOB, 60.0)

    assert done is not None
    assert (done.status, done.attempt, done.charged) == (JobStatus.COMPLETED, 1, 0)


@not_waiting
async def test_a_worker_is_not_blamed_for_a_job_that_was_never_sent(running: Running, slow: Slow) -> None:
    """It went while the job was being taken, and did not come back."""
    first, second = worker_hello("hello", replica="w1"), worker_hello("hello", replica="w2")
    running.serve(jobs_route("hello", side(first, second)))
    worker = FakeWorker(running.gateway.layout.worker_socket, first, lambda _: b"1")
    worker.start()
    await worker.until(lambda: worker.welcomes == 1)
    slow.late["claim"] = asyncio.Event()
    await submit(running)
    await eventually(lambda: slow.waiting == ["claim"])
    await worker.stop()
    await eventually(lambda: all(one.link is None for one in running.gateway.broker.books))
    slow.late["claim"].set()

    async with FakeWorker(running.gateway.layout.worker_socket, second, lambda _: b"2"):
        done = await running.gateway.broker.wait(JOB, 60.0)

    assert done is not None
    assert (done.status, done.attempt, done.charged) == (JobStatus.COMPLETED, 2, 0)


async def test_the_caller_hears_of_a_result_only_when_it_is_stored(running: Running, slow: Slow) -> None:
    """And so does the worker."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    slow.late["finish"] = asyncio.Event()
    async with FakeWorker(running.gateway.layout.worker_socket, hello, lambda _: b"1") as worker:
        call = asyncio.create_task(running.post("/v2/hello/runsync", {"input": 1}))
        await eventually(lambda: slow.waiting == ["finish"])
        early = (call.done(), len(worker.unreceived))
        slow.late["finish"].set()
        answer = await call
        await eventually(lambda: not worker.unreceived)

    assert early == (False, 1)
    assert answer.json["status"] == "COMPLETED"


async def test_a_job_that_is_longer_than_its_lease_keeps_it(layout: Layout) -> None:
    """Leases are renewed for as long as the worker says that it lives."""
    settings = dataclasses.replace(FAST, lease=0.9, reconnect_grace=0.5)
    hello = worker_hello("hello")
    go_on = asyncio.Event()

    async def answer(_: Assignment) -> bytes:
        await go_on.wait()
        return b"1"

    async with gateway_at(layout, settings) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, answer) as worker:
            await submit(running)
            await worker.until(lambda: bool(worker.seen))
            await asyncio.sleep(1.5)
            go_on.set()
            done = await running.gateway.broker.wait(JOB, 60.0)

    assert done is not None
    assert (done.status, done.attempt) == (JobStatus.COMPLETED, 1)


async def test_chunks_and_progress_of_another_attempt_are_ignored(running: Running) -> None:
    """Q02: what a stale attempt says changes nothing."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    async with FakeWorker(running.gateway.layout.worker_socket, hello, lambda _: asyncio.Future()) as worker:
        await submit(running)
        await worker.until(lambda: bool(worker.seen))
        for attempt in (7, 1):
            worker.send(Chunk(JOB, attempt, Payload(b"%d" % attempt)))
            worker.send(Progress(JOB, attempt, Payload(b"%d" % attempt)))
        read = await running.gateway.broker.read_stream(JOB, 60.0)
        progress = (await running.get(f"/v2/hello/status/{JOB}")).json["output"]

    assert read is not None
    assert [item.value.data for item in read[1]] == [b"1"]
    assert progress == 1
