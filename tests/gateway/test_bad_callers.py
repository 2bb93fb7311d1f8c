"""Callers with a link who do not read, or who send their frames by drops: they cost what they may, and lose no job."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from math import inf
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import Running, eventually, jobs_route
from tests.gateway.loops import skip
from tests.gateway.test_links import job, linked, metrics, worker_of

from flashcore.gateway.callers.link import CallerLink, Links
from flashcore.gateway.callers.outbox import MOST_KEPT, Outbox, Room
from flashcore.gateway.http.limits import Limits
from flashcore.model.job import Job, JobStatus, NewJob, Payload
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, JobId
from flashcore.wire import calls
from flashcore.wire.calls import Answer
from flashcore.wire.frames import encode_frame


async def test_a_caller_that_does_not_read_is_not_read_from(running: Running, layout: Layout) -> None:
    """What it submits waits, and what ends beyond some megabytes is for it to ask for; others are served meanwhile."""
    output = b'"%b"' % (b"x" * 900_000)
    async with (
        worker_of(running, layout, lambda _: output, slots=16) as worker,
        linked(running) as caller,
        linked(running) as other,
    ):
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
        caller.submit(*(job(number) for number in range(40)))
        await eventually(lambda: metrics(running, 'flashcore_jobs{endpoint="embed",status="completed"} 40'))
        caller.submit(job(40))
        await other.ask(job(50))
        while_held = len(worker.seen)
        caller.writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
        answers = await caller.hear(41)
        apart = [one for one in answers if one.is_apart]
        fetched = [await running.get(f"/v2/embed/status/{one.document['id']}") for one in apart]

    assert while_held == 41
    assert sorted(one.number for one in answers) == list(range(41))
    assert {len(one.output.data) for one in answers if not one.is_apart} == {900_002}
    assert apart
    assert {(one.json["status"], len(one.json["output"])) for one in fetched} == {("COMPLETED", 900_000)}


async def test_a_caller_that_never_reads_is_cut_off_and_its_results_are_kept(running: Running, layout: Layout) -> None:
    """It has a minute in which to take something; why it was cut off is counted."""
    output = b'"%b"' % (b"x" * 900_000)
    limits = Limits()
    async with (
        worker_of(running, layout, lambda _: output, slots=16) as worker,
        linked(running) as caller,
    ):
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
        caller.submit(*(job(number) for number in range(40)))
        await eventually(lambda: metrics(running, 'flashcore_jobs{endpoint="embed",status="completed"} 40'))
        for _ in range(2):  # what left in the meantime counts for it, once
            await skip(limits.write_seconds + 1.0, 0.6 * limits.sweep_seconds)
        page = await eventually(lambda: metrics(running, "flashcore_gateway_links 0"))
        kept = [await running.get(f"/v2/embed/status/{seen.id}") for seen in worker.seen]

    assert 'flashcore_gateway_bad_requests_total{reason="nothing_read"} 1' in page
    assert [one.json["status"] for one in kept] == ["COMPLETED"] * 40


async def test_frames_that_drip_end_their_links(running: Running, layout: Layout) -> None:
    """Each drop is in time, as a whole they are too few: the reason is said and counted, and kept jobs go on."""
    limits, count = Limits(), 20
    whole, begun = encode_frame(calls.submit_frame([job(1, wait=0)])), encode_frame(calls.submit_frame([job(2)]))
    running.serve(jobs_route("embed"))
    async with AsyncExitStack() as links:
        callers = [await links.enter_async_context(linked(running)) for _ in range(count)]
        for caller in callers:
            caller.writer.write(whole + begun[:20])
        kept = [(await caller.hear())[0] for caller in callers]
        for at in (20, 21):
            for caller in callers:
                caller.writer.write(begun[at : at + 1])
            await skip(0.51 * limits.pace_seconds, 0.6 * limits.sweep_seconds)
        said = [(await caller.hear())[0] for caller in callers]
        assert all([await caller.ended() for caller in callers])
        page = await eventually(lambda: metrics(running, "flashcore_gateway_links 0"))

    assert {type(one) for one in kept} == {Answer}
    assert {going.error["code"] for going in said} == {"frame_too_slow"}
    assert f'flashcore_gateway_bad_requests_total{{reason="frame_too_slow"}} {count}' in page
    assert 'flashcore_jobs{endpoint="embed",status="in_queue"} 1' in page


async def test_a_link_that_never_says_anything_ends(running: Running) -> None:
    """Who asks for one, and sends no frame, has the time of an idle connection."""
    limits = Limits()
    async with linked(running) as silent:
        await skip(limits.idle_seconds + 1.0, 0.6 * limits.sweep_seconds)
        assert await silent.ended()


@dataclass
class Outside:
    """The connection: how often it was written to, until when something has to come, and why it was ended."""

    peer = ""
    until: float = inf
    written: list[bytes] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def answer_by(self, time: float) -> None:
        """Until then."""
        self.until = time

    def hold_input(self) -> None:
        """Nothing is read."""

    def release_input(self) -> None:
        """Something is again."""

    def write(self, data: bytes) -> None:
        """To the caller."""
        self.written.append(data)

    def turn_out(self, reason: str) -> None:
        """It is ended."""
        self.reasons.append(reason)


def link_to(outside: Outside, limits: Limits) -> CallerLink:
    """A link that has no jobs behind it."""
    links = Links(cast(Any, None), limits, asyncio.get_running_loop())
    return links.begin(cast(Any, None), cast(Any, outside))


async def test_a_caller_that_reads_slowly_has_no_frame_to_end_meanwhile() -> None:
    """It is not read from then, so it could not end it; that it takes something is for the connection to see."""
    outside, limits = Outside(), Limits()
    link = link_to(outside, limits)
    link.receive(encode_frame(calls.submit_frame([job(1)]))[:-1])
    assert outside.until < inf

    link.hold_output()
    assert outside.until == inf
    await skip(2 * limits.body_seconds, 0.0)
    link.release_output()
    link.expire()
    assert outside.reasons == []
    assert outside.until < inf


async def test_a_frame_that_keeps_its_pace_may_take_as_long_as_it_likes() -> None:
    """Each stretch is judged by itself; one in which too little comes is looked at twice."""
    outside, limits = Outside(), Limits(body_rate=10.0, pace_seconds=30.0)
    frame = encode_frame(calls.submit_frame([job(1, data=bytes(5000))]))
    link = link_to(outside, limits)
    for at in range(0, 3000, 300):
        link.receive(frame[at : at + 300])
        await skip(30.0, 0.0)
        link.expire()
    assert outside.reasons == []

    link.receive(frame[3000:3299])
    await skip(30.0, 0.0)
    link.expire()
    assert outside.reasons == []
    link.expire()
    assert outside.reasons == ["frame_too_slow"]


async def test_of_all_frames_that_wait_for_their_ends_the_first_makes_room() -> None:
    """However many callers begin large ones: what they hold is bounded, and who is through quickly is not hit."""
    size = 1000
    links = Links(cast(Any, None), Limits(), asyncio.get_running_loop(), most_begun=3 * size + 10)
    outsides = [Outside() for _ in range(6)]
    callers = [links.begin(cast(Any, None), cast(Any, outside)) for outside in outsides]
    begun = encode_frame(calls.submit_frame([job(1, data=bytes(2 * size))]))[:size]
    through = encode_frame(calls.forget_frame([1]))
    callers[0].receive(through[:10])
    for caller in callers[1:4]:
        caller.receive(begun)
    callers[0].receive(through[10:] + begun[:10])  # its next frame begins after those of the others
    callers[2].abandon()
    callers[4].receive(begun)
    callers[5].receive(begun)

    assert [outside.reasons for outside in outsides] == [[], ["too_much_begun"], [], [], [], []]


async def test_a_frame_of_which_nothing_comes_is_not_waited_for() -> None:
    """Also where any pace will do."""
    outside, limits = Outside(), Limits(body_rate=0.0)
    link = link_to(outside, limits)
    for at in range(3):
        link.receive(encode_frame(calls.submit_frame([job(1)]))[at : at + 1])
        await skip(limits.body_seconds - 1.0, 0.0)
        link.expire()
    assert outside.reasons == []

    await skip(2.0, 0.0)
    link.expire()
    assert outside.reasons == ["request_timeout"]


@given(st.lists(st.tuples(st.integers(0, calls.LARGEST + 9), st.integers(0, calls.LONGEST_DOCUMENT + 9)), max_size=60))
def test_an_outbox_holds_no_more_than_its_bound_and_forgets_nobody(jobs: list[tuple[int, int]]) -> None:
    """Whatever the results are; each frame of it is one that a caller takes."""
    room, largest = Room(5 * calls.LARGEST), bytes(calls.LARGEST + 9)
    outbox, other = Outbox(room), Outbox(room)
    other.add_whole(0, ended_job(memoryview(largest)[: calls.LARGEST], memoryview(b"1")))
    for number, (output, progress) in enumerate(jobs):
        outbox.add_whole(number, ended_job(memoryview(largest)[:output], memoryview(largest)[:progress]))
        assert outbox.size <= min(MOST_KEPT, 4 * calls.LARGEST)
    frames = []
    while outbox.has_answers:
        frames.append(outbox.next_answers())

    other.clear()

    assert (outbox.size, room.left) == (0, 5 * calls.LARGEST)
    assert [one.number for frame in frames for one in frame] == list(range(len(jobs)))
    assert all(sum(len(one.output.data) for one in frame if one.output) <= 2 * calls.LARGEST for frame in frames)


def ended_job(output: memoryview, progress: memoryview) -> Job:
    """One with that result."""
    new = NewJob(JobId("j"), EndpointName("embed"), Payload(b"1"), 0)
    return Job(new, JobStatus.COMPLETED, 0.0, output=Payload(output), progress=Payload(progress, "text/plain"))
