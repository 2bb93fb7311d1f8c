"""The routes of RunPod's workers, spoken by hand: what a worker is given, and what becomes of what it posts."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.gateway.conftest import FAST, IMPATIENT, Answer, Running, eventually, gateway_at, jobs_route, side
from tests.gateway.loops import skip

from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.gateway.settings import Settings
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName
from flashcore.wire.pace import Pace

POLLED = dataclasses.replace(FAST, heartbeat=20.0, poll_seconds=0.6)
"""A worker that asks over HTTP is known by its questions alone: it has time to come round to the next one."""
HOLDING = dataclasses.replace(POLLED, poll_seconds=600.0)
SOON_GIVEN_UP = dataclasses.replace(IMPATIENT, poll_seconds=0.6)
SDK = {"User-Agent": "RunPod-Python-SDK/1.9.1 (Linux)", "Content-Type": "application/json"}
"""Of a version that may close its connections: each request here has one of its own."""


@pytest.fixture
async def running(layout: Layout, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """A gateway that serves one queue endpoint, of which no replica is there; patient unless it is given settings."""
    async with gateway_at(layout, getattr(request, "param", POLLED)) as running:
        running.serve(jobs_route("hello", side(revision="r" * 64)))
        yield running


not_waiting = pytest.mark.parametrize("running", [pytest.param(SOON_GIVEN_UP, id="impatient")], indirect=True)
"""A test whose gateway soon gives up workers that are away."""
holding = pytest.mark.parametrize("running", [pytest.param(HOLDING, id="holding")], indirect=True)
"""A test in which a question is to be answered by what happens, however long that takes."""


async def submit(running: Running, value: Any = None, **policy: Any) -> str:
    """A job's id."""
    answer = await running.post("/v2/hello/run", {"input": {"value": value}, **policy})
    return str(answer.json["id"])


async def status(running: Running, job: str) -> Any:
    """How the job stands."""
    return (await running.get(f"/v2/hello/status/{job}")).json


async def take(running: Running, worker: str = "w1", batch: int = 0, busy: int = 0) -> Answer:
    """What a worker gets that asks."""
    if batch:
        return await running.get(
            f"/v2/hello/job-take-batch/{worker}?gpu=X&batch_size={batch}&job_in_progress={busy}", SDK
        )
    return await running.get(f"/v2/hello/job-take/{worker}?gpu=X&job_in_progress={busy}", SDK)


async def done(running: Running, job: str, body: Any, worker: str = "w1") -> Answer:
    """A worker posts a result."""
    return await running.post(f"/v2/hello/job-done/{worker}/{job}?gpu=X&isStream=false", body, SDK)


async def test_a_worker_takes_a_job_and_reports_it(running: Running) -> None:
    """Q-C1: one job as an object, its result as the job's output, the worker by its own name."""
    job = await submit(running, 7)

    taken = await take(running)
    posted = await done(running, job, {"output": {"doubled": 14}})
    ended = await status(running, job)

    assert taken.json == {"id": job, "input": {"value": 7}}
    assert posted.status == 200
    assert (ended["status"], ended["output"]) == ("COMPLETED", {"doubled": 14})
    assert ended["workerId"].startswith("w1/")


async def test_a_worker_is_told_of_the_trace_that_a_job_came_with(running: Running) -> None:
    """Beside its input: the SDK gives a handler the whole job. Of the rest of a job's context it is told nothing."""
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    body = {"input": {"value": 7}}
    for headers in (trace, {"traceparent": "00-x"}):
        await running.call("POST", "/v2/hello/run", body, headers)

    taken = await take(running, batch=2)

    assert [{**job, "id": ""} for job in taken.json] == [{"id": "", **body, **trace}, {"id": "", **body}]


@holding
async def test_a_take_waits_for_a_job(running: Running) -> None:
    """It is answered when one comes, not before."""
    asking = asyncio.create_task(take(running))
    await eventually(lambda: running.gateway.http.busy_count)
    job = await submit(running)

    assert (await asking).json["id"] == job


@holding
@pytest.mark.parametrize("route", ["job-take", "job-take-batch", "job-stop"])
async def test_a_worker_that_waits_does_not_keep_a_gateway_that_stops(running: Running, route: str) -> None:
    """Nothing has to come: it asks the next gateway, which all the others wait for, too."""
    asking = asyncio.create_task(running.get(f"/v2/hello/{route}/w1?gpu=X&batch_size=2&job_in_progress=0", SDK))
    await eventually(lambda: running.gateway.http.busy_count)

    closing = asyncio.create_task(running.gateway.close())
    answer = await asking

    assert (answer.status, answer.headers["connection"]) == (204, "close")
    await closing


async def test_a_take_without_a_job_is_held_and_then_empty(running: Running) -> None:
    """The SDK asks again at once: an answer that came at once would come a thousand times a second."""
    began = asyncio.get_running_loop().time()
    answer = await take(running)

    assert (answer.status, answer.body) == (204, b"")
    assert asyncio.get_running_loop().time() - began > 0.5


async def test_a_batch_has_as_many_as_were_asked_for(running: Running) -> None:
    """A list, also of one."""
    jobs = [await submit(running, number) for number in range(5)]

    first, second = await take(running, batch=3), await take(running, batch=4, busy=1)

    assert [one["id"] for one in first.json] == jobs[:3]
    assert [one["id"] for one in second.json] == jobs[3:]


@pytest.fixture
def short_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs count as short, however long the machine was over them."""
    took = Pace.took
    monkeypatch.setattr(Pace, "took", lambda pace, _: took(pace, 0.001))


@pytest.mark.usefixtures("short_jobs")
async def test_a_worker_with_short_jobs_gets_more_than_it_asks_for(running: Running) -> None:
    """Q-C18: it would sleep for a second after each; a version that cannot read lists gets one all the same."""
    jobs = [await submit(running, number) for number in range(60)]
    await take(running)
    await done(running, jobs[0], {"output": 1})

    taken = await take(running)
    old = await running.get("/v2/hello/job-take/w1?gpu=X", {**SDK, "User-Agent": "RunPod-Python-SDK/1.6.2 (Linux)"})

    assert [one["id"] for one in taken.json] == jobs[1:51]
    assert old.json["id"] == jobs[51]


@pytest.mark.usefixtures("short_jobs")
@holding
async def test_a_worker_with_short_jobs_gets_more_while_one_of_them_is_long(running: Running) -> None:
    """Q25, Q30: its other slots are free. A job that was cancelled, which the SDK never reports, is such a one, too."""
    jobs = [await submit(running, number) for number in range(4)]
    await take(running, batch=50)
    for job in jobs[1:]:
        await done(running, job, {"output": 1})

    after = await submit(running)
    more = await take(running, batch=49, busy=1)

    assert [one["id"] for one in more.json] == [after]


@pytest.mark.parametrize(
    ("posted", "outcome"),
    [
        ({"output": None}, ("COMPLETED", None, None)),
        ({}, ("COMPLETED", {}, None)),
        ({"output": [], "isStream": True}, ("COMPLETED", [], None)),
        ({"error": "no"}, ("FAILED", None, "no")),
        ({"error": {"a": 1}, "output": {"kept": 2}}, ("FAILED", {"kept": 2}, '{"a": 1}')),
        ({"output": 0, "error": ""}, ("COMPLETED", 0, None)),
    ],
)
async def test_what_is_posted_decides_how_a_job_ends(running: Running, posted: Any, outcome: Any) -> None:
    """Q-C3, Q-C4: an error fails it, whatever type it has, and what was returned beside it is kept."""
    job = await submit(running)
    await take(running)

    await done(running, job, posted)
    ended = await status(running, job)

    assert (ended["status"], ended.get("output"), ended.get("error")) == outcome


async def test_a_result_that_is_not_json_is_a_failure_with_a_reason(running: Running) -> None:
    """NaN, for instance: the SDK would post it once and forget it."""
    job = await submit(running)
    await take(running)

    answer = await asyncio.to_thread(_post_raw, running.gateway.url, f"/v2/hello/job-done/w1/{job}", b'{"output": NaN}')

    assert answer == 200
    assert "not JSON" in (await status(running, job))["error"]


async def test_progress_shows_and_never_ends_a_job(running: Running) -> None:
    """Q-C7: and what comes after the end changes nothing."""
    job = await submit(running)
    await take(running)

    await done(running, job, {"status": "IN_PROGRESS", "output": "half"})
    half = await eventually(lambda: _with_output(running, job))
    await done(running, job, {"output": "all"})
    await done(running, job, {"status": "IN_PROGRESS", "output": "late"})

    assert (half["status"], half["output"]) == ("IN_PROGRESS", "half")
    assert (await status(running, job))["output"] == "all"


async def test_streamed_items_are_read_once_and_in_order(running: Running) -> None:
    """Q-C5: and the list at the end is the output."""
    job = await submit(running)
    await take(running)
    for item in range(3):
        await running.post(f"/v2/hello/job-stream/w1/{job}?gpu=X&isStream=false", {"output": item}, SDK)
    await done(running, job, {"output": [0, 1, 2]})

    read = (await running.get(f"/v2/hello/stream/{job}")).json
    again = (await running.get(f"/v2/hello/stream/{job}")).json

    assert [item["output"] for item in read["stream"]] == [0, 1, 2]
    assert (again["status"], again["stream"]) == ("COMPLETED", [])


async def test_a_streamed_item_is_acknowledged_once_it_is_stored(running: Running) -> None:
    """Q11, Q26: who has the answer never posts it again, and a gateway that ended in between would have lost it."""
    append, goes_on, came = running.store.append_stream, asyncio.Event(), asyncio.Event()

    async def append_slowly(*item: Any) -> bool:
        came.set()
        await goes_on.wait()
        return await append(*item)

    running.store.append_stream = append_slowly  # type: ignore[method-assign, assignment]  # the disk takes its time
    job = await submit(running)
    await take(running)
    path = f"/v2/hello/job-stream/w1/{job}?gpu=X&isStream=false"
    posting = asyncio.create_task(running.post(path, {"output": 1}, SDK))
    await came.wait()
    beside = await running.get("/v2/hello/health")
    waited = not posting.done()
    goes_on.set()
    posted = await posting
    read = (await running.get(f"/v2/hello/stream/{job}")).json

    assert (beside.status, waited, posted.status) == (200, True, 200)
    assert [item["output"] for item in read["stream"]] == [1]


async def test_a_streamed_item_that_cannot_be_stored_holds_up_nothing(running: Running) -> None:
    """The log says so; its worker goes on, and so does the job."""

    async def refuse(*_: Any) -> bool:
        raise OverflowError("a mistake of the store's")

    append = running.store.append_stream
    job = await submit(running)
    await take(running)
    path = f"/v2/hello/job-stream/w1/{job}?gpu=X&isStream=false"
    running.store.append_stream = refuse  # type: ignore[method-assign, assignment]  # whatever it is told
    first = await running.post(path, {"output": 1}, SDK)
    running.store.append_stream = append  # type: ignore[method-assign]  # as it was
    second = await running.post(path, {"output": 2}, SDK)
    stale = await running.post(f"/v2/hello/job-stream/w1/{job}x?gpu=X&isStream=false", {"output": 3}, SDK)
    read = (await running.get(f"/v2/hello/stream/{job}")).json

    assert [one.status for one in (first, second, stale)] == [200, 200, 200]
    assert [item["output"] for item in read["stream"]] == [2]


@holding
async def test_a_cancelled_job_is_stopped_and_its_result_ignored(running: Running) -> None:
    """Q-C9: the worker hears of it on its other question; what it posts is taken all the same."""
    job = await submit(running)
    await take(running)
    asking = asyncio.create_task(running.get("/v2/hello/job-stop/w1?gpu=X", SDK))
    await eventually(lambda: running.gateway.http.busy_count)

    await running.post(f"/v2/hello/cancel/{job}")
    stop = await asking
    late = await done(running, job, {"output": "late"})

    assert stop.json == {"jobsToStop": [job]}
    assert late.status == 200
    assert (await status(running, job))["status"] == "CANCELLED"


@pytest.mark.parametrize("worker", ["w1", "w2"])
async def test_a_result_of_an_unknown_job_is_taken_and_forgotten(running: Running, worker: str) -> None:
    """Q02: a refusal would end nothing, and is answered by an error in the worker's log."""
    await submit(running)
    await take(running)

    assert (await done(running, "no-such-job", {"output": 1}, worker)).status == 200


@not_waiting
async def test_a_job_that_its_worker_lost_goes_elsewhere(running: Running) -> None:
    """It asks and works on nothing: what it had it has dropped."""
    job = await submit(running)
    await take(running)

    for _ in range(3):
        await take(running, "w1")
    elsewhere = await eventually(lambda: _taken(running, "w2"))

    assert elsewhere["id"] == job


@pytest.mark.parametrize("running", [dataclasses.replace(HOLDING, reconnect_grace=0.05)], indirect=True, ids=["lost"])
async def test_a_worker_that_hangs_up_loses_its_jobs(running: Running) -> None:
    """Q-C16: its connection ends while it waits; pings of what it left behind bring nobody back."""
    job = await submit(running)
    await take(running)
    await hang_up_on(running, "w1", "job-stop")

    ping = await running.get(f"/v2/hello/ping/w1?gpu=X&job_id={job}", SDK)
    elsewhere = await eventually(lambda: _taken(running, "w2"))

    assert ping.status == 200
    assert elsewhere["id"] == job


async def test_workers_that_went_without_a_job_are_forgotten(layout: Layout) -> None:
    """Each life of a worker has another name; one that had a job is waited for."""
    async with gateway_at(layout, dataclasses.replace(POLLED, poll_seconds=60.0)) as running:
        running.serve(jobs_route("hello", side(revision="r" * 64)))
        await submit(running)
        await take(running, "keeper")
        for number in range(20):
            await hang_up_on(running, f"w{number}")
        await hang_up_on(running, "keeper", "job-stop")
        await hang_up_on(running, "last")
        known = {name for _, name in running.gateway.jobs._polled._desk._known}  # noqa: SLF001 - nothing else shows it

    assert known == {"keeper", "last"}


async def hang_up_on(running: Running, worker: str, question: str = "job-take") -> None:
    """Ask, and leave while the question is held."""
    desk = running.gateway.jobs._polled._desk  # noqa: SLF001 - it says who is away
    _, writer = await asyncio.open_connection("127.0.0.1", int(running.gateway.url.rpartition(":")[2]))
    writer.write(f"GET /v2/hello/{question}/{worker}?gpu=X HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    await eventually(lambda: running.gateway.http.busy_count)
    writer.close()
    await eventually(lambda: desk.find(EndpointName("hello"), worker) is None)


async def test_a_ping_that_names_its_jobs_keeps_them(layout: Layout) -> None:
    """A function that blocks the SDK's loop lets it neither take nor stop, and goes on all the same."""
    settings = dataclasses.replace(FAST, heartbeat=100.0, reconnect_grace=100.0, poll_seconds=0.6, sweep_interval=0.02)
    async with gateway_at(layout, settings) as running:
        running.serve(jobs_route("hello", side(revision="r" * 64)))
        job = await submit(running)
        await take(running)

        for _ in range(8):
            await running.get(f"/v2/hello/ping/w1?gpu=X&job_id={job}", SDK)
            await skip(settings.heartbeat * 0.9, settings.sweep_interval)
        kept = await status(running, job)
        for _ in range(8):  # and nothing is said
            await skip(settings.heartbeat * 0.9, settings.sweep_interval)

        assert kept["status"] == "IN_PROGRESS"
        await eventually(lambda: _is_queued(running, job))


async def taken_before_a_restart(layout: Layout, settings: Settings = POLLED) -> str:
    """A job that `w1` took from a gateway that has stopped; its id."""
    async with sqlite_gateway(layout, settings) as running:
        job = await submit(running)
        await take(running)
        return job


@asynccontextmanager
async def sqlite_gateway(layout: Layout, settings: Settings = POLLED) -> AsyncIterator[Running]:
    """One of several that follow each other."""
    store = await SqliteStores().open_jobs(f"sqlite:///{layout.root}/jobs.db")
    async with gateway_at(layout, settings, store) as running:
        running.serve(jobs_route("hello", side(revision="r" * 64)))
        yield running


async def test_a_result_for_the_next_gateway_counts(layout: Layout) -> None:
    """Q01, Q02: a worker that was at work while the gateway restarted may report before it asks for more."""
    job = await taken_before_a_restart(layout)
    async with sqlite_gateway(layout) as running:
        await done(running, job, {"output": 7})
        ended = await status(running, job)

    assert (ended["status"], ended.get("output"), ended["workerId"].partition("/")[0]) == ("COMPLETED", 7, "w1")
    assert "attempts" not in ended


@pytest.mark.parametrize("by", ["question", "ping"])
async def test_a_worker_keeps_its_jobs_over_a_restart_of_the_gateway(layout: Layout, by: str) -> None:
    """Q01, Q05: it asks again in time, or a function keeps it from that and its pings name the job."""
    settings = dataclasses.replace(POLLED, reconnect_grace=1.0)
    job = await taken_before_a_restart(layout)
    async with sqlite_gateway(layout, settings) as running:
        if by == "question":
            await take(running, busy=1)
        else:
            await running.get(f"/v2/hello/ping/w1?gpu=X&job_id={job}", SDK)
        await skip(1.5, settings.sweep_interval)
        await done(running, job, {"output": 7})
        ended = await status(running, job)

    assert (ended["status"], ended.get("output"), "attempts" in ended) == ("COMPLETED", 7, False)


@pytest.mark.parametrize("by", ["question", "ping"])
async def test_what_a_worker_lost_over_a_restart_of_the_gateway_it_is_given_again(layout: Layout, by: str) -> None:
    """Q05: its result found nobody, or the job never reached it; whichever, it is not to blame."""
    job = await taken_before_a_restart(layout)
    async with sqlite_gateway(layout) as running:
        await take(running)
        if by == "ping":
            await running.get("/v2/hello/ping/w1?gpu=X", SDK)
        again = await take(running)
        await done(running, job, {"output": 7})
        ended = await status(running, job)

    assert again.json["id"] == job
    assert (ended["status"], "retries" in ended, "attempts" in ended) == ("COMPLETED", False, False)


async def test_a_worker_that_asks_to_be_replaced_gets_no_more(running: Running) -> None:
    """Q-C18: `stopPod` ends its work with the job that said so."""
    first, second = await submit(running), await submit(running)
    await take(running)
    await done(running, first, {"output": 1, "stopPod": True})

    assert (await take(running)).status == 204
    assert (await take(running, "w2")).json["id"] == second


async def test_workers_are_counted(running: Running) -> None:
    """Q-C20: a guest is a worker like any, busy or idle."""
    await submit(running)
    await take(running)

    health = (await running.get("/v2/hello/health")).json

    assert (health["workers"]["ready"], health["workers"]["running"]) == (1, 1)
    assert set(health["workers"]) == {"idle", "initializing", "ready", "running", "throttled", "unhealthy"}


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "job-take", 404),
        ("GET", "job-take/a/b", 404),
        ("GET", "job-take/../x", 404),
        ("POST", "job-take/w1", 405),
        ("POST", "job-done/w1", 404),
        ("GET", "job-done/w1/j", 405),
    ],
)
async def test_routes_have_one_form(running: Running, method: str, path: str, expected: int) -> None:
    """And say which."""
    answer = await running.call(method, f"/v2/hello/{path}", None, SDK)

    assert answer.status == expected
    assert "error" in answer.json


async def _is_queued(running: Running, job: str) -> bool:
    return bool((await status(running, job))["status"] == "IN_QUEUE")


async def _with_output(running: Running, job: str) -> Any:
    shown = await status(running, job)
    return shown if "output" in shown else None


async def _taken(running: Running, worker: str) -> Any:
    answer = await take(running, worker)
    return answer.json if answer.status == 200 else None


def _post_raw(url: str, path: str, body: bytes) -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        return connection.getresponse().status
    finally:
        connection.close()


async def test_an_error_that_is_no_text_in_any_encoding_ends_its_job_alone(layout: Layout) -> None:
    """The name of a file that is not UTF-8 comes so: the job's error shows it, and others are recorded as before."""
    store = await SqliteStores().open_jobs(f"sqlite:///{layout.jobs_db}")
    async with gateway_at(layout, POLLED, store=store) as running:
        running.serve(jobs_route("hello", side(revision="r" * 64)))
        bad, good = await submit(running), await submit(running)
        await take(running)
        await take(running, "w2")

        await done(running, bad, b'{"error": "no such file: caf\\udce9.txt"}')
        await done(running, good, {"output": 1}, "w2")
        ended = [await status(running, job) for job in (bad, good)]

    assert [one["status"] for one in ended] == ["FAILED", "COMPLETED"]
    assert ended[0]["error"] == r"no such file: caf\udce9.txt"
