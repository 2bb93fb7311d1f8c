"""The gateway and real replicas, each a process of its own: the two ends of the wire meet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.gateway.conftest import Running, eventually, http_route, jobs_route
from tests.worker.conftest import HTTP_HANDLER, QUEUE_HANDLER, SOURCE, function, write_artifact

from flashcore.model.layout import Layout
from flashcore.model.manifest import Route
from flashcore.model.names import InstanceId, ReplicaId, RevisionId
from flashcore.model.table import ReplicaRoute, SideRoute

CODE = """
    import asyncio, os, time

    async def work(kind, value=None):
        if kind == "fail":
            raise ValueError("broken")
        if kind == "wait":
            await asyncio.sleep(value)
        if kind == "hold":
            open(value + ".begun", "w").close()
            while not os.path.exists(value):
                await asyncio.sleep(0.01)
        if kind == "die":
            os._exit(9)
        return {"value": value}
"""
STREAM = """
    def work(count):
        for number in range(count):
            yield {"number": number}
"""
PAGES = """
    def item(item_id: int):
        return {"item": item_id}
"""
REVISION = RevisionId("0" * 64)


@asynccontextmanager
async def replica(layout: Layout, handler: Path, name: str = "tested-1", slots: int = 2) -> AsyncIterator[Process]:
    """A replica's process."""
    folder = layout.root / name
    folder.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SOURCE),
        "FLASHCORE_ENDPOINT": "tested",
        "FLASHCORE_REPLICA": name,
        "FLASHCORE_INSTANCE": "life-1",
        "FLASHCORE_REVISION": REVISION,
        "FLASHCORE_CONTROL_SOCKET": str(folder / "control"),
        "FLASHCORE_HTTP_SOCKET": str(folder / "http"),
        "FLASHCORE_WORKER_SOCKET": str(layout.worker_socket),
        "FLASHCORE_RECORD": str(folder / "replica.json"),
        "FLASHCORE_SLOTS": str(slots),
    }
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "flashcore.worker", "--handler", str(handler)),
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def side_of(layout: Layout, *names: str) -> SideRoute:
    """A side of these replicas."""
    return SideRoute(
        REVISION,
        None,
        tuple(
            ReplicaRoute(ReplicaId(name), InstanceId("life-1"), f"unix:{layout.root / name / 'http'}", 2)
            for name in names
        ),
    )


def queue_artifact(layout: Layout, code: str, kind: str = "async_function") -> Path:
    """The handler of an artifact with one function."""
    return write_artifact(layout.root / "code", QUEUE_HANDLER, {"code_of_user.py": code}, [function("work", kind)])


async def test_a_replica_runs_jobs_of_every_outcome(running: Running, layout: Layout) -> None:
    """Q-C1, Q-C3, Q-C9: a value, an exception with its traceback, a cancellation."""
    running.serve(jobs_route("tested", side_of(layout, "tested-1")))
    async with replica(layout, queue_artifact(layout, CODE)):
        done = await running.post("/v2/tested/runsync", {"input": {"kind": "give", "value": [1, "ä"]}})
        failed = await running.post("/v2/tested/runsync", {"input": {"kind": "fail"}})
        waiting = asyncio.create_task(running.post("/v2/tested/runsync", {"input": {"kind": "wait", "value": 60}}))
        (attempt,) = await eventually(
            lambda: [one for worker in running.gateway.broker.books for one in worker.running]
        )
        await running.post(f"/v2/tested/cancel/{attempt}")
        cancelled = await waiting
        await eventually(lambda: all(not worker.attempts for worker in running.gateway.broker.books))

    assert (done.json["status"], done.json["output"]) == ("COMPLETED", {"value": [1, "ä"]})
    assert failed.json["status"] == "FAILED"
    error = json.loads(failed.json["error"])
    assert "ValueError" in error["error_type"]
    assert "broken" in error["error_message"]
    assert cancelled.json["status"] == "CANCELLED"


async def test_a_generator_is_read_in_order(running: Running, layout: Layout) -> None:
    """Q-C5."""
    running.serve(jobs_route("tested", side_of(layout, "tested-1")))
    async with replica(layout, queue_artifact(layout, STREAM, "generator")):
        job = (await running.post("/v2/tested/run", {"input": {"count": 20}})).json["id"]
        read: list[int] = []
        status = ""
        while status != "COMPLETED":
            answer = (await running.get(f"/v2/tested/stream/{job}?wait=50000")).json
            read += [item["output"]["number"] for item in answer["stream"]]
            status = answer["status"] if not answer["stream"] else ""

    assert read == list(range(20))


async def test_the_job_of_a_replica_that_dies_goes_to_the_next_and_fails_with_it(
    running: Running, layout: Layout
) -> None:
    """Q05, Q22: os._exit in the handler; two lives, then FAILED with what is known, and where there is more."""
    running.serve(jobs_route("tested", side_of(layout, "tested-1", "tested-2")))
    handler = queue_artifact(layout, CODE)
    async with replica(layout, handler) as first, replica(layout, handler, "tested-2") as second:
        answer = await running.post("/v2/tested/runsync", {"input": {"kind": "die"}})
        ends = await first.wait(), await second.wait()

    assert ends == (9, 9)
    assert answer.json["status"] == "FAILED"
    assert "worker lost: its process ended" in answer.json["error"]
    assert "`flashcore why tested` says how" in answer.json["error"]
    assert "`flashcore logs tested --replica tested-" in answer.json["error"]


async def test_a_drained_replica_finishes_its_job_and_takes_no_other(running: Running, layout: Layout) -> None:
    """Q21: SIGTERM, the running one ends well, exit 0, the queued one waits for somebody else."""
    running.serve(jobs_route("tested", side_of(layout, "tested-1", "tested-2")))
    handler, go_on = queue_artifact(layout, CODE), layout.root / "go-on"
    async with replica(layout, handler, slots=1) as first:
        slow = asyncio.create_task(running.post("/v2/tested/runsync", {"input": {"kind": "hold", "value": str(go_on)}}))
        await eventually((layout.root / "go-on.begun").exists)
        first.terminate()
        await eventually(lambda: all(worker.leaving for worker in running.gateway.broker.books))
        queued = asyncio.create_task(running.post("/v2/tested/runsync", {"input": {"kind": "give"}}))
        go_on.touch()
        done = await slow
        status = await first.wait()
        async with replica(layout, handler, "tested-2"):
            later = await queued

    assert (done.json["status"], status) == ("COMPLETED", 0)
    assert (later.json["status"], later.json["workerId"]) == ("COMPLETED", "tested-2/life-1")


async def test_requests_reach_a_replicas_routes(running: Running, layout: Layout) -> None:
    """A path parameter, through the proxy, from the function that was written for it."""
    route = function("item", route=Route("GET", "/items/{item_id}"))
    handler = write_artifact(layout.root / "code", HTTP_HANDLER, {"code_of_user.py": PAGES}, [route])
    async with replica(layout, handler):
        await eventually((layout.root / "tested-1" / "http").exists)
        running.serve(http_route("tested", side_of(layout, "tested-1")))

        async def answered() -> bool:
            return (await running.get("/tested/items/41")).status == 200

        await eventually(answered)
        answer = await running.get("/tested/items/42")
        wrong = await running.get("/tested/items/x")

    assert (answer.status, answer.json) == (200, {"item": 42})
    assert wrong.status == 422
