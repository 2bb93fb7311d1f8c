"""The client routes of the job API, over HTTP, with a worker that speaks the wire protocol."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from tests.gateway.conftest import FAST, Running, eventually, gateway_at, http_route, jobs_route, side

from flashcore.model.job import Payload
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName
from flashcore.testing.fake_worker import Answer, FakeWorker, worker_hello
from flashcore.wire import documents, seal
from flashcore.wire.envelope import Arguments, Call
from flashcore.wire.messages import Assignment, Result
from flashcore.wire.seal import SigningKey, new_stamp
from flashcore.wire.sealed import seal_call


def echo(job: Assignment) -> bytes:
    """The input as it came."""
    return bytes(job.input.data)


@asynccontextmanager
async def worker(running: Running, answer: Answer, slots: int = 1, **route: Any) -> AsyncIterator[FakeWorker]:
    """One worker of the endpoint `hello`."""
    hello = worker_hello("hello", slots=slots)
    running.serve(jobs_route("hello", side(hello), **route))
    async with FakeWorker(running.gateway.layout.worker_socket, hello, answer) as started:
        yield started


class Held:
    """An answer that waits until it is let."""

    def __init__(self, output: bytes = b'"done"') -> None:
        self.open = asyncio.Event()
        self.output = output

    async def __call__(self, job: Assignment) -> bytes:
        """Wait, then answer."""
        await self.open.wait()
        return self.output


async def test_runsync_gives_the_output_of_the_worker(running: Running) -> None:
    """Q-C1: the status object has every field that RunPod's clients insist on."""
    async with worker(running, echo) as helper:
        answer = await running.post("/v2/hello/runsync", {"input": {"name": "world"}})

    assert answer.status == 200
    assert answer.json["status"] == "COMPLETED"
    assert answer.json["output"] == {"name": "world"}
    assert answer.json["workerId"] == f"hello-1/{helper.hello.identity.instance}"
    assert re.fullmatch(r"sync-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-u1", answer.json["id"])
    assert isinstance(answer.json["delayTime"], int)
    assert isinstance(answer.json["executionTime"], int)


async def test_run_is_answered_at_once_and_status_tells_the_rest(running: Running) -> None:
    """Q-C2: IN_QUEUE, IN_PROGRESS and COMPLETED are seen by asking."""
    running.serve(jobs_route("hello"))
    held = Held()

    submitted = await running.post("/v2/hello/run", {"input": {}})
    job = submitted.json["id"]
    queued = await running.get(f"/v2/hello/status/{job}")
    async with worker(running, held) as helper:
        await helper.until(lambda: bool(helper.seen))
        begun = await running.get(f"/v2/hello/status/{job}")
        held.open.set()
        ended = await running.get(f"/v2/hello/status-sync/{job}?wait=50000")

    assert submitted.json == {"id": job, "status": "IN_QUEUE"}
    assert queued.json["status"] == "IN_QUEUE"
    assert begun.json["status"] == "IN_PROGRESS"
    assert "delayTime" in begun.json
    assert (ended.json["status"], ended.json["output"]) == ("COMPLETED", "done")


async def test_a_function_that_fails_makes_a_failed_job(running: Running) -> None:
    """Q-C3, Q-C4: the error is the worker's text, and output beside it is kept."""

    def fail(job: Assignment) -> Result:
        return Result(job.id, job.attempt, Payload(b'{"part": 1}'), error='{"error_type": "ValueError"}')

    async with worker(running, fail):
        answer = await running.post("/v2/hello/runsync", {"input": {}})

    assert (answer.status, answer.json["status"]) == (200, "FAILED")
    assert json.loads(answer.json["error"]) == {"error_type": "ValueError"}
    assert answer.json["output"] == {"part": 1}


@pytest.mark.parametrize("output", ["null", "[]", "0", '"ä \\ud83d\\ude00"', "1e400", "12345678901234567890123"])
async def test_inputs_and_outputs_travel_as_they_were_written(running: Running, output: str) -> None:
    """No number is rounded and no text is escaped anew on the way."""
    async with worker(running, echo) as helper:
        answer = await running.post("/v2/hello/runsync", b'{"policy":{}, "input" : ' + output.encode() + b" }")

    assert helper.seen[0].input.data == output.encode()
    assert f'"output":{output}'.encode() in answer.body


async def test_runsync_ends_its_wait_and_the_job_goes_on(running: Running) -> None:
    """Q-C13, Q10: the answer is the job as it is, and status has the result later."""
    held, key = Held(), {"Idempotency-Key": "the same job"}
    async with worker(running, held) as helper:
        await running.post("/v2/hello/run", {"input": {}}, key)
        await helper.until(lambda: bool(helper.seen))
        answer = await running.post("/v2/hello/runsync?wait=50", {"input": {}}, key)
        held.open.set()
        ended = await running.get(f"/v2/hello/status-sync/{answer.json['id']}?wait=50000")

    assert answer.json["status"] == "IN_PROGRESS"
    assert ended.json["status"] == "COMPLETED"


@pytest.mark.parametrize("running", [dataclasses.replace(FAST, stop_grace=0.05)], indirect=True)
async def test_who_waits_for_a_job_when_the_gateway_stops_is_told_how_it_is(running: Running) -> None:
    """Q10: as when the wait has ended. RunPod's client takes an error for the job's end, and asks no more."""
    async with worker(running, Held()) as helper:
        submitted = await running.post("/v2/hello/run", {"input": {}})
        await helper.until(lambda: bool(helper.seen))
        job = submitted.json["id"]
        asking = [
            asyncio.create_task(running.post("/v2/hello/runsync", {"input": {}})),
            asyncio.create_task(running.get(f"/v2/hello/status-sync/{job}")),
            asyncio.create_task(running.get(f"/v2/hello/stream/{job}?wait=90000")),
        ]
        await eventually(lambda: running.gateway.http.busy_count == len(asking))

        await running.gateway.close()
        answers = await asyncio.gather(*asking)

    assert [(answer.status, answer.json["status"]) for answer in answers] == [
        (200, "IN_QUEUE"),
        (200, "IN_PROGRESS"),
        (200, "IN_PROGRESS"),
    ]
    assert answers[0].json["id"].startswith("sync-")


async def test_a_runsync_caller_who_leaves_does_not_stop_the_job(running: Running) -> None:
    """Q10."""
    held = Held()
    async with worker(running, held) as helper:
        port = int(running.gateway.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b'POST /v2/hello/runsync HTTP/1.1\r\nhost: x\r\ncontent-length: 12\r\n\r\n{"input": 1}')
        await helper.until(lambda: bool(helper.seen))
        writer.close()
        held.open.set()
        job = helper.seen[0].id

        ended = await running.get(f"/v2/hello/status-sync/{job}?wait=50000")

    assert ended.json["status"] == "COMPLETED"


INVALID: dict[str, tuple[bytes | None, str]] = {
    "no body": (None, "invalid_json"),
    "no JSON": (b"{", "invalid_json"),
    "no object": (b"[]", "invalid_json"),
    "no UTF-8": (b'{"input": "\xff"}', "invalid_json"),
    "not a number": (b'{"input": NaN}', "invalid_json"),
    "too deep": (b'{"input": ' + b"[" * 200_000, "invalid_json"),
    "two values": (b'{"input": 1} {"input": 2}', "invalid_json"),
    "no input": (b'{"inputs": {}}', "invalid_submission"),
    "a policy that is none": (b'{"input": {}, "policy": 3}', "invalid_submission"),
    "a time that is none": (b'{"input": {}, "policy": {"ttl": "1h"}}', "invalid_submission"),
    "a time below zero": (b'{"input": {}, "policy": {"executionTimeout": -1}}', "invalid_submission"),
    "a time for ever": (b'{"input": {}, "policy": {"ttl": 1e300}}', "invalid_submission"),
}


@pytest.mark.parametrize("route", ["run", "runsync"])
@pytest.mark.parametrize("case", INVALID)
async def test_a_submission_that_cannot_be_meant_leaves_no_trace(running: Running, route: str, case: str) -> None:
    """Q13: 400 with a reason, and nothing is queued."""
    running.serve(jobs_route("hello"))
    body, code = INVALID[case]

    answer = await running.post(f"/v2/hello/{route}", body)

    assert (answer.status, answer.json["error"]["code"]) == (400, code)
    assert (await running.get("/v2/hello/health")).json["jobs"]["inQueue"] == 0


@pytest.mark.parametrize("digits", ["9" * 5000, "0" * 5000, "-1", "1.5", "\u00b2"])
async def test_a_number_in_a_query_that_cannot_be_meant_is_refused(layout: Layout, digits: str) -> None:
    """Q13: also one of more digits than Python cares to read; a worker's is passed over, it would only ask again."""
    digits = quote(digits, encoding="latin-1")
    async with gateway_at(layout, dataclasses.replace(FAST, poll_seconds=0.1)) as running:
        running.serve(jobs_route("hello"))
        job = (await running.post("/v2/hello/run", {"input": 1})).json["id"]
        waits = [await running.get(f"/v2/hello/{route}/{job}?wait={digits}") for route in ("status-sync", "stream")]
        taken = await running.get(f"/v2/hello/job-take-batch/w?batch_size={digits}&job_in_progress=0")

    assert [(answer.status, answer.json["error"]["code"]) for answer in waits] == [(400, "invalid_submission")] * 2
    assert taken.status in (200, 204)


async def test_a_body_over_the_limit_is_refused_with_both_sizes(layout: Layout) -> None:
    """Q13: `run` takes less than `runsync`."""
    settings = dataclasses.replace(FAST, run_bytes=1_000, runsync_bytes=2_000)
    async with gateway_at(layout, settings) as running, worker(running, echo):
        body = {"input": "x" * 1_500}

        refused = await running.post("/v2/hello/run", body)
        taken = await running.post("/v2/hello/runsync", body)
        longer = [await running.post(f"/v2/hello/{route}", {"input": "x" * 2_500}) for route in ("run", "runsync")]

    assert taken.status == 200
    for answer, size, limit in ((refused, 1_513, 1_000), (longer[0], 2_513, 1_000), (longer[1], 2_513, 2_000)):
        message = f"the body has {size} bytes, {limit} are allowed"
        error = {"code": "body_too_large", "message": message, "size": size, "limit": limit}
        assert (answer.status, answer.json["error"]) == (413, error)


async def test_a_body_over_every_limit_is_refused_before_it_is_read(layout: Layout) -> None:
    """Q13: the engine's own refusal is JSON too."""
    settings = dataclasses.replace(FAST, run_bytes=1_000, runsync_bytes=2_000)
    async with gateway_at(layout, settings) as running:
        running.serve(jobs_route("hello"))

        answer = await running.post("/v2/hello/run", {"input": "x" * 3_000})

    assert answer.status == 413
    assert answer.json["error"]["code"]


async def test_a_sealed_call_may_be_larger_than_json_and_is_passed_on_unread(running: Running) -> None:
    """Q13: its limit is its own; what is sent twice is one job, by the number that was signed."""
    running.serve(jobs_route("calc"))
    (data,) = seal_call(SigningKey("k"), "calc", Call("f", arguments=Arguments(("x" * 3_000,))), new_stamp(60.0))
    as_sealed = {"Content-Type": seal.MEDIA, "Accept": documents.MEDIA}

    first = await running.post("/v2/calc/run", bytes(data), as_sealed)
    again = await running.post("/v2/calc/run", bytes(data), {**as_sealed, "Idempotency-Key": "another"})
    status = await running.get(f"/v2/calc/status/{first.json['id']}", as_sealed)
    strange = await running.post("/v2/calc/run", b"{}", as_sealed)

    assert first.json["id"] == again.json["id"]
    assert status.headers["content-type"] == documents.MEDIA
    assert documents.decode_document(status.body) == ({"id": first.json["id"], "status": "IN_QUEUE"}, ())
    assert (strange.status, strange.json["error"]["code"]) == (400, "invalid_submission")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("route", ["status", "status-sync", "stream"])
async def test_some_routes_take_both_methods(running: Running, method: str, route: str) -> None:
    """Q-C20: RunPod's Go client asks by POST what others ask by GET."""
    async with worker(running, echo):
        job = (await running.post("/v2/hello/runsync", {"input": 1})).json["id"]
        answer = await running.call(method, f"/v2/hello/{route}/{job}")

    assert (answer.status, answer.json["status"]) == (200, "COMPLETED")


async def test_what_is_not_supported_is_not_accepted_in_silence(running: Running) -> None:
    """A caller who expects results in a bucket that never come would be worse off."""
    running.serve(jobs_route("hello"))

    answer = await running.post("/v2/hello/run", {"input": {}, "s3Config": {"bucketName": "b"}})

    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_submission")


async def test_an_idempotency_key_gives_the_same_job(running: Running) -> None:
    """Q01: a submission that is sent again is the same one, also once it is finished."""
    running.serve(jobs_route("hello"))
    key = {"Idempotency-Key": "order-7"}

    first = await running.post("/v2/hello/run", {"input": {}}, key)
    second = await running.post("/v2/hello/run", {"input": {}}, key)
    other = await running.post("/v2/hello/run", {"input": {}}, {"Idempotency-Key": "order-8"})
    async with worker(running, echo, slots=5):
        third = await running.post("/v2/hello/runsync", {"input": {}}, key)

    assert first.json["id"] == second.json["id"] == third.json["id"]
    assert other.json["id"] != first.json["id"]
    assert third.json["status"] == "COMPLETED"


async def test_a_queued_job_that_is_cancelled_never_runs(running: Running) -> None:
    """Q-C8, Q07."""
    running.serve(jobs_route("hello"))
    job = (await running.post("/v2/hello/run", {"input": {}})).json["id"]

    cancelled = await running.post(f"/v2/hello/cancel/{job}")
    async with worker(running, echo) as helper:
        other = await running.post("/v2/hello/runsync", {"input": 2})

    assert cancelled.json == {"id": job, "status": "CANCELLED"}
    assert [seen.id for seen in helper.seen] == [other.json["id"]]


async def test_a_running_job_that_is_cancelled_is_stopped(running: Running) -> None:
    """Q-C9: its worker is told, its caller hears at once, a later result changes nothing."""
    held = Held()
    async with worker(running, held, slots=2) as helper:
        sync = asyncio.create_task(running.post("/v2/hello/runsync", {"input": {}}))
        await helper.until(lambda: bool(helper.seen))
        job = helper.seen[0].id

        await running.post(f"/v2/hello/cancel/{job}", b"{}")
        answer = await sync
        await helper.until(lambda: bool(helper.stopped))
        held.open.set()
        await running.post("/v2/hello/runsync", {"input": {}})
        after = await running.get(f"/v2/hello/status/{job}")

    assert answer.json["status"] == after.json["status"] == "CANCELLED"
    assert helper.stopped == [job]


async def test_cancelling_a_finished_job_tells_what_became_of_it(running: Running) -> None:
    """Q07: one outcome, and the caller learns which."""
    async with worker(running, echo):
        job = (await running.post("/v2/hello/runsync", {"input": {}})).json["id"]
        answer = await running.post(f"/v2/hello/cancel/{job}")

    assert (answer.status, answer.json["status"]) == (200, "COMPLETED")


async def test_a_failed_job_is_retried_under_its_id(running: Running) -> None:
    """Q-C12: output and error are cleared; what is finished cannot be retried."""
    outcomes = iter(["failed", "done"])

    def answer(job: Assignment) -> Result:
        outcome = next(outcomes)
        return Result(job.id, job.attempt, Payload(b"1"), error="broken" if outcome == "failed" else None)

    async with worker(running, answer):
        job = (await running.post("/v2/hello/runsync", {"input": {}})).json["id"]
        retried = await running.post(f"/v2/hello/retry/{job}")
        ended = await running.get(f"/v2/hello/status-sync/{job}?wait=50000")
        again = await running.post(f"/v2/hello/retry/{job}")

    assert retried.json == {"id": job, "status": "IN_QUEUE"}
    assert (ended.json["status"], "error" in ended.json) == ("COMPLETED", False)
    assert (again.status, again.json["error"]["code"]) == (409, "illegal_move")


async def test_purge_removes_what_is_queued_and_says_how_much(running: Running) -> None:
    """Q08: running jobs stay, and who waits for a purged one is told."""
    held = Held()
    async with worker(running, held) as helper:
        jobs = [(await running.post("/v2/hello/run", {"input": {}})).json["id"] for _ in range(4)]
        await helper.until(lambda: bool(helper.seen))
        waiting = asyncio.create_task(running.get(f"/v2/hello/status-sync/{jobs[3]}?wait=50000"))
        await eventually(lambda: running.gateway.http.busy_count == 1)

        purged = await running.post("/v2/hello/purge-queue")
        held.open.set()
        first = await running.get(f"/v2/hello/status-sync/{jobs[0]}?wait=50000")
        gone = await running.get(f"/v2/hello/status/{jobs[1]}")
        told = await asyncio.wait_for(waiting, 60)

    assert purged.json == {"removed": 3, "status": "completed"}
    assert (first.json["status"], gone.status, told.status) == ("COMPLETED", 404, 404)


async def test_a_stream_gives_each_chunk_once_and_ends(running: Running) -> None:
    """Q-C5, Q-C6: in order, read by whoever comes, with a `stream` key to the last."""
    go_on = asyncio.Event()
    started: list[FakeWorker] = []

    async def generate(job: Assignment) -> bytes:
        for number in range(3):
            started[0].chunk(job, str(number).encode())
        await go_on.wait()
        started[0].chunk(job, b'{"last": true}')
        return b"[]"

    async with worker(running, generate) as helper:
        started.append(helper)
        job = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
        first: list[Any] = []
        while len(first) < 3:
            answer = await running.get(f"/v2/hello/stream/{job}?wait=50000")
            first += answer.json["stream"]
        second = asyncio.create_task(running.post(f"/v2/hello/stream/{job}?wait=50000"))
        go_on.set()
        rest = (await second).json["stream"]
        await running.get(f"/v2/hello/status-sync/{job}?wait=50000")
        last = await running.get(f"/v2/hello/stream/{job}")
        final = await running.get(f"/v2/hello/stream/{job}")

    assert [item["output"] for item in first] == [0, 1, 2]
    assert [item["output"] for item in rest + last.json["stream"]] == [{"last": True}]
    assert final.json == {"id": job, "status": "COMPLETED", "stream": []}


async def test_a_reader_that_counts_may_ask_again(running: Running) -> None:
    """Q11: an answer that got lost is given once more; RunPod's form is the same but for the numbers."""
    started: list[FakeWorker] = []

    async def generate(job: Assignment) -> bytes:
        for number in range(4):
            started[0].chunk(job, str(number * 10).encode(), number)
        return b"[]"

    async with worker(running, generate) as helper:
        started.append(helper)
        job = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
        await running.get(f"/v2/hello/status-sync/{job}?wait=50000")
        lost = (await running.get(f"/v2/hello/stream/{job}?after=0")).json
        again = (await running.get(f"/v2/hello/stream/{job}?after=0")).json
        rest = (await running.get(f"/v2/hello/stream/{job}?after=3")).json
        wrong = await running.get(f"/v2/hello/stream/{job}?after=-1")

    assert lost["stream"] == [{"number": number, "output": number * 10} for number in range(4)]
    assert again == lost
    assert rest["stream"] == [{"number": 3, "output": 30}]
    assert wrong.status == 400


async def test_progress_is_seen_and_never_replaces_the_output(running: Running) -> None:
    """Q-C7."""
    held = Held(b'"final"')
    async with worker(running, held) as helper:
        job = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
        await helper.until(lambda: bool(helper.seen))
        helper.progress(helper.seen[0], b'"half"')

        async def halfway() -> bool:
            return b'"output":"half"' in (await running.get(f"/v2/hello/status/{job}")).body

        await eventually(halfway)
        held.open.set()
        ended = await running.get(f"/v2/hello/status-sync/{job}?wait=50000")
        helper.progress(helper.seen[0], b'"late"')
        after = await running.get(f"/v2/hello/status/{job}")

    assert ended.json["output"] == after.json["output"] == "final"


async def test_health_has_every_count(running: Running) -> None:
    """Q-C20: six worker counts, five job counts, all numbers."""
    held = Held()
    async with worker(running, held) as helper:
        for _ in range(3):
            await running.post("/v2/hello/run", {"input": {}})
        await helper.until(lambda: bool(helper.seen))

        answer = await running.get("/v2/hello/health")

    assert answer.json["jobs"] == {"completed": 0, "failed": 0, "inProgress": 1, "inQueue": 2, "retried": 0}
    assert answer.json["workers"] == {
        "idle": 0, "initializing": 0, "ready": 1, "running": 1, "throttled": 0, "unhealthy": 0,
    }  # fmt: skip


async def test_a_route_that_is_none_is_answered_with_those_that_there_are(running: Running) -> None:
    """Who follows the address that `flashcore status` shows learns how to go on."""
    running.serve(jobs_route("hello"))

    for path in ("/v2/hello", "/v2/hello/fly"):
        step = (await running.get(path)).json["error"]["next_step"]
        assert step.startswith("below /v2/hello/ there are run, runsync, purge-queue, health, status/JOB, ")


ERRORS: dict[str, tuple[str, str, int, str]] = {
    "unknown job": ("GET", "/v2/hello/status/none-u1", 404, "not_found"),
    "unknown job cancelled": ("POST", "/v2/hello/cancel/none-u1", 404, "not_found"),
    "unknown job retried": ("POST", "/v2/hello/retry/none-u1", 404, "not_found"),
    "unknown job streamed": ("GET", "/v2/hello/stream/none-u1", 404, "not_found"),
    "unknown endpoint": ("POST", "/v2/hallo/run", 404, "unknown_endpoint"),
    "unknown route": ("POST", "/v2/hello/fly", 404, "unknown_route"),
    "no job id": ("GET", "/v2/hello/status", 404, "unknown_route"),
    "too many parts": ("GET", "/v2/hello/status/a/b", 404, "unknown_route"),
    "wrong method": ("GET", "/v2/hello/run", 405, "method_not_allowed"),
    "wrong method for health": ("DELETE", "/v2/hello/health", 405, "method_not_allowed"),
    "an HTTP endpoint": ("POST", "/v2/web/run", 400, "not_a_queue"),
    "a wait that is none": ("POST", "/v2/hello/runsync?wait=soon", 400, "invalid_submission"),
    "no preview": ("POST", "/v2/hello--preview/run", 404, "not_found"),
}


@pytest.mark.parametrize("case", ERRORS)
async def test_every_error_is_json(running: Running, case: str) -> None:
    """Q-C20: RunPod's async client reads a body whatever the status."""
    running.serve(jobs_route("hello"), http_route("web"))
    method, path, status, code = ERRORS[case]

    answer = await running.call(method, path, {"input": {}})

    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["error"]["message"]


async def test_a_job_is_only_seen_under_its_own_endpoint(running: Running) -> None:
    """Ids are no way around what an endpoint allows."""
    running.serve(jobs_route("hello"), jobs_route("other"))
    job = (await running.post("/v2/hello/run", {"input": {}})).json["id"]

    answer = await running.get(f"/v2/other/status/{job}")
    cancelled = await running.post(f"/v2/other/cancel/{job}")

    assert (answer.status, cancelled.status) == (404, 404)


@pytest.mark.parametrize("authorization", ["Bearer key", "key"])
async def test_any_form_of_key_is_accepted(running: Running, authorization: str) -> None:
    """Q-C20: clients send raw keys and bearer keys."""
    async with worker(running, echo):
        answer = await running.post("/v2/hello/runsync", {"input": 1}, {"Authorization": authorization})

    assert answer.json["output"] == 1


async def test_a_preview_job_waits_for_the_preview(running: Running) -> None:
    """Q31: pinned by suffix or header; nobody else takes it, and the preview takes nothing else."""
    stable, preview = worker_hello("hello", "a" * 64), worker_hello("hello", "b" * 64, replica="hello-2")
    running.serve(jobs_route("hello", side(stable), side(preview, preview=True)))
    socket = running.gateway.layout.worker_socket

    async with FakeWorker(socket, stable, echo) as old, FakeWorker(socket, preview, echo) as new:
        for _ in range(5):
            await running.post("/v2/hello/runsync", {"input": 0})
        by_suffix = await running.post("/v2/hello--preview/runsync", {"input": 1})
        by_header = await running.post("/v2/hello/runsync", {"input": 2}, {"X-Flashcore-Revision": "preview"})

    assert (len(old.seen), [job.input.data for job in new.seen]) == (5, [b"1", b"2"])
    assert (by_suffix.json["status"], by_header.json["status"]) == ("COMPLETED", "COMPLETED")


TIMES: dict[str, tuple[dict[str, Any], Callable[[Any], float], float]] = {
    "the endpoint's": ({}, lambda new: new.execution_timeout, 5.0),
    "the policy's": ({"executionTimeout": 1_500}, lambda new: new.execution_timeout, 1.5),
    "the policy's ttl": ({"ttl": 10_000}, lambda new: new.ttl, 10.0),
    "low priority": ({"lowPriority": True}, lambda new: new.priority, -1),
}


@pytest.mark.parametrize("case", TIMES)
async def test_the_policy_of_a_submission_is_kept(running: Running, case: str) -> None:
    """Milliseconds outside, seconds inside."""
    running.serve(jobs_route("hello", execution_timeout=5.0))
    policy, read, expected = TIMES[case]

    job = (await running.post("/v2/hello/run", {"input": {}, "policy": policy})).json["id"]
    stored = await running.store.get(job)

    assert stored is not None
    assert read(stored.new) == expected


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_traces_are_carried_to_the_worker(running: Running) -> None:
    """The context of the call is the job's."""
    async with worker(running, echo) as helper:
        await running.post("/v2/hello/runsync", {"input": 1}, {"traceparent": TRACE, "x-request-id": "me"})

    assert helper.seen[0].context == {"traceparent": TRACE, "request_id": "me"}


@pytest.mark.parametrize(
    ("headers", "carried"),
    [
        ({"traceparent": "nonsense", "tracestate": "a=b"}, set()),
        ({"tracestate": "a=b"}, set()),
        ({"traceparent": TRACE, "tracestate": "a=b"}, {"traceparent", "tracestate"}),
        ({"traceparent": TRACE, "tracestate": "a=" + "b" * 511}, {"traceparent"}),
    ],
    ids=["no trace", "a state alone", "both", "a long state"],
)
async def test_what_is_no_trace_is_not_stored(running: Running, headers: dict[str, str], carried: set[str]) -> None:
    """Q13: what stands in these headers is kept with each job, and told to whatever the job calls."""
    async with worker(running, echo) as helper:
        await running.post("/v2/hello/runsync", {"input": 1}, headers)

    assert set(helper.seen[0].context) == {"request_id", *carried}


async def test_a_job_that_runs_too_long_times_out_and_is_stopped(running: Running) -> None:
    """Q06, Q-C11: TIMED_OUT, and its worker is told."""
    held = Held()
    async with worker(running, held) as helper:
        answer = await running.post("/v2/hello/runsync", {"input": {}, "policy": {"executionTimeout": 200}})
        await helper.until(lambda: bool(helper.stopped))

    assert answer.json["status"] == "TIMED_OUT"
    assert "execution timeout" in answer.json["error"]


@pytest.mark.parametrize("policy", ["executionTimeout", "ttl"])
async def test_a_job_that_times_out_with_a_worker_is_a_failure_of_its_revision(running: Running, policy: str) -> None:
    """A new version whose function hangs has failures, in the metrics and for the gates of its rollout."""
    async with worker(running, Held()) as helper:
        job = (await running.post("/v2/hello/run", {"input": {}, "policy": {policy: 1000}})).json["id"]
        await helper.until(lambda: bool(helper.seen))
        answer = await running.get(f"/v2/hello/status-sync/{job}")
        await helper.until(lambda: bool(helper.stopped))
        page = (await running.get("/metrics")).body.decode()
        count = running.gateway.broker.side(EndpointName("hello"), helper.hello.identity.revision)

    attempts = [line for line in page.splitlines() if line.startswith("flashcore_job_attempts_total")]
    assert answer.json["status"] == "TIMED_OUT"
    assert (count.requests, count.failures) == (1, 1)
    assert [line.rpartition(" ")[2] for line in attempts if 'outcome="failed"' in line] == ["1"]


async def test_a_job_that_nobody_takes_in_its_time_times_out(running: Running) -> None:
    """Q06: its ttl counts in the queue too."""
    running.serve(jobs_route("hello"))

    answer = await running.post("/v2/hello/runsync", {"input": {}, "policy": {"ttl": 200}})

    assert answer.json["status"] == "TIMED_OUT"
    assert running.gateway.broker.counts == {}


async def test_results_are_forgotten_after_their_retention(running: Running) -> None:
    """Q09: a minute for runsync, what the endpoint says for run."""
    async with worker(running, echo, result_retention=1800.0):
        sync = (await running.post("/v2/hello/runsync", {"input": 1})).json["id"]
        run = (await running.post("/v2/hello/run", {"input": 1})).json["id"]
        kept = [await running.store.get(sync), await running.store.get(run)]

    assert [job.new.retention if job else None for job in kept] == [90.0, 1800.0]


async def test_jobs_of_an_endpoint_that_is_gone_are_removed(running: Running) -> None:
    """An undeployed endpoint leaves nothing; one that is back in time loses nothing."""
    running.serve(jobs_route("hello"), jobs_route("other"))
    gone = (await running.post("/v2/hello/run", {"input": {}})).json["id"]
    kept = (await running.post("/v2/other/run", {"input": {}})).json["id"]

    running.serve()
    running.serve(jobs_route("other"))

    async def forgotten() -> bool:
        return await running.store.get(gone) is None

    await eventually(forgotten)
    assert await running.store.get(kept) is not None
