"""The client routes of the job API, over HTTP, with a worker that speaks the wire protocol."""

from __future__ import annotations

import asyncio
import re

from tests.gateway.conftest import Running, jobs_route, side

from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire.messages import Assignment


def echo(job: Assignment) -> bytes:
    """The input as it came."""
    return job.input.data


async def test_runsync_gives_the_output_of_the_worker(running: Running) -> None:
    """Q-C1: the status object has every field that RunPod's clients insist on."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))

    async with FakeWorker(running.gateway.layout.worker_socket, hello, echo):
        answer = await running.post("/v2/hello/runsync", {"input": {"name": "world"}})

    assert answer.status == 200
    assert answer.json["status"] == "COMPLETED"
    assert answer.json["output"] == {"name": "world"}
    assert answer.json["workerId"] == f"hello-1/{hello.identity.instance}"
    assert re.fullmatch(r"sync-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-u1", answer.json["id"])
    assert isinstance(answer.json["delayTime"], int)
    assert isinstance(answer.json["executionTime"], int)


async def test_run_is_answered_at_once_and_status_tells_the_rest(running: Running) -> None:
    """Q-C2: IN_QUEUE, IN_PROGRESS and COMPLETED are seen by asking."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    release = asyncio.Event()

    async def answer(job: Assignment) -> bytes:
        await release.wait()
        return b'"done"'

    submitted = await running.post("/v2/hello/run", {"input": {}})
    job = submitted.json["id"]
    queued = await running.get(f"/v2/hello/status/{job}")
    async with FakeWorker(running.gateway.layout.worker_socket, hello, answer) as worker:
        await worker.until(lambda: bool(worker.seen))
        begun = await running.get(f"/v2/hello/status/{job}")
        release.set()
        ended = await running.get(f"/v2/hello/status-sync/{job}?wait=5000")

    assert submitted.json == {"id": job, "status": "IN_QUEUE"}
    assert queued.json["status"] == "IN_QUEUE"
    assert begun.json["status"] == "IN_PROGRESS"
    assert (ended.json["status"], ended.json["output"]) == ("COMPLETED", "done")
