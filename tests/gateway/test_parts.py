"""The gateway's small parts by themselves: raw JSON, batching, waking, beats, paths."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import jobs_route, side

from flashcore.gateway.books import Attempt, Books, Worker, left_out
from flashcore.gateway.coalesce import Coalescer
from flashcore.gateway.documents import raw_payload, status_body
from flashcore.gateway.files import replace_file
from flashcore.gateway.http.parse import parse_request
from flashcore.gateway.http.respond import Later, json_response
from flashcore.gateway.http_service import HttpService
from flashcore.gateway.jobids import JobIds
from flashcore.gateway.planning import PolicyHeaders, SeenRequest, Signposts, seen_request
from flashcore.gateway.routes import Routes, jobs_routing
from flashcore.gateway.submission import lane_of
from flashcore.gateway.wakes import Wakes
from flashcore.hookspecs.jobs import lane_share
from flashcore.model.errors import StateError
from flashcore.model.job import LANES, Claimed, Job, JobStatus, NewJob, Payload
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, InstanceId, JobId, ReplicaId, RevisionId, WorkerId
from flashcore.wire.messages import Message
from flashcore.wire.rawjson import NotJson, read_object, write_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


WRITERS = st.fixed_dictionaries({"indent": st.sampled_from([None, 1, 4]), "ensure_ascii": st.booleans()})


@given(st.dictionaries(st.text(), JSON, max_size=6), WRITERS)
def test_members_are_cut_out_as_they_were_written(value: dict[str, object], writer: dict[str, Any]) -> None:
    """Whatever blanks and escapes a writer uses: each member's text is the caller's own, and means what it meant."""
    body = json.dumps(value, **writer)
    if "\\ud" not in body and not any("\ud800" <= character <= "\udfff" for character in body):
        members = read_object(body.encode())

        assert {name: member.value for name, member in members.items()} == value
        assert all(bytes(member.raw).decode() in body for member in members.values())
        assert all(json.loads(bytes(member.raw)) == member.value for member in members.values())


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_an_error(body: bytes) -> None:
    """Nothing else comes of what a caller sends."""
    try:
        members = read_object(body)
    except NotJson:
        return
    assert json.loads(body) == {name: member.value for name, member in members.items()}


@given(st.dictionaries(st.text(), JSON, max_size=3), st.dictionaries(st.text(), JSON, max_size=3))
def test_objects_are_written_with_raw_members(members: dict[str, object], raw: dict[str, object]) -> None:
    """Values and raw texts side by side are one JSON object."""
    members = {name: value for name, value in members.items() if name not in raw}
    try:
        written = write_object(members, {name: json.dumps(value).encode() for name, value in raw.items()})
    except UnicodeEncodeError:
        return  # a lone surrogate has no UTF-8; none of ours come from there
    assert json.loads(written) == {**members, **raw}


def test_what_is_not_json_is_shown_as_such() -> None:
    """A payload of another kind cannot be mistaken for the worker's JSON."""
    assert json.loads(raw_payload(Payload(b"\x80abc", "application/x-pickle"))) == {
        "media": "application/x-pickle",
        "base64": "gGFiYw==",
    }


def test_a_finished_job_always_shows_what_clients_insist_on() -> None:
    """Q-C1: also one that was cancelled before anybody took it, and one whose function gave nothing."""
    new = NewJob(JobId("j"), EndpointName("e"), Payload(b"1"), 0)
    cancelled = json.loads(status_body(Job(new, JobStatus.CANCELLED, 10.0, finished_at=11.5)))
    silent = json.loads(status_body(Job(new, JobStatus.COMPLETED, 10.0, started_at=11.0, finished_at=11.25)))

    assert cancelled == {"id": "j", "status": "CANCELLED", "delayTime": 1500, "executionTime": 0, "workerId": ""}
    assert silent == {
        "id": "j", "status": "COMPLETED", "delayTime": 1000, "executionTime": 250, "workerId": "", "output": None,
    }  # fmt: skip


def test_ids_of_jobs_are_uuids_that_grow_with_time() -> None:
    """A store's index of them grows at its end; those of one moment differ, and neither form is another shape."""
    moments = iter([1_700_000_000.0] * 300 + [1_700_000_000.002, 1_800_000_000.0, 1_800_000_000.0])
    ids = JobIds(lambda: next(moments))
    early = {ids.for_run() for _ in range(300)}
    later, last, waited = ids.for_run(), ids.for_run(), ids.for_runsync()

    assert len(early) == 300
    assert max(early) < later < last
    assert waited.startswith("sync-")
    for text in (*early, later, last, waited.removeprefix("sync-")):
        assert text.endswith("-u1")
        assert str(UUID(text[:-3])) == text[:-3]
        assert UUID(text[:-3]).version == 7


def test_lanes_are_even_and_stay_for_ever() -> None:
    """Q30: ids spread over all lanes; a key's lane may never change, or a share would move its jobs."""
    ids, counts = JobIds(), [0] * LANES
    for _ in range(20_000):
        counts[lane_of(ids.for_run())] += 1

    assert min(counts) > 120
    assert max(counts) < 290
    assert [lane_of(key) for key in ("", "a", "customer-7", "ä")] == [0, 7, 20, 35]


@pytest.mark.parametrize("ids", ["of the gateway", "of keys"])
def test_a_share_is_what_it_says_over_many_jobs(ids: str) -> None:
    """Q30: over 10,000 jobs each weight gets its percent, give or take two; a raised weight moves no job back."""
    made = JobIds()
    lanes = [lane_of(made.for_run() if ids == "of the gateway" else f"customer-{n}") for n in range(10_000)]

    for weight in range(101):
        share = jobs_routing(jobs_route("hello", side(weight=100 - weight), side(revision="b" * 64, weight=weight)))
        target = share.shares[RevisionId("b" * 64)].lanes
        assert abs(sum(lane in target for lane in lanes) / len(lanes) - weight / 100) <= 0.02
        assert all(lane in lane_share(min(100, weight + 1)) for lane in target)


def added(coalescer: Coalescer[int, int], number: int) -> asyncio.Future[int]:
    """What comes of one item."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    coalescer.add(number, future.set_result, future.set_exception)
    return future


async def test_calls_of_one_turn_are_one_batch() -> None:
    """What comes while a batch is under way is the next one."""
    batches: list[list[int]] = []
    go_on = asyncio.Event()

    async def double(numbers: Sequence[int]) -> list[int]:
        batches.append(list(numbers))
        await go_on.wait()
        return [number * 2 for number in numbers]

    coalescer = Coalescer(asyncio.get_running_loop(), double)
    first = [added(coalescer, 1), added(coalescer, 2)]
    await asyncio.sleep(0)
    second = [added(coalescer, 3), added(coalescer, 4)]
    go_on.set()

    assert await asyncio.gather(*first, *second) == [2, 4, 6, 8]
    assert batches == [[1, 2], [3, 4]]


async def test_a_batch_that_fails_is_told_to_all_of_it_and_the_next_goes_on() -> None:
    """One failure ends one batch."""
    failures = iter([StateError("away"), None])

    async def call(numbers: Sequence[int]) -> Sequence[int]:
        failure = next(failures)
        if failure is not None:
            raise failure
        return numbers

    coalescer = Coalescer(asyncio.get_running_loop(), call)
    results = await asyncio.gather(added(coalescer, 1), added(coalescer, 2), return_exceptions=True)

    assert [str(result) for result in results] == ["away", "away"]
    assert await added(coalescer, 3) == 3


async def test_a_wake_reaches_everybody_who_waits_for_it_and_nobody_else() -> None:
    """And leaves nothing behind."""
    loop = asyncio.get_running_loop()
    wakes: Wakes[str] = Wakes(loop)
    waits = [asyncio.create_task(wakes.wait(key, wakes.expect(key), loop.time() + wait))
             for key, wait in (("a", 9.0), ("a", 9.0), ("b", 0.02))]  # fmt: skip
    await asyncio.sleep(0)
    wakes.wake("a")

    assert await asyncio.gather(*waits) == [True, True, False]
    assert len(wakes) == 0


async def test_an_appointment_is_kept_from_within_the_wake() -> None:
    """Not in a later turn of the loop; once, and not by one who has cancelled it."""
    loop = asyncio.get_running_loop()
    wakes: Wakes[str] = Wakes(loop)
    told: list[tuple[str, bool]] = []
    wakes.call("a", loop.time() + 9.0, lambda woken: told.append(("kept", woken)))
    cancelled = wakes.call("a", loop.time() + 9.0, lambda woken: told.append(("cancelled", woken)))
    cancelled.cancel()
    wakes.wake("a")
    wakes.wake("a")

    assert told == [("kept", True)]
    assert len(wakes) == 0


async def test_an_appointment_ends_with_its_time() -> None:
    """Whoever made it is told that nothing happened."""
    loop = asyncio.get_running_loop()
    wakes: Wakes[str] = Wakes(loop)
    over: asyncio.Future[bool] = loop.create_future()
    wakes.call("a", loop.time() + 0.01, over.set_result)

    assert await over is False
    assert len(wakes) == 0


async def test_one_who_fails_when_told_keeps_nobody_else_from_it() -> None:
    """The loop hears what went wrong."""
    loop = asyncio.get_running_loop()
    wakes: Wakes[str] = Wakes(loop)
    heard: list[object] = []
    told: list[bool] = []

    def fail(_: bool) -> None:  # noqa: FBT001 - what a wake tells
        raise StateError("no more")

    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
    wakes.call("a", loop.time() + 9.0, fail)
    wakes.call("a", loop.time() + 9.0, told.append)
    wakes.wake("a")

    assert told == [True]
    assert [type(error) for error in heard] == [StateError]


def test_an_answer_that_comes_later_is_given_once() -> None:
    """Whether it is asked for before or after it is there; not to one who has left."""
    early, late, left = Later(), Later(), Later()
    answer = json_response(200, None)
    heard: list[tuple[str, object]] = []
    early.give(answer)
    early.tell(lambda given: heard.append(("early", given)))
    late.tell(lambda given: heard.append(("late", given)))
    late.give(answer)
    late.give(json_response(500, None))
    left.tell(lambda given: heard.append(("left", given)))
    left.cancel()
    left.give(answer)

    assert heard == [("early", answer), ("late", answer)]


async def test_who_stops_waiting_is_forgotten() -> None:
    """A caller who leaves costs nothing any longer."""
    loop = asyncio.get_running_loop()
    wakes: Wakes[str] = Wakes(loop)
    waiting = asyncio.create_task(wakes.wait("a", wakes.expect("a"), loop.time() + 9.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert len(wakes) == 0


class NoLink:
    """A connection that leads nowhere."""

    is_paused = False

    def send(self, message: Message) -> None:
        """See WorkerLink."""

    send_soon = send

    def close(self) -> None:
        """See WorkerLink."""

    abort = pause = resume = close


def worker_with(*attempts: Attempt) -> Worker:
    """A worker that has these jobs."""
    who = Worker(WorkerId("w/i"), EndpointName("e"), ReplicaId("w"), InstanceId("i"), RevisionId("r"), slots=9)
    who.link = NoLink()
    books = Books()
    books.enter(who)
    for attempt in attempts:
        books.hand_out(who, attempt)
    return who


def attempt(job: str, link: NoLink | None = None) -> Attempt:
    """A job that was handed out."""
    return Attempt(Claimed(JobId(job), WorkerId("w/i"), 1, Payload(b""), 0.0), 0.0, link)


def test_a_first_beat_tells_what_did_not_arrive() -> None:
    """Over a new connection: what is named is here, what is not was lost on the way."""
    arrived, lost = attempt("a", NoLink()), attempt("b", NoLink())
    who = worker_with(arrived, lost)

    resend, dropped = left_out(who, frozenset({JobId("a")}), 0.0, 5.0)

    assert (resend, dropped) == ([lost], [])
    assert arrived.sent_over is who.link


def test_a_job_that_is_left_out_for_long_is_given_up() -> None:
    """Not at the first beat: it, or its result, may be on its way."""
    mine = attempt("a")
    who = worker_with(mine)
    mine.sent_over = who.link

    rounds = [left_out(who, frozenset(), now, 5.0) for now in (0.0, 4.9, 5.0)]

    assert [dropped for _, dropped in rounds] == [[], [], [mine]]


def test_a_job_that_is_named_again_is_not_given_up() -> None:
    """The patience begins anew."""
    mine = attempt("a")
    who = worker_with(mine)
    mine.sent_over = who.link
    named = frozenset({JobId("a")})

    rounds = [
        left_out(who, who_said, now, 5.0) for now, who_said in ((0.0, frozenset()), (3.0, named), (6.0, frozenset()))
    ]

    assert all(dropped == [] for _, dropped in rounds)


def test_books_know_who_has_which_attempt() -> None:
    """Two attempts at one job may be in two hands at once."""
    books = Books()
    first, second = worker_with(), worker_with()
    second.id = WorkerId("w2/i")
    books.enter(first)
    books.enter(second)
    old = attempt("a")
    new = Attempt(Claimed(JobId("a"), second.id, 2, Payload(b""), 0.0), 0.0, None)
    books.hand_out(first, old)
    books.hand_out(second, new)

    assert (books.holder(JobId("a"), 1), books.holder(JobId("a"), 2)) == (first, second)
    books.strike(first)
    assert (books.holder(JobId("a"), 1), books.holder(JobId("a"), 2)) == (None, second)


def test_a_policy_never_sees_who_the_caller_is() -> None:
    """Credentials are no key to spread requests by, and no plugin's business."""
    seen = PolicyHeaders({b"authorization": b"Bearer secret", b"x-user": b"7"})

    assert (dict(seen), len(seen), seen.get("authorization")) == ({"x-user": "7"}, 1, None)


def shown() -> SeenRequest:
    """A request as a policy sees it."""
    head = parse_request(b"POST /web/x?y HTTP/1.1\r\nHost: a\r\nX-User: 7\r\nContent-Length: 5\r\n\r\n", 64, bytes)
    return seen_request(head, b"/x?y")


def test_what_a_policy_sees_of_a_request_is_made_when_it_looks() -> None:
    """Every field is that of a request made at once, and stays what it was at the first look."""
    seen = shown()

    assert (seen.method, seen.path, seen.headers["x-user"]) == ("POST", "/x", "7")
    assert (seen.body_length, seen.body_start) == (5, b"")
    assert 0 < seen.now == seen.now
    with pytest.raises(AttributeError, match="has no 'body'"):
        seen.body  # noqa: B018 - that there is none is what is shown


def test_a_policy_may_copy_what_it_sees() -> None:
    """To ask another policy with a request of its own; the copy is whole, whatever was looked at before."""
    copy = replace(shown(), path="/other")

    assert (copy.method, copy.path, copy.headers["x-user"], copy.body_length) == ("POST", "/other", "7", 5)


@pytest.mark.parametrize(
    ("lines", "target"),
    [
        (b"GET /web HTTP/1.1\r\nHost: a:80\r\n", b"/"),
        (b"GET /web?q=/x/ HTTP/1.1\r\nHost: a\r\n", b"/?q=/x/"),
        (b"GET /web/a//b?q HTTP/1.1\r\nHost: 10.0.0.1:80\r\n", b"/a//b?q"),
        (b"GET /web/ HTTP/1.1\r\nHost: web.example.org\r\n", None),
        (b"GET /web/ HTTP/1.1\r\nHost: a\r\nX-Flashcore-Revision: preview\r\n", None),
        (b"GET /web--preview/ HTTP/1.1\r\nHost: a\r\n", None),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n", None),
        (b"GET //web/ HTTP/1.1\r\nHost: a\r\n", None),
        (b"GET /other/ HTTP/1.1\r\nHost: a\r\n", None),
    ],
)
def test_the_usual_request_is_planned_by_the_start_of_its_path(lines: bytes, target: bytes | None) -> None:
    """The path and query that follow the endpoint's name; whatever may mean something else is looked at closely."""
    service = cast(HttpService, object())
    posts = Signposts(Routes(http={"web": service, "metrics": service}), ("metrics",))
    head = parse_request(lines + b"\r\n", 64, lambda: b"id")

    for _ in range(2):  # a second time with the host known
        plan = posts.plan(head)
        assert (None if plan is None else plan.target) == target


def test_a_file_that_cannot_be_replaced_stays_as_it_was(layout: Layout) -> None:
    """And nothing lies beside it."""
    folder = layout.root / "folder"
    folder.mkdir()
    target = folder / "file"
    target.mkdir()

    with pytest.raises(OSError, match="file"):
        replace_file(target, b"new")

    assert [path.name for path in folder.iterdir()] == ["file"]
