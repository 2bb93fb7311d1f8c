"""What is kept of a stream has a bound: a generator without an end that nobody reads would fill the disk."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.gateway.conftest import FAST, Answer, Running, eventually, gateway_at, jobs_route, side
from tests.gateway.test_polling import SDK, take

from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.model.layout import Layout
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire.hello import Hello
from flashcore.wire.messages import Assignment

LIMIT = 200_000
ITEM = b'"' + b"x" * 998 + b'"'
LIMITED = dataclasses.replace(FAST, stream_limit=LIMIT, heartbeat=20.0, poll_seconds=0.6)


class Endless:
    """A generator without an end; each item waits until the one before is stored, and for `go`."""

    def __init__(self) -> None:
        self.worker: FakeWorker | None = None
        self.go = asyncio.Event()
        self.go.set()
        self.ahead = asyncio.Semaphore(1_000_000)
        """How many more items it may yield."""
        self.yielded = 0

    async def __call__(self, job: Assignment) -> bytes:
        """Yield until it is stopped; any other job is done at once."""
        if job.input.data != b'"endless"':
            return b'"done"'
        worker = self.worker
        assert worker is not None
        while True:
            await self.go.wait()
            await self.ahead.acquire()
            worker.chunk(job, ITEM, self.yielded)
            self.yielded += 1
            await worker.until(lambda: self.is_stored)

    @property
    def is_stored(self) -> bool:
        """Whether all that it has yielded is."""
        return self.worker is not None and any(one.chunks >= self.yielded for one in self.worker.taken)


@asynccontextmanager
async def gateway(layout: Layout, hello: Hello, stored: str = "sqlite") -> AsyncIterator[Running]:
    """One of several that follow each other, with a worker of that hello listed."""
    store = await SqliteStores().open_jobs(f"sqlite:///{layout.root}/jobs.db") if stored == "sqlite" else None
    async with gateway_at(layout, LIMITED, store) as running:
        running.serve(jobs_route("hello", side(hello)))
        yield running


@asynccontextmanager
async def worker_of(layout: Layout, hello: Hello) -> AsyncIterator[Endless]:
    """Its generator, in a worker that comes to whichever gateway is there."""
    endless = Endless()
    async with FakeWorker(layout.worker_socket, hello, endless) as endless.worker:
        yield endless


async def submit(running: Running, kind: str) -> str:
    """A job's id."""
    return str((await running.post("/v2/hello/run", {"input": kind})).json["id"])


async def ended(running: Running, job: str) -> Any:
    """The job's document at its end."""
    return (await running.get(f"/v2/hello/status-sync/{job}?wait=60000")).json


def is_overfull(document: Any) -> bool:
    """Whether the job failed for what is kept of its stream, and says so."""
    error = json.loads(document["error"])
    return (
        document["status"] == "FAILED"
        and error["error_type"] == "flashcore.model.errors.StreamFull"
        and f"the most are {LIMIT:,} (stream_limit)" in error["error_message"]
        and "next: read the stream while the job runs" in error["error_message"]
    )


@pytest.mark.parametrize("stored", ["sqlite", "memory"])
async def test_a_job_whose_stream_nobody_reads_fails_at_the_limit(layout: Layout, stored: str) -> None:
    """Q11: its worker is told to stop, and goes on with other jobs; what was kept can be read."""
    hello = worker_hello("hello")
    async with gateway(layout, hello, stored) as running, worker_of(layout, hello) as endless:
        job = await submit(running, "endless")
        failed = await ended(running, job)
        other = await ended(running, await submit(running, "plain"))
        first = (await running.get(f"/v2/hello/stream/{job}?after=0")).json["stream"]

        assert endless.worker is not None
        assert job in endless.worker.stopped

    assert is_overfull(failed)
    assert LIMIT / len(ITEM) * 0.7 < endless.yielded < LIMIT / len(ITEM) * 1.2
    assert (other["status"], other["output"]) == ("COMPLETED", "done")
    assert len(first) > 0


@pytest.mark.parametrize("asked", ["?wait=60000", "?wait=60000&after={known}"])
@pytest.mark.parametrize("stored", ["sqlite", "memory"])
async def test_a_stream_that_is_read_may_be_as_long_as_it_likes(layout: Layout, stored: str, asked: str) -> None:
    """Q11: whoever reads makes room, by taking items as by saying how many it has."""
    hello = worker_hello("hello")
    async with gateway(layout, hello, stored) as running, worker_of(layout, hello) as endless:
        # As many again are kept until the reader says that it has them.
        endless.ahead = asyncio.Semaphore(LIMIT // len(ITEM) // 4)
        job = await submit(running, "endless")
        known = 0
        while known < 3 * LIMIT // len(ITEM):
            answer: Answer = await running.get(f"/v2/hello/stream/{job}{asked.format(known=known)}")
            known += len(answer.json["stream"])
            for _ in answer.json["stream"]:
                endless.ahead.release()
            assert answer.json["status"] == "IN_PROGRESS"
        assert endless.yielded >= known


async def test_what_an_earlier_gateway_stored_of_a_stream_counts(layout: Layout) -> None:
    """Q01, Q11: else a stream would have room for as much again with each restart."""
    hello = worker_hello("hello")
    async with worker_that_waits(layout, hello) as endless:
        async with gateway(layout, hello) as running:
            job = await submit(running, "endless")
            await eventually(lambda: endless.yielded >= LIMIT // len(ITEM) // 2)
            endless.go.clear()
            await eventually(lambda: endless.is_stored)
        before = endless.yielded
        async with gateway(layout, hello) as running:
            await eventually(lambda: endless.worker is not None and endless.worker.welcomes == 2)
            endless.go.set()
            failed = await ended(running, job)

    assert is_overfull(failed)
    assert endless.yielded - before < LIMIT / len(ITEM) * 0.7


@asynccontextmanager
async def worker_that_waits(layout: Layout, hello: Hello) -> AsyncIterator[Endless]:
    """As `worker_of`, for gateways that begin later."""
    endless = Endless()
    endless.worker = FakeWorker(layout.worker_socket, hello, endless)
    endless.worker.start()
    try:
        yield endless
    finally:
        await endless.worker.stop()


async def test_a_job_that_is_tried_again_has_all_the_room_again(layout: Layout) -> None:
    """Q11: what was kept of the attempt before is gone."""
    hello = worker_hello("hello")
    async with gateway(layout, hello) as running, worker_of(layout, hello) as endless:
        job = await submit(running, "endless")
        await ended(running, job)
        before = endless.yielded
        worker = endless.worker
        assert worker is not None
        await worker.until(lambda: not worker.unreceived)
        worker.taken.clear()
        endless.yielded = 0
        await running.post(f"/v2/hello/retry/{job}")
        failed = await ended(running, job)

    assert is_overfull(failed)
    assert 0.7 * before < endless.yielded < 1.3 * before


async def test_a_worker_of_runpods_is_told_that_its_stream_is_too_long(layout: Layout) -> None:
    """Q11: by the answer to its item, and by what it is to stop; the status has the same reason."""
    hello = worker_hello("hello")
    async with gateway(layout, hello) as running:
        job = await submit(running, "endless")
        await take(running)
        answers: list[Answer] = []
        while not answers or answers[-1].status == 200:
            answers.append(await running.post(f"/v2/hello/job-stream/w1/{job}", {"output": "x" * 1000}, SDK))
        failed = await ended(running, job)
        stops = await running.get("/v2/hello/job-stop/w1", SDK)
        reported = await running.post(f"/v2/hello/job-done/w1/{job}", {"output": []}, SDK)
        again = await ended(running, job)

    assert is_overfull(failed)
    assert (answers[-1].status, answers[-1].json["error"]["code"]) == (413, "stream_full")
    assert "next_step" in answers[-1].json["error"]
    assert stops.json == {"jobsToStop": [job]}
    assert (reported.status, again) == (200, failed)
