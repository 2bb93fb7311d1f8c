"""Q31: jobs that are addressed to a preview which is taken back wait for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from tests.gateway.conftest import FAST, Running, eventually, gateway_at, jobs_route, side

from flashcore.builtin.memory_state import MemoryStores
from flashcore.model.job import JobStatus
from flashcore.model.layout import Layout
from flashcore.testing.fake_worker import FakeWorker, worker_hello

STABLE, PREVIEW = worker_hello("hello", "a" * 64), worker_hello("hello", "b" * 64, replica="hello-2")
WITH_PREVIEW = jobs_route("hello", side(STABLE), side(PREVIEW, preview=True))
WITHOUT = jobs_route("hello", side(STABLE))
HASTY = replace(FAST, unfit_patience=0.2)


@pytest_asyncio.fixture
async def hasty(layout: Layout) -> AsyncIterator[Running]:
    """A gateway that does not wait long for a revision that left."""
    async with gateway_at(layout, HASTY) as running:
        yield running


async def queued(running: Running) -> int:
    """How many jobs wait."""
    return (await running.store.counts(WITHOUT.name)).by_status[JobStatus.IN_QUEUE]


@pytest.mark.timeout(20)
async def test_jobs_for_a_preview_that_is_taken_back_fail(hasty: Running) -> None:
    """Q31: who waits for one is told which revision it was for, and nothing is left that keeps the endpoint awake."""
    hasty.serve(WITH_PREVIEW)
    waiting = asyncio.create_task(hasty.post("/v2/hello--preview/runsync", {"input": 1}))
    await eventually(lambda: queued(hasty))

    hasty.serve(WITHOUT)
    answer = (await waiting).json

    assert answer["status"] == "FAILED"
    assert "b" * 12 in answer["error"]
    assert await queued(hasty) == 0


@pytest.mark.timeout(20)
async def test_so_do_those_that_an_earlier_gateway_left_behind(layout: Layout) -> None:
    """Q31, Q35: this gateway never heard of the preview."""
    store = await MemoryStores().open_jobs("memory:")
    async with gateway_at(layout, HASTY, store) as running:
        running.serve(WITH_PREVIEW)
        job = (await running.post("/v2/hello--preview/run", {"input": 1})).json["id"]
        left = await store.get(job)
        assert left is not None

    again = await MemoryStores().open_jobs("memory:")
    async with gateway_at(layout, HASTY, again) as running:
        await again.submit([left.new])
        running.serve(WITHOUT)
        done = await running.gateway.broker.wait(job, 15.0)

    assert done is not None
    assert done.status is JobStatus.FAILED


@pytest.mark.timeout(20)
async def test_a_preview_that_is_back_in_time_has_its_jobs(layout: Layout) -> None:
    """Its replica crashed, and another came."""
    async with gateway_at(layout) as running:
        running.serve(WITH_PREVIEW)
        job = (await running.post("/v2/hello--preview/run", {"input": 1})).json["id"]
        running.serve(WITHOUT)
        await asyncio.sleep(3 * FAST.sweep_interval)
        running.serve(WITH_PREVIEW)
        async with FakeWorker(running.gateway.layout.worker_socket, PREVIEW, lambda job: bytes(job.input.data)):
            done = await running.gateway.broker.wait(job, 15.0)

    assert done is not None
    assert done.status is JobStatus.COMPLETED
