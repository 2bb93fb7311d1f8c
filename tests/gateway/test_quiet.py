"""A gateway that was told to take no new work, while its replicas and workers are all there."""

from __future__ import annotations

import asyncio

import pytest
from tests.gateway.conftest import Answer, Running, eventually, gateway_at, http_replica, http_route, jobs_route, side
from tests.gateway.test_link import applied, control

from flashcore.control.link import SocketDataPlane
from flashcore.model.layout import Layout
from flashcore.model.table import RoutingTable
from flashcore.model.token import inner_token
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire.messages import Assignment

LONG = 60.0
"""Seconds that no test takes."""


async def quiet(running: Running) -> None:
    """Wait until new work is refused."""

    async def refuses() -> bool:
        return (await running.post("/v2/jobs/run", {"input": {}})).status == 503

    await eventually(refuses)


async def speaking(plane: SocketDataPlane) -> None:
    """Wait until both ends have agreed on a version."""
    await plane.publish(RoutingTable(1, (jobs_route("jobs"),)))
    await applied(plane, 1)


def refused(answer: Answer) -> bool:
    """With a reason, and told that the connection ends."""
    code = answer.json["error"]["code"]
    return (answer.status, code, answer.headers["connection"]) == (503, "gateway_stopping", "close")


async def test_a_gateway_that_gives_notice_says_so_and_goes_on_accepting(running: Running) -> None:
    """S44: readiness is 503 draining, liveness 200, and new work is taken."""
    running.serve(jobs_route("jobs"))

    notice = asyncio.create_task(running.gateway.give_notice())
    await asyncio.sleep(0)
    ready, live = await running.get("/ping/ready"), await running.get("/ping/live")
    job = await running.post("/v2/jobs/run", {"input": {}})
    await notice

    assert (ready.status, ready.json) == (503, {"status": "draining"})
    assert (live.status, live.json) == (200, {"status": "draining"})
    assert job.status == 200


async def test_requests_under_way_are_answered_before_the_gateway_says_that_it_is_quiet(layout: Layout) -> None:
    """Those at a replica, those of jobs; new ones of both kinds are refused meanwhile, and readiness says draining."""
    go_on = asyncio.Event()

    async def answer(_: Assignment) -> bytes:
        await go_on.wait()
        return b'"done"'

    hello = worker_hello("jobs")
    async with gateway_at(layout) as running, control(layout) as plane, http_replica(layout, "r1") as replica:
        table = RoutingTable(1, (jobs_route("jobs", side(hello)), http_route("web", side(replica.route))))
        await plane.publish(table)
        await applied(plane, 1)
        async with FakeWorker(layout.worker_socket, hello, answer) as worker:
            replica.open.clear()
            proxied = asyncio.create_task(running.get("/web/slow"))
            synchronous = asyncio.create_task(running.post("/v2/jobs/runsync", {"input": {}}))
            await eventually(lambda: len(replica.seen) == len(worker.seen) == 1)
            telling = asyncio.create_task(plane.quiesce(LONG))
            await quiet(running)

            assert refused(await running.get("/web/new"))
            assert refused(await running.post("/v2/jobs/runsync", {"input": {}}))
            assert (await running.get("/ping/ready")).json == {"status": "draining"}
            assert (await running.get("/ping/live")).status == 200
            replica.open.set()
            assert (await proxied).status == 200
            assert not telling.done()
            go_on.set()
            assert (await synchronous).json["output"] == "done"
            assert await telling == 0
    assert [seen.target for seen in replica.seen] == ["/slow"]


async def test_who_waits_for_a_job_can_go_on_asking_for_it(layout: Layout) -> None:
    """The job was accepted before; its worker may report after the gateway was quiet."""
    hello, go_on = worker_hello("jobs"), asyncio.Event()

    async def answer(_: Assignment) -> bytes:
        await go_on.wait()
        return b'"late"'

    async with gateway_at(layout) as running, control(layout) as plane:
        await plane.publish(RoutingTable(1, (jobs_route("jobs", side(hello)),)))
        await applied(plane, 1)
        async with FakeWorker(layout.worker_socket, hello, answer) as worker:
            job = (await running.post("/v2/jobs/run", {"input": {}})).json["id"]
            await eventually(lambda: worker.seen)
            assert await plane.quiesce(LONG) == 0

            asking = asyncio.create_task(running.get(f"/v2/jobs/status-sync/{job}?wait=50000"))
            go_on.set()
            assert (await asking).json["output"] == "late"


async def test_a_replica_at_work_still_calls_another_one(layout: Layout) -> None:
    """What it was asked for was accepted: what that needs is not refused."""
    layout.home.mkdir(parents=True)
    layout.token.write_text("secret")
    async with gateway_at(layout) as running, control(layout) as plane, http_replica(layout, "r1") as replica:
        await plane.publish(RoutingTable(1, (http_route("web", side(replica.route)),)))
        await applied(plane, 1)
        assert await plane.quiesce(LONG) == 0

        inner = await running.get("/web/", {"Authorization": f"Bearer {inner_token('secret')}"})
        foreign = await running.get("/web/", {"Authorization": "Bearer secret"})

    assert (inner.status, foreign.status) == (200, 503)


async def test_what_does_not_finish_within_the_grace_is_counted_and_goes_on(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replica has a grace of its own; nothing is cut off here."""
    monkeypatch.setattr("flashcore.control.link._LATE", LONG)  # the count is heard, however late a machine is
    async with gateway_at(layout) as running, control(layout) as plane, http_replica(layout, "r1") as replica:
        await plane.publish(RoutingTable(1, (http_route("web", side(replica.route)),)))
        await applied(plane, 1)
        replica.open.clear()
        proxied = asyncio.create_task(running.get("/web/"))
        await eventually(lambda: replica.seen)

        assert await plane.quiesce(0.05) == 1
        replica.open.set()

        assert (await proxied).status == 200


async def test_a_gateway_takes_new_work_again_when_the_one_who_stopped_it_is_gone(layout: Layout) -> None:
    """That one may have crashed before it ended any replica."""
    async with gateway_at(layout) as running:
        async with control(layout) as plane:
            await speaking(plane)
            await plane.quiesce(LONG)
            assert refused(await running.post("/v2/jobs/run", {"input": {}}))

        async def taken() -> bool:
            return (await running.post("/v2/jobs/run", {"input": {}})).status == 200

        await eventually(taken)
        assert (await running.get("/ping/ready")).status == 200


async def test_a_worker_that_asks_for_jobs_is_not_waited_for(layout: Layout) -> None:
    """It is held until there is one, and there may be none."""
    hello = worker_hello("jobs", replica="w1")
    async with gateway_at(layout) as running, control(layout) as plane:
        await plane.publish(RoutingTable(1, (jobs_route("jobs", side(hello)),)))
        await applied(plane, 1)
        taking = asyncio.create_task(running.get("/v2/jobs/job-take/w1"))
        await eventually(lambda: running.gateway.http.busy_count == 1)

        async with asyncio.timeout(LONG / 2):
            assert await plane.quiesce(LONG) == 0
        taking.cancel()


@pytest.mark.parametrize("speaks", [1, 2])
async def test_a_gateway_of_before_is_told_nothing(layout: Layout, speaks: int) -> None:
    """It would hang up on a message that it does not know; it is told to end after the replicas, as it always was."""
    async with gateway_at(layout), control(layout) as plane:
        await speaking(plane)
        plane._gateway.speaks = speaks  # noqa: SLF001 - as if an older gateway had chosen it
        sent = plane.bytes_sent

        assert await plane.quiesce(LONG) == 0
        assert plane.bytes_sent == sent


async def test_a_gateway_that_dies_while_it_is_waited_for_is_not_waited_for(layout: Layout) -> None:
    """There is nothing left under way."""
    async with control(layout) as plane, http_replica(layout, "r1") as replica:
        async with gateway_at(layout) as running:
            await plane.publish(RoutingTable(1, (http_route("web", side(replica.route)), jobs_route("jobs"))))
            await applied(plane, 1)
            replica.open.clear()
            held = asyncio.create_task(running.get("/web/"))
            await eventually(lambda: replica.seen)
            telling = asyncio.create_task(plane.quiesce(LONG))
            await quiet(running)  # and its readiness is not asked for, which would get a notice
        async with asyncio.timeout(LONG / 2):
            assert await telling == 0
        assert (await held).status == 504
