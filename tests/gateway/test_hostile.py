"""What one caller, worker or control plane does that is wrong or strange is its own, and nobody else's."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from tests.gateway.conftest import Running, eventually, gateway_at, http_route, jobs_route
from tests.gateway.test_access import ADMIN, bearer, guarded
from tests.gateway.test_bad_callers import Outside
from tests.gateway.test_links import TRACE, job, linked, worker_of

from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.gateway.callers.link import Links
from flashcore.gateway.coalesce import Coalescer
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.webhooks.delivery import Patience, Webhooks
from flashcore.model.errors import ProtocolError, StateError
from flashcore.model.job import Job, JobStatus, NewJob, Payload
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, JobId
from flashcore.model.table import EndpointSignals
from flashcore.wire import calls
from flashcore.wire.calls import Answer, Refusal
from flashcore.wire.documents import MEDIA, decode_document
from flashcore.wire.frames import Frame, FrameDecoder, encode_frame
from flashcore.wire.messages import Kind, Progress, Signals, from_frame
from flashcore.wire.runpod import Outcome, read_outcome

NESTED = b"[" * 200_000


@pytest.mark.parametrize(
    ("progress", "shown"), [(b"NaN", "NaN"), (b'"\\ud800"', '"\\ud800"')], ids=["no number", "half a character"]
)
async def test_progress_that_no_frame_can_hold_is_shown_as_it_was_written(
    running: Running, layout: Layout, progress: bytes, shown: str
) -> None:
    """Over a link and over HTTP; the answers of the same frame are there, too."""
    go = asyncio.Event()

    async def answer(_: Any) -> bytes:
        await go.wait()
        return b"1"

    async with worker_of(running, layout, answer) as worker, linked(running) as caller:
        caller.submit(*(job(number) for number in range(3)))
        await eventually(lambda: len(worker.seen) == 3)
        ids = [seen.id for seen in worker.seen]
        worker.send(Progress(ids[1], 1, Payload(progress)))
        await eventually(lambda: _has_progress(running, ids[1]))
        go.set()
        async with asyncio.timeout(30):
            said = await caller.hear(3)
        framed = await running.get(f"/v2/embed/status/{ids[1]}", {"Accept": MEDIA})

    assert [one.document["status"] for one in said] == ["COMPLETED"] * 3
    assert {one.document.get("progress") for one in said} == {None, shown}
    assert decode_document(framed.body)[0]["progress"] == shown


async def _has_progress(running: Running, job_id: JobId) -> bool:
    found = await running.store.get(job_id)
    return found is not None and found.progress is not None


class Desk:
    """Answers at once, each job with an end of its own."""

    def __init__(self, *errors: str | None) -> None:
        self._errors = errors

    def visit(self, *_: Any) -> None:
        """Whoever comes may."""

    def take(self, submission: calls.Submission, _: None, asker: Any) -> None:
        """See CallersDesk."""
        new = NewJob(JobId("j"), EndpointName("embed"), submission.input, 0)
        asker.told(Job(new, JobStatus.FAILED, 0.0, error=self._errors[submission.number]))


async def test_an_answer_that_fits_no_frame_takes_no_other_one_along() -> None:
    """Its caller is told so, and the loop hears why."""
    outside, said, loop = Outside(), FrameDecoder(), asyncio.get_running_loop()
    reports: list[Any] = []
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))
    link = Links(cast(Any, Desk(None, "\ud800", None)), Limits(), loop).begin(cast(Any, None), cast(Any, outside))
    link.receive(encode_frame(calls.submit_frame([job(number) for number in range(3)])))
    await asyncio.sleep(0)

    told = [one for data in outside.written for frame in said.feed(data) for one in _items(frame)]
    assert [(type(one), one.number) for one in told] == [(Answer, 0), (Answer, 2), (Refusal, 1)]
    assert [type(one) for one in reports] == [UnicodeEncodeError]


def _items(frame: Any) -> Sequence[Any]:
    said = calls.read_from_gateway(frame)
    assert not isinstance(said, calls.Going)
    return said


async def test_who_cannot_be_told_of_a_batch_keeps_it_from_nobody() -> None:
    """Each of the others is told; the loop hears of the one."""
    loop, told, reports = asyncio.get_running_loop(), asyncio.Event(), []
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))

    async def double(items: Sequence[int]) -> Sequence[int]:
        return [2 * item for item in items]

    coalescer: Coalescer[int, int] = Coalescer(loop, double)
    heard: list[int] = []
    coalescer.add(0, lambda result: 1 // result, lambda _: None)
    coalescer.add(1, heard.append, lambda _: None)
    coalescer.add(2, lambda _: told.set(), lambda _: None)
    async with asyncio.timeout(30):
        await told.wait()

    assert heard == [2]
    assert [type(one) for one in reports] == [ZeroDivisionError]


@pytest.mark.parametrize("problem", [StateError("away"), ZeroDivisionError()], ids=["of the store", "of nobody"])
async def test_who_cannot_be_told_of_a_failure_keeps_it_from_nobody(problem: Exception) -> None:
    """Of those of its batch, and of those that came meanwhile."""
    loop, told, reports = asyncio.get_running_loop(), asyncio.Event(), []
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))
    heard: list[object] = []

    async def fail(items: Sequence[int]) -> Sequence[int]:
        if items == [1, 2]:
            coalescer.add(3, heard.append, lambda _: told.set())
        raise problem

    def cannot(_: Exception) -> None:
        raise LookupError

    coalescer: Coalescer[int, int] = Coalescer(loop, fail)
    coalescer.add(1, heard.append, cannot)
    coalescer.add(2, heard.append, heard.append)
    async with asyncio.timeout(30):
        await told.wait()

    assert heard == [problem]
    assert [type(one) for one in reports] == [LookupError]


async def test_what_fails_for_one_of_a_batch_fails_for_it_alone() -> None:
    """What no store says anything of is due to what it was given; that it is away goes for all of them."""
    loop = asyncio.get_running_loop()
    batches: list[list[int]] = []

    async def divide(items: Sequence[int]) -> Sequence[int]:
        batches.append(list(items))
        if 9 in items:
            raise StateError("the store is away")
        return [6 // item for item in items]

    async def all_of(*items: int) -> Sequence[int | BaseException]:
        coalescer = Coalescer(loop, divide)
        futures: list[asyncio.Future[int]] = [loop.create_future() for _ in items]
        for item, future in zip(items, futures, strict=True):
            coalescer.add(item, future.set_result, future.set_exception)
        return await asyncio.gather(*futures, return_exceptions=True)

    one, _, three = await all_of(1, 0, 3)
    away = await all_of(1, 9)

    assert (one, three) == (6, 2)
    assert {type(each) for each in away} == {StateError}
    assert batches == [[1, 0, 3], [1], [0], [3], [1, 9]]


@pytest.mark.parametrize("nested", [("[", "", "]"), ('{"a":', "1", "}")], ids=["lists", "objects"])
def test_an_error_ends_its_job_however_deeply_it_is_nested(nested: tuple[str, str, str]) -> None:
    """Python may read a little deeper than it writes, and a worker of the SDK posts what came of a job once."""
    opened, inner, closed = nested
    errors = [opened * depth + inner + closed * depth for depth in range(1, 1200)]

    outcomes = [read_outcome(f'{{"error": {error}}}'.encode()) for error in errors]

    assert all(isinstance(outcome, Outcome) for outcome in outcomes)
    assert {isinstance(outcome, Outcome) and bool(outcome.error) for outcome in outcomes[1:]} == {True}


NO_TRACES = {
    "half a character": "-\ud800",
    "a line of its own": "-\r\nx: y",
    "a zero": "-\x00",
    "long": "-" + "x" * 9999,
}


@pytest.mark.parametrize("what", NO_TRACES)
async def test_what_is_no_trace_is_kept_with_no_job_and_keeps_no_other_from_being_kept(
    layout: Layout, what: str
) -> None:
    """Half a character fits no row and no frame: the jobs of everybody who submits in that moment are in the batch."""
    store = await SqliteStores().open_jobs(f"sqlite:///{layout.jobs_db}")
    traces = [version + TRACE[2:] + NO_TRACES[what] for version in ("00", "01")]
    more = [{"traceparent": trace} for trace in traces]
    jobs = [[number, "embed", 50_000, "", "application/json", each] for number, each in enumerate([{}, *more])]
    async with (
        gateway_at(layout, store=store) as running,
        worker_of(running, layout, lambda _: b"1") as worker,
        linked(running) as caller,
    ):
        # Written by what writes half a character, as an escape: ours does not.
        caller.writer.write(encode_frame(Frame(Kind.SUBMIT, buffers=(b"1",) * 3), json.dumps({"jobs": jobs}).encode()))
        async with asyncio.timeout(30):
            said = await caller.hear(3)

    assert [isinstance(one, Answer) and one.document["status"] for one in said] == ["COMPLETED"] * 3
    assert [seen.context.keys() for seen in worker.seen] == [{"request_id"}] * 3


def test_a_head_that_is_nested_too_deeply_is_a_breach_of_the_protocol() -> None:
    """As any head that is no JSON: whoever reads frames has one kind of error to expect."""
    prelude = struct.pack(">2sBBHHII", b"FC", 41, 0, 0, 0, len(NESTED), 0)
    with pytest.raises(ProtocolError):
        list(FrameDecoder().feed(prelude + NESTED))


async def test_what_is_wrong_with_a_policy_is_shown_in_a_few_words(running: Running) -> None:
    """Not as long as it was written: somebody would only have to ask to make the gateway write it twice."""
    running.serve(jobs_route("embed"))
    for value in ("x" * 1_000_000, [["x" * 100] * 100] * 100):
        answer = await running.post("/v2/embed/run", {"input": 1, "policy": {"ttl": value}})
        assert answer.status == 400
        assert len(answer.body) < 2000


async def test_the_environments_own_token_is_good_until_it_is_replaced(layout: Layout) -> None:
    """Also where nobody has shown the new one yet."""
    async with guarded(layout) as running:
        before = await running.get("/metrics", bearer(ADMIN))
        layout.token.write_text("another one\n")
        replaced = await eventually(lambda: _is_refused(running))
        after = await running.get("/metrics", bearer("another one"))

    assert (before.status, replaced, after.status) == (200, True, 200)


async def _is_refused(running: Running) -> bool:
    return (await running.get("/metrics", bearer(ADMIN))).status == 401


async def test_a_token_file_that_cannot_be_read_for_now_takes_no_token_away(layout: Layout) -> None:
    """A process that has run out of descriptors cannot open it, and is to go on serving."""
    async with guarded(layout) as running:
        before = await running.get("/metrics", bearer(ADMIN))
        layout.token.unlink()
        layout.token.mkdir()
        unknown = await running.get("/metrics", bearer("another one"))
        after = await running.get("/metrics", bearer(ADMIN))
        layout.token.rmdir()

    assert (before.status, unknown.status, after.status) == (200, 401, 200)


async def test_a_control_plane_that_hangs_costs_no_memory_and_hears_all_once_it_reads(layout: Layout) -> None:
    """It is told nothing while it does not read, and how things are by then when it does."""
    names = {EndpointName(f"endpoint-{number}") for number in range(20)}
    async with gateway_at(layout) as running:
        running.serve(*(http_route(name) for name in names))
        link = running.gateway._link  # noqa: SLF001 - nothing else shows what is on its way to a control plane
        reader, writer = await asyncio.open_unix_connection(str(layout.dataplane_socket))
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
        (connection,) = await eventually(lambda: list(link._connections))  # noqa: SLF001 - as above
        while not connection.is_behind:
            link.tell(EndpointName("noise"), NOISE)
        waiting = connection._transport.get_write_buffer_size()  # noqa: SLF001 - as above
        for _ in range(10_000):
            link.tell(EndpointName("noise"), NOISE)
        still = connection._transport.get_write_buffer_size()  # noqa: SLF001 - as above
        writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
        async with asyncio.timeout(30):
            await _hear_after_noise(reader, names)
        writer.close()

    assert waiting == still


NOISE = EndpointSignals(gateway="x" * 1000)


async def _hear_after_noise(reader: asyncio.StreamReader, names: set[EndpointName]) -> None:
    """Read until each of these was told of, after what was told while nobody read."""
    decoder, missing = FrameDecoder(), set(names)
    while missing:
        for frame in decoder.feed(await reader.read(1 << 16)):
            said = from_frame(frame)
            if isinstance(said, Signals):
                missing = set(names) if said.endpoint == "noise" else missing - {said.endpoint}


class Watched:
    """A connection, as far as a sweep knows one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.looks = 0
        self.crashes: list[BaseException] = []
        self._error = error

    def sweep(self, _: float) -> None:
        """One look."""
        self.looks += 1
        if self._error is not None:
            raise self._error

    def crash(self, error: BaseException) -> None:
        """What became of it."""
        self.crashes.append(error)


async def test_a_connection_whose_deadline_fails_is_ended_and_the_others_are_watched_over(running: Running) -> None:
    """As with a request that fails: it alone."""
    error = ZeroDivisionError()
    failing, other = Watched(error), Watched()
    running.gateway.http._look_at(cast(Any, iter((failing, other))), 0.0)  # noqa: SLF001 - no exchange of ours fails so

    assert (failing.crashes, other.looks) == ([error], 1)


async def test_a_webhook_that_is_looked_at_twice_as_the_gateway_closes_leaves_nothing_behind(tmp_path: Path) -> None:
    """What is asked for again while it is under way is the next gateway's."""
    begun = asyncio.Event()

    async def find(_: JobId) -> Job | None:
        begun.set()
        await asyncio.Event().wait()
        return None

    webhooks = Webhooks(tmp_path, Patience(1, 0.0, 1.0, private=True), find)
    new = NewJob(JobId("j"), EndpointName("embed"), Payload(b"1"), 0, webhook="http://localhost/")
    await webhooks.owe(new)
    webhooks.ended(new.id)
    await begun.wait()
    webhooks.ended(new.id)
    before = asyncio.all_tasks()
    await webhooks.close()
    await asyncio.sleep(0)

    assert asyncio.all_tasks() < before
