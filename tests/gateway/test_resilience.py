"""What an endpoint's callers see of replicas that fail: as little as can be, and never a storm of retries."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from tests.gateway.conftest import (
    FAST,
    HttpReplica,
    Running,
    eventually,
    gateway_at,
    hasty,
    http_replica,
    http_route,
    side,
)

from flashcore.gateway.circuit import CircuitState
from flashcore.gateway.http_service import HttpService
from flashcore.gateway.retrying import RESERVE
from flashcore.gateway.tablefile import TableFile
from flashcore.model.layout import Layout

SETTINGS = dataclasses.replace(FAST, circuit_failures=3, circuit_seconds=600.0, circuit_trials=2)


@asynccontextmanager
async def served(layout: Layout, *names: str) -> AsyncIterator[tuple[Running, tuple[HttpReplica, ...]]]:
    """A gateway before replicas of these names of one endpoint, `web`."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(gateway_at(layout, SETTINGS))
        replicas = [await stack.enter_async_context(http_replica(layout, name)) for name in names]
        running.serve(http_route("web", side(*(replica.route for replica in replicas))))
        yield running, tuple(replicas)


def service_of(running: Running) -> HttpService:
    """The endpoint `web`."""
    return running.gateway.live.routes.http["web"]


def states(running: Running) -> dict[str, CircuitState]:
    """Circuits by replica."""
    routing = service_of(running).routing
    assert routing is not None
    return {target.candidate.replica: target.circuit.state for target in routing.targets}


def let_time_pass(running: Running) -> None:
    """As much as a circuit is open."""
    routing = service_of(running).routing
    assert routing is not None
    for target in routing.targets:
        target.circuit.until = 0.0


@pytest.fixture(autouse=True)
async def many_callers() -> None:
    """Each call waits in a thread of its own."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(48))


async def test_a_replica_that_fails_is_left_alone_until_it_is_well(layout: Layout) -> None:
    """S56: three failures, then nobody goes there; two trials after a while, then it is one of two again."""
    async with served(layout, "a", "b") as (running, (bad, _)):
        bad.status = 500
        await eventually(lambda: _get_until(running, CircuitState.OPEN))
        seen = len(bad.seen)
        answers = [await running.get("/web/") for _ in range(5)]
        during = len(bad.seen)
        bad.status = 200
        let_time_pass(running)
        await eventually(lambda: _get_until(running, CircuitState.CLOSED))

    assert {answer.status for answer in answers} == {200}
    assert (seen, during) == (3, 3)
    assert service_of(running).tally.openings == 1


async def _get_until(running: Running, state: CircuitState) -> bool:
    await running.get("/web/")
    return states(running)["a"] is state


@pytest.mark.parametrize("status", [429, 400, 404])
async def test_what_is_the_callers_affair_opens_no_circuit(layout: Layout, status: int) -> None:
    """S54: a replica that answers 429 is busy, not broken; other 4xx are what the caller asked for."""
    async with served(layout, "a", "b") as (running, (bad, _)):
        bad.status = status
        for _ in range(12):
            await running.get("/web/")

    assert set(states(running).values()) == {CircuitState.CLOSED}
    assert bad.seen


async def test_an_answer_of_4xx_is_no_recovery(layout: Layout) -> None:
    """S55: half-open it stays, and goes on being tried."""
    async with served(layout, "a", "b") as (running, (bad, _)):
        bad.status = 500
        await eventually(lambda: _get_until(running, CircuitState.OPEN))
        bad.status = 400
        let_time_pass(running)
        await eventually(lambda: _get_until(running, CircuitState.HALF_OPEN))
        seen = len(bad.seen)
        for _ in range(10):
            await running.get("/web/")

    assert states(running)["a"] is CircuitState.HALF_OPEN
    assert len(bad.seen) > seen


async def test_a_new_table_forgets_nothing_of_what_a_replica_did(layout: Layout) -> None:
    """S47: who failed goes on being left alone, whatever else the table says of the endpoint now."""
    async with served(layout, "a", "b") as (running, (bad, good)):
        bad.status = 500
        await eventually(lambda: _get_until(running, CircuitState.OPEN))
        seen = len(bad.seen)
        running.serve(http_route("web", side(*(dataclasses.replace(r.route, max_concurrency=7) for r in (bad, good)))))
        await running.get("/web/")

        assert states(running) == {"a": CircuitState.OPEN, "b": CircuitState.CLOSED}
        assert len(bad.seen) == seen


async def test_at_most_k_trials_are_under_way(layout: Layout) -> None:
    """S56: of forty requests at once, two go to the replica that is tried, the others elsewhere."""
    async with served(layout, "a", "b") as (running, (bad, good)):
        running.serve(
            http_route("web", side(*(dataclasses.replace(r.route, max_concurrency=100) for r in (bad, good))))
        )
        bad.status = 500
        await eventually(lambda: _get_until(running, CircuitState.OPEN))
        bad.status, seen = 200, len(bad.seen)
        bad.open.clear()
        good.open.clear()
        let_time_pass(running)
        calls = [asyncio.create_task(running.get("/web/")) for _ in range(40)]
        await eventually(lambda: len(bad.seen) - seen + service_of(running).counts[side().revision].in_flight >= 40)
        tried = len(bad.seen) - seen
        bad.open.set()
        good.open.set()
        answers = await asyncio.gather(*calls)

    assert tried == SETTINGS.circuit_trials
    assert Counter(answer.status for answer in answers) == {200: 40}


async def test_where_too_many_fail_nobody_is_left_out_and_the_answer_says_so(layout: Layout) -> None:
    """Panic: one of three may be left alone; when two fail, all of them are asked."""
    async with served(layout, "a", "b", "c") as (running, (first, second, _)):
        first.status = second.status = 500
        await eventually(lambda: _is_panicking(running))
        answers = [await running.get("/web/") for _ in range(3)]

    assert "a" in {answer.json["replica"] for answer in answers}
    assert {answer.headers.get("x-flashcore-panic") for answer in answers} == {"1"}


async def _is_panicking(running: Running) -> bool:
    await asyncio.gather(*(running.get("/web/") for _ in range(3)))
    return len(service_of(running).troubled) == 2


async def test_the_only_replica_is_never_left_alone(layout: Layout) -> None:
    """What it answers is better than nothing, and it is how it is known to be well again."""
    async with served(layout, "a") as (running, (only,)):
        only.status = 500
        answers = [await running.get("/web/") for _ in range(6)]
        only.status = 200
        let_time_pass(running)
        await eventually(lambda: _get_until(running, CircuitState.CLOSED))

    assert {answer.status for answer in answers} == {500}


async def test_a_503_is_replaced_by_another_replicas_answer(layout: Layout) -> None:
    """The caller sees no outage of one replica; where all say so, the last word is passed on."""
    async with served(layout, "a", "b") as (running, (first, second)):
        first.status = 503
        answers = [await running.post("/web/", {"x": 1}) for _ in range(4)]
        second.status = 503
        both = await running.post("/web/", {"x": 1})
        retries = dict(service_of(running).tally.retries)

    assert [answer.json["replica"] for answer in answers] == ["b"] * 4
    assert (both.status, set(retries)) == (503, {"unavailable"})


async def test_retries_end_with_their_budget(layout: Layout) -> None:
    """A fifth of the requests may be repeated, beside a reserve: an outage is not made worse by the gateway."""
    async with served(layout, "a", "b") as (running, (first, second)):
        first.status = second.status = 503
        for _ in range(60):
            await running.get("/web/")
        asked = len(first.seen) + len(second.seen)

    assert 60 < asked <= 60 + RESERVE + 0.2 * 60


async def test_a_new_life_of_a_replica_has_a_closed_circuit(layout: Layout) -> None:
    """S60: what its predecessor at that address did is not held against it."""
    async with served(layout, "a", "b") as (running, (bad, good)):
        bad.status = 500
        await eventually(lambda: _get_until(running, CircuitState.OPEN))
        again = dataclasses.replace(bad.route, instance="i2")  # type: ignore[arg-type]  # a text
        running.serve(http_route("web", side(again, good.route)))

        assert states(running)["a"] is CircuitState.CLOSED
        assert service_of(running).troubled == frozenset()


async def test_the_gateway_answers_for_itself_while_it_is_full(layout: Layout) -> None:
    """S62, M58: requests wait for busy and for held endpoints; /ping is answered at once."""
    settings = dataclasses.replace(FAST, hold_seconds=60.0)
    async with gateway_at(layout, settings) as running, http_replica(layout, "a", concurrency=1) as replica:
        running.serve(http_route("web", side(replica.route)), http_route("held", held=True))
        replica.open.clear()
        calls = [asyncio.create_task(running.get(path)) for path in ("/web/", "/held/") for _ in range(8)]
        await eventually(lambda: len(service_of(running).room) == 7)

        ping = await running.get("/ping")
        waiting = sum(not call.done() for call in calls)
        replica.open.set()
        running.serve(http_route("web", side(replica.route)))
        await asyncio.gather(*calls)

    assert (ping.status, waiting) == (200, 16)


@hasty
async def test_held_requests_are_told_after_a_while(running: Running) -> None:
    """M58: they are held up to a limit, then 504."""
    running.serve(http_route("web", held=True))

    answer = await running.get("/web/")

    assert (answer.status, answer.json["error"]["code"]) == (504, "held_too_long")


async def test_a_gateway_that_comes_back_takes_its_replicas_for_well(layout: Layout) -> None:
    """M60: it serves by its last table at once, also to a replica that it had left alone before."""
    async with http_replica(layout, "a") as bad, http_replica(layout, "b") as good:
        async with gateway_at(layout, SETTINGS) as running:
            running.serve(http_route("web", side(bad.route, good.route)))
            TableFile(layout.table_file, layout.table_changes_file).keep(running.gateway.live.routes.table)
            bad.status = 500
            await eventually(lambda: _get_until(running, CircuitState.OPEN))
        bad.status, seen = 200, len(bad.seen)
        async with gateway_at(layout, SETTINGS) as running:
            answers = [await running.get("/web/") for _ in range(4)]

    assert {answer.status for answer in answers} == {200}
    assert len(bad.seen) > seen
