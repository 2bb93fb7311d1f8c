"""What a gateway that retires still answers: nothing that is not stored, and nothing stored is lost sight of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from tests.gateway.conftest import FAST, Running, eventually, gateway_at, jobs_route, side
from tests.gateway.test_links import job, linked, worker_of

from flashcore.builtin.memory_state import MemoryStores
from flashcore.gateway.retired import Rest
from flashcore.hookspecs.jobs import JobStore
from flashcore.model.layout import Layout
from flashcore.wire.calls import Going


class Slow:
    """A job store whose methods of these names take until they are let."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self.of: set[str] = set()
        self.asked: list[str] = []
        self.open = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        """The store's own method, later."""
        method = getattr(self._store, name)
        if name not in self.of:
            return method

        async def call(*given: Any, **named: Any) -> Any:
            self.asked.append(name)
            await self.open.wait()
            return await method(*given, **named)

        return call


@pytest.fixture
async def slow() -> Slow:
    """A store in memory, as quick as any."""
    return Slow(await MemoryStores().open_jobs("memory:"))


@pytest.fixture
async def running(layout: Layout, slow: Slow, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """A gateway over that store."""
    store: Any = slow
    async with gateway_at(layout, getattr(request, "param", FAST), store=store) as running:
        yield running
        slow.open.set()


def retiring(running: Running) -> asyncio.Task[None]:
    """It is asked to."""

    def told(_: Rest) -> None:
        """There is nobody to tell."""

    return asyncio.create_task(running.gateway.retire(told))


@pytest.mark.parametrize("route", ["run", "runsync"])
async def test_a_job_that_is_being_stored_is_stored_before_its_caller_hears_of_it(
    running: Running, slow: Slow, route: str
) -> None:
    """A caller who waits for its end is told how it is then: there is such a job."""
    running.serve(jobs_route("hello"))
    slow.of = {"submit"}
    asking = asyncio.create_task(running.post(f"/v2/hello/{route}", {"input": {}}))
    await eventually(lambda: slow.asked)

    going = retiring(running)
    await asyncio.sleep(0)
    assert not asking.done()
    slow.open.set()
    answer = await asking
    await going

    assert (answer.status, answer.json["status"], answer.headers["connection"]) == (200, "IN_QUEUE", "close")


async def test_a_result_is_stored_before_its_worker_hears_of_it(running: Running, slow: Slow) -> None:
    """One that asks over HTTP has no other gateway to repeat it to."""
    running.serve(jobs_route("hello", side()))
    job_id = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
    await running.get("/v2/hello/job-take/w1")
    slow.of = {"finish"}
    posting = asyncio.create_task(running.post(f"/v2/hello/job-done/w1/{job_id}", {"output": 1}))
    await eventually(lambda: slow.asked)

    going = retiring(running)
    await asyncio.sleep(0)
    assert not posting.done()
    slow.open.set()
    answer = await posting
    await going

    assert answer.status == 200


@pytest.mark.parametrize("running", [pytest.param(replace(FAST, stop_grace=0.1), id="brief")], indirect=True)
async def test_a_result_that_is_not_stored_in_time_is_said_not_to_be(running: Running, slow: Slow) -> None:
    """Its worker posts it again, to the next gateway."""
    running.serve(jobs_route("hello", side()))
    job_id = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
    await running.get("/v2/hello/job-take/w1")
    slow.of = {"finish"}
    posting = asyncio.create_task(running.post(f"/v2/hello/job-done/w1/{job_id}", {"output": 1}))
    await eventually(lambda: slow.asked)

    await retiring(running)
    answer = await posting

    assert (answer.status, answer.json["error"]["code"]) == (504, "gateway_stopping")


async def test_a_caller_over_a_link_is_told_how_its_jobs_are_and_that_the_link_ends(layout: Layout) -> None:
    """As when the time of its wait is over; one that has nothing under way is told alone that it ends."""
    never = asyncio.Event()
    async with (
        gateway_at(layout) as running,
        worker_of(running, layout, lambda _: never.wait()) as worker,
        linked(running) as idle,
        linked(running) as caller,
    ):
        caller.submit(job(1))
        await eventually(lambda: worker.seen)

        going = retiring(running)
        said = await caller.hear(2)

        assert isinstance(said[0], Going)
        assert said[1].document["status"] == "IN_PROGRESS"
        assert await caller.ended()
        assert await idle.ended()
        await going
        never.set()
