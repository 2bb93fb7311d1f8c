"""What a gateway tells of an endpoint's load: a preview's is its own."""

from __future__ import annotations

import asyncio

import pytest
from tests.gateway.conftest import Running, eventually, gateway_at, http_replica, http_route, jobs_route, side

from flashcore.builtin.memory_state import MemoryStores
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.gateway.signals import http_signals, jobs_signals
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName
from flashcore.model.table import EndpointSignals

STABLE, PREVIEW = "a" * 64, "b" * 64
HELLO = EndpointName("hello")


async def said_of_jobs(running: Running) -> EndpointSignals:
    """What is told of the queue now."""
    return await jobs_signals(running.gateway.broker, running.gateway.live.routes.jobs[HELLO], "g")


def queued(signals: EndpointSignals) -> dict[str, int]:
    """What waits for one side alone."""
    return {one.revision[:1]: one.queued for one in signals.sides}


async def submit(running: Running, path: str, count: int) -> None:
    """So many jobs."""
    for _ in range(count):
        assert (await running.post(path, {"input": {}})).status == 200


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
async def test_jobs_for_a_preview_wait_for_its_side_alone(layout: Layout, scheme: str) -> None:
    """They are no load of the endpoint, which would grow for them; once it is promoted they are."""
    stores = SqliteStores() if scheme == "sqlite" else MemoryStores()
    store = await stores.open_jobs(f"sqlite:///{layout.root}/jobs.db" if scheme == "sqlite" else "memory:")
    stable = side(revision=STABLE, weight=100)
    async with gateway_at(layout, store=store) as running:
        running.serve(jobs_route("hello", stable, side(revision=PREVIEW, weight=0, preview=True)))
        await submit(running, "/v2/hello--preview/run", 3)
        alone = await said_of_jobs(running)
        await submit(running, "/v2/hello/run", 2)
        both = await said_of_jobs(running)
        running.serve(jobs_route("hello", side(revision=PREVIEW, weight=100)))
        promoted = await said_of_jobs(running)

    assert (alone.queued, alone.oldest_queued, queued(alone)) == (0, 0.0, {"a": 0, "b": 3})
    assert (both.queued, queued(both)) == (2, {"a": 0, "b": 3})
    assert both.oldest_queued > 0
    assert (promoted.queued, queued(promoted)) == (5, {"b": 0})


async def test_requests_that_wait_for_a_preview_are_its_sides(layout: Layout) -> None:
    """As its jobs are."""
    async with (
        gateway_at(layout) as running,
        http_replica(layout, "new", concurrency=1) as new,
        http_replica(layout, "old", concurrency=1) as old,
    ):
        running.serve(
            http_route(
                "web",
                side(old.route, revision=STABLE, weight=100),
                side(new.route, revision=PREVIEW, weight=0, preview=True),
            )
        )
        for replica in (old, new):
            replica.open.clear()
        service = running.gateway.live.routes.http["web"]
        calls = [asyncio.create_task(running.get(path)) for path in ("/web--preview/",) * 3 + ("/web/",) * 2]
        await eventually(lambda: len(service.room) == 3)
        said = http_signals(service, "g")
        for replica in (old, new):
            replica.open.set()
        await asyncio.gather(*calls)

    assert (said.queued, queued(said)) == (1, {"a": 0, "b": 2})
    assert said.oldest_queued > 0
