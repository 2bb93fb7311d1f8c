"""Links of callers: jobs in frames over one connection, by the rules of the job API."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import FAST, Running, eventually, gateway_at, http_route, jobs_route, side
from tests.gateway.loops import skip
from tests.gateway.test_access import bearer, guarded, made

from flashcore.client.address import parse_url
from flashcore.client.blocking_links import BlockingLinks
from flashcore.client.exchange import Submission as AskedByClient
from flashcore.client.exchange import Told
from flashcore.client.link import Line
from flashcore.client.loop_links import LoopLinks
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.security import Security
from flashcore.model.errors import ProtocolError
from flashcore.model.job import Payload
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName
from flashcore.model.token import TokenScope
from flashcore.testing.certificate import make_certificate
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire import calls, seal
from flashcore.wire.calls import Answer, Going, Refusal, Submission
from flashcore.wire.frames import Frame, FrameDecoder, encode_frame
from flashcore.wire.messages import Result

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def job(number: int, endpoint: str = "embed", data: bytes = b'{"x": 1}', wait: int = 50_000, **more: Any) -> Submission:
    """One that asks for a plain call."""
    return Submission(number, endpoint, wait, f"key-{number}-{endpoint}", Payload(data), more)


@dataclass
class Caller:
    """A caller with an open link."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    decoder: FrameDecoder = field(default_factory=FrameDecoder)
    heard: list[Answer | Refusal | Going] = field(default_factory=list)
    frames: int = 0

    def submit(self, *jobs: Submission) -> None:
        """In one frame."""
        self.writer.write(encode_frame(calls.submit_frame(jobs)))

    async def hear(self, count: int = 1) -> Sequence[Any]:
        """The next things that are said."""
        while len(self.heard) < count:
            data = await self.reader.read(1 << 16)
            assert data, "the link ended"
            for frame in self.decoder.feed(data):
                said = calls.read_from_gateway(frame)
                self.frames += 1
                self.heard += [said] if isinstance(said, Going) else said
        taken, self.heard = self.heard[:count], self.heard[count:]
        return taken

    async def ask(self, *jobs: Submission) -> Sequence[Any]:
        """Submit, and hear of all of them."""
        self.submit(*jobs)
        return await self.hear(len(jobs))

    async def ended(self) -> bool:
        """Whether the gateway has ended the link, once it has."""
        with contextlib.suppress(ConnectionResetError):
            while await self.reader.read(1 << 16):
                pass
        return True


async def knock(url: str, *lines: str) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a link; the head of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    head = [f"GET {calls.PATH} HTTP/1.1", "Host: localhost", *lines]
    writer.write("\r\n".join([*head, "", ""]).encode())
    return await reader.readuntil(b"\r\n\r\n"), reader, writer


UPGRADE = ("Connection: Upgrade", f"Upgrade: {calls.PROTOCOL}")


@asynccontextmanager
async def linked(running: Running, *lines: str) -> AsyncIterator[Caller]:
    """A link to this gateway."""
    head, reader, writer = await knock(running.gateway.url, *UPGRADE, *lines)
    assert head.startswith(b"HTTP/1.1 101 "), head
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def worker_of(running: Running, layout: Layout, answer: Any, *, slots: int = 8) -> AsyncIterator[FakeWorker]:
    """A worker of `embed`, beside other endpoints."""
    hello = worker_hello("embed", slots=slots)
    running.serve(jobs_route("embed", side(hello)), http_route("web"))
    async with FakeWorker(layout.worker_socket, hello, answer) as worker:
        yield worker


async def test_a_job_is_answered_over_the_link_that_it_came_by(running: Running, layout: Layout) -> None:
    """Its status document and its output, once it has ended."""
    async with worker_of(running, layout, lambda _: b'{"y": 2}') as worker, linked(running) as caller:
        (answer,) = await caller.ask(job(7, data=b'{"x": 1}', traceparent=TRACE, tracestate="a=b"))

    assert (answer.number, answer.document["status"]) == (7, "COMPLETED")
    assert (bytes(answer.output.data), answer.output.media) == (b'{"y": 2}', "application/json")
    (seen,) = worker.seen
    assert bytes(seen.input.data) == b'{"x": 1}'
    assert (seen.context["traceparent"], seen.context["tracestate"]) == (TRACE, "a=b")
    assert len(seen.context["request_id"]) == 32


async def test_many_jobs_go_in_one_frame_and_each_has_its_answer(running: Running, layout: Layout) -> None:
    """In whichever order they end."""
    async with worker_of(running, layout, lambda seen: bytes(seen.input.data)) as _, linked(running) as caller:
        answers = await caller.ask(*(job(number, data=b"%d" % number) for number in range(40)))

    assert {one.number: bytes(one.output.data) for one in answers} == {n: b"%d" % n for n in range(40)}
    assert caller.frames < 40


async def test_who_does_not_wait_hears_that_the_job_is_kept(running: Running) -> None:
    """`wait` 0: as `run` does."""
    running.serve(jobs_route("embed"))
    async with linked(running) as caller:
        (answer,) = await caller.ask(job(1, wait=0))

    assert answer.document["status"] == "IN_QUEUE"
    assert answer.output is None
    assert (await running.get(f"/v2/embed/status/{answer.document['id']}")).json["status"] == "IN_QUEUE"


async def test_a_wait_that_is_over_says_how_the_job_is(running: Running) -> None:
    """Nobody takes it; the caller asks again over HTTP."""
    running.serve(jobs_route("embed"))
    async with linked(running) as caller:
        (answer,) = await caller.ask(job(1, wait=10))

    assert answer.document["status"] == "IN_QUEUE"


async def test_the_same_key_is_the_same_job(running: Running) -> None:
    """Over another link, too, and over HTTP: a link that broke loses no job and doubles none."""
    running.serve(jobs_route("embed"))
    async with linked(running) as caller:
        (first,) = await caller.ask(job(1, wait=0))
    async with linked(running) as caller:
        (again,) = await caller.ask(job(1, wait=0))
    over_http = await running.post("/v2/embed/run", {"input": {"x": 1}}, {"Idempotency-Key": "key-1-embed"})

    assert first.document["id"] == again.document["id"] == over_http.json["id"]


REFUSED: Mapping[str, tuple[Submission, tuple[str, Any]]] = {
    "an endpoint that is not there": (job(1, "embedd"), ("/v2/embedd/runsync", {"input": 1})),
    "an endpoint without a queue": (job(1, "web"), ("/v2/web/runsync", {"input": 1})),
    "a preview that is not there": (job(1, "embed--preview"), ("/v2/embed--preview/runsync", {"input": 1})),
    "no JSON": (job(1, data=b"{"), ("/v2/embed/runsync", b'{"input": {}')),
    "too large for run": (job(1, data=b'"%b"' % (b"x" * 2000), wait=0), ("/v2/embed/run", {"input": "x" * 2000})),
    "a policy that is none": (job(1, policy=3), ("/v2/embed/runsync", {"input": 1, "policy": 3})),
    "a ttl that is none": (job(1, policy={"ttl": -1}), ("/v2/embed/run", {"input": 1, "policy": {"ttl": -1}})),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_refused_over_http_is_refused_over_a_link(layout: Layout, what: str) -> None:
    """By the same status and the same code."""
    submission, (path, body) = REFUSED[what]
    async with gateway_at(layout, replace(FAST, runsync_bytes=2500, run_bytes=1500)) as running:
        running.serve(jobs_route("embed"), http_route("web"))
        async with linked(running) as caller:
            (refusal,) = await caller.ask(submission)
            over_http = await running.post(path, body)

    assert refusal.number == 1
    assert (refusal.status, json.loads(refusal.error)["error"]["code"]) == (
        over_http.status,
        over_http.json["error"]["code"],
    )


@pytest.mark.parametrize(
    "submission",
    [
        job(1)._replace(input=Payload(b"x", "text/plain")),
        job(1)._replace(input=Payload(b"x", seal.MEDIA)),
        job(1)._replace(key="k" * 300),
        job(1)._replace(key="a\nb"),
        job(1, lane="a\0b"),
        job(1, lane=4),
    ],
)
async def test_what_makes_no_sense_is_refused_alone(running: Running, submission: Submission) -> None:
    """The link goes on, and with it the job beside it."""
    running.serve(jobs_route("embed"))
    async with linked(running) as caller:
        said = await caller.ask(submission, job(2, wait=0))

    assert {one.number: type(one) for one in said} == {1: Refusal, 2: Answer}
    assert next(one.status for one in said if one.number == 1) == 400


async def test_a_trace_that_is_none_is_left_out(running: Running, layout: Layout) -> None:
    """As in a header: nothing is carried on that could break a line of another request."""
    async with worker_of(running, layout, lambda _: b"1") as worker, linked(running) as caller:
        await caller.ask(
            job(1, traceparent="00-x", tracestate="a=b"), job(2, traceparent=TRACE, tracestate="a\r\nb: c")
        )

    assert [seen.context.keys() - {"request_id"} for seen in worker.seen] == [set(), {"traceparent"}]


@pytest.mark.parametrize(
    ("given", "kept"), [("mine", True), ("a b", False), ("é", False), ("x" * 129, False), (7, False)]
)
async def test_a_request_id_is_taken_over_as_from_a_header(
    running: Running,
    layout: Layout,
    given: object,
    kept: bool,  # noqa: FBT001 - a parameter
) -> None:
    """By it a job is found that belongs to another call; what is none is replaced."""
    more: dict[str, Any] = {"x-request-id": given}
    async with worker_of(running, layout, lambda _: b"1") as worker, linked(running) as caller:
        await caller.ask(job(1, **more))

    assert (worker.seen[0].context["request_id"] == given) is kept


async def test_callers_have_an_allowance(layout: Layout) -> None:
    """Who submits more than it may is told when to come again."""
    async with gateway_at(layout, replace(FAST, caller_rate=0.2)) as running:
        running.serve(jobs_route("embed"))
        async with linked(running) as caller:
            said = await caller.ask(*(job(number, wait=0) for number in range(3)))

    refused = next(one for one in said if isinstance(one, Refusal))
    assert (refused.number, refused.status) == (2, 429)
    assert refused.after is not None
    assert refused.after > 0


async def test_a_link_is_opened_with_a_token(layout: Layout) -> None:
    """As every request is sent; one that is not valid is told so."""
    text, token = made(TokenScope.READ)
    async with guarded(layout, token) as running:
        running.serve(jobs_route("embed"))
        answers = [
            await knock(running.gateway.url, *UPGRADE, *lines)
            for lines in ((), ("Authorization: Bearer fc_01_x",), (f"Authorization: Bearer {text}",))
        ]
        for _, _, writer in answers:
            writer.close()

    assert [head.split(b" ")[1] for head, _, _ in answers] == [b"401", b"401", b"403"]


async def test_a_token_that_is_taken_back_counts_no_more(layout: Layout) -> None:
    """Also over a link that was opened with it."""
    text, token = made(TokenScope.CALL)
    async with (
        guarded(layout, token) as running,
        linked(running, f"Authorization: {bearer(text)['Authorization']}") as caller,
    ):
        (before,) = await caller.ask(job(1, wait=0))
        running.gateway.keyring.take_over(())
        after = await caller.ask(job(2, wait=0), job(3, "nothing", wait=0))

    assert isinstance(before, Answer)
    assert [(one.status, json.loads(one.error)["error"]["code"]) for one in after] == [(401, "unauthorized")] * 2


async def test_public_endpoints_are_called_without_a_token(layout: Layout) -> None:
    """And over the same link no other one."""
    async with guarded(layout) as running, linked(running) as caller:
        said = await caller.ask(job(1, "embed-open", wait=0), job(2, "embed", wait=0))

    assert {one.number: type(one) for one in said} == {1: Answer, 2: Refusal}


@pytest.mark.parametrize(
    "lines",
    [(), ("Connection: Upgrade", "Upgrade: websocket"), (*UPGRADE, "Content-Length: 1")],
)
async def test_other_requests_for_that_path_are_told_what_it_is_for(running: Running, lines: tuple[str, ...]) -> None:
    """None of them changes the protocol."""
    running.serve(jobs_route("embed"))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.gateway.url.rpartition(":")[2]))
    writer.write("\r\n".join([f"GET {calls.PATH} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode() + b"x")
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert head.startswith(b"HTTP/1.1 400 ")


async def test_a_large_output_is_asked_for_apart(running: Running, layout: Layout) -> None:
    """It would hold up all answers behind it."""
    large = b'"%b"' % (b"x" * (calls.LARGEST + 1))
    async with worker_of(running, layout, lambda _: large) as _, linked(running) as caller:
        (answer,) = await caller.ask(job(1))
        apart = await running.get(f"/v2/embed/status/{answer.document['id']}")

    assert (answer.document["status"], answer.output, answer.is_apart) == ("COMPLETED", None, True)
    assert len(apart.json["output"]) == calls.LARGEST + 1


async def test_a_long_error_is_asked_for_apart(running: Running, layout: Layout) -> None:
    """A document has a place in the frame's head, which is not to grow without bounds."""
    long = "x" * (calls.LONGEST_DOCUMENT + 1)
    async with (
        worker_of(running, layout, lambda seen: Result(seen.id, seen.attempt, error=long)) as _,
        linked(running) as caller,
    ):
        (answer,) = await caller.ask(job(1))
        apart = await running.get(f"/v2/embed/status/{answer.document['id']}")

    assert (answer.document["status"], answer.is_apart) == ("FAILED", True)
    assert apart.json["error"] == long


async def test_nothing_is_said_of_a_job_that_was_forgotten(running: Running, layout: Layout) -> None:
    """It goes on, as one whose caller has hung up; its number may come again."""
    done = asyncio.Event()

    async def answer(_: Any) -> bytes:
        await done.wait()
        return b"1"

    async with worker_of(running, layout, answer) as worker, linked(running) as caller:
        caller.submit(job(1))
        await eventually(lambda: worker.seen)
        caller.writer.write(encode_frame(calls.forget_frame([1, 99])))
        caller.submit(job(1)._replace(key="another"), job(2))
        await eventually(lambda: len(worker.seen) == 3)
        done.set()
        said = await caller.hear(2)

    assert sorted(one.number for one in said) == [1, 2]


HOSTILE: Mapping[str, bytes] = {
    "no frame": b"GET / HTTP/1.1\r\n\r\n",
    "another kind": encode_frame(Frame(14, {"ids": []})),
    "an answer": calls.encode_answers([]),
    "no jobs": encode_frame(Frame(41, {"jobs": 3})),
    "fewer inputs": encode_frame(Frame(41, {"jobs": [[1, "embed", 0, "", "x", {}]]})),
    "a job of other parts": encode_frame(Frame(41, {"jobs": [[1, "embed"]]}, (b"",))),
    "a number that is none": encode_frame(Frame(41, {"jobs": [[True, "embed", 0, "", "x", {}]]}, (b"",))),
    "a wait before now": encode_frame(Frame(41, {"jobs": [[1, "embed", -1, "", "x", {}]]}, (b"",))),
    "a key that is none": encode_frame(Frame(41, {"jobs": [[1, "embed", 0, None, "x", {}]]}, (b"",))),
    "the same number twice": encode_frame(calls.submit_frame([job(1), job(1)])),
    "a forgotten text": encode_frame(Frame(42, {"numbers": ["1"]})),
    "too much": encode_frame(Frame(41, {"jobs": []}, (bytes(4 * calls.LARGEST + 1),))),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_caller_that_breaks_the_protocol_is_cut_off(running: Running, what: str) -> None:
    """It, and nobody else; it is told why, as with any other error."""
    running.serve(jobs_route("embed"))
    async with linked(running) as good, linked(running) as bad:
        bad.writer.write(HOSTILE[what])
        (going,) = await bad.hear()
        assert await bad.ended()
        (answer,) = await good.ask(job(1, wait=0))

    assert going.error["code"] == "bad_frame"
    assert going.error["message"]
    assert isinstance(answer, Answer)


async def test_frames_may_come_in_any_pieces(running: Running) -> None:
    """Together with the request that opened the link, too."""
    running.serve(jobs_route("embed"))
    data = encode_frame(calls.submit_frame([job(1, wait=0)]))
    async with linked(running) as caller:
        for at in range(len(data)):
            caller.writer.write(data[at : at + 1])
            await caller.writer.drain()
        (answer,) = await caller.hear()

    assert isinstance(answer, Answer)


def test_what_a_gateway_says_is_read_strictly() -> None:
    """A caller is told of nonsense by an error that says so."""
    for frame in (
        Frame(41, {"jobs": []}),
        Frame(43, {}),
        Frame(43, {"jobs": [[1, {}]]}),
        Frame(43, {"jobs": [["1", {}, None]]}),
        Frame(43, {"jobs": [[1, {}, "x"]]}),
        Frame(43, {"jobs": [[1, {}, None]]}, (b"",)),
        Frame(44, {"jobs": [[1, 400, None]]}),
        Frame(44, {"jobs": [[1, 400]]}, (b"",)),
        Frame(44, {"jobs": [[1, "400", None]]}, (b"",)),
    ):
        with pytest.raises(ProtocolError):
            calls.read_from_gateway(frame)


async def test_a_gateway_that_stops_answers_what_it_has_taken(layout: Layout) -> None:
    """It says that it is going, answers, and ends the link."""
    done = asyncio.Event()

    async def answer(_: Any) -> bytes:
        await done.wait()
        return b"1"

    async with (
        gateway_at(layout) as running,
        worker_of(running, layout, answer) as worker,
        linked(running) as idle,
        linked(running) as caller,
    ):
        caller.submit(job(1))
        await eventually(lambda: worker.seen)
        closing = asyncio.create_task(running.gateway.http.close(50.0))
        (going,) = await caller.hear()
        assert isinstance(going, Going)
        assert await idle.ended()
        (late,) = await caller.ask(job(2))
        assert (late.number, late.status) == (2, calls.MISDIRECTED)
        done.set()
        (said,) = await caller.hear()
        assert said.document["status"] == "COMPLETED"
        assert await caller.ended()
        assert await closing == 0


async def test_a_link_that_goes_ends_once_its_last_caller_gives_up(layout: Layout) -> None:
    """Nobody is left to be answered over it, so a gateway that stops does not wait for it."""
    never = asyncio.Event()
    async with (
        gateway_at(layout) as running,
        worker_of(running, layout, lambda _: never.wait()) as worker,
        linked(running) as caller,
    ):
        caller.submit(job(1))
        await eventually(lambda: worker.seen)
        closing = asyncio.create_task(running.gateway.http.close(3600.0))
        await caller.hear()
        caller.writer.write(encode_frame(calls.forget_frame([1])))

        assert await caller.ended()
        assert await closing == 0
        never.set()


async def test_an_idle_link_ends(running: Running) -> None:
    """One on which a job is under way does not; nor does one whose caller was silent for a while only."""
    running.serve(jobs_route("embed"))
    limits = Limits()
    async with linked(running) as idle, linked(running) as busy:
        await idle.ask(job(1, wait=0))
        busy.submit(job(2, wait=300_000))
        await eventually(lambda: metrics(running, "flashcore_gateway_link_calls 1"))
        await skip(limits.body_seconds + 1.0, 0.6 * limits.sweep_seconds)
        await idle.ask(job(3, wait=0))
        await skip(limits.idle_seconds + 1.0, 0.6 * limits.sweep_seconds)
        assert await idle.ended()
        (answer,) = await busy.ask(job(4, wait=0))

    assert isinstance(answer, Answer)


async def test_a_link_that_stops_within_a_frame_ends(running: Running) -> None:
    """What came of it is not held for ever."""
    running.serve(jobs_route("embed"))
    limits = Limits()
    async with linked(running) as caller:
        caller.writer.write(encode_frame(calls.submit_frame([job(1)]))[:-1])
        caller.submit(job(2))
        await skip(limits.body_seconds + 1.0, 0.6 * limits.sweep_seconds)
        assert await caller.ended()


async def test_a_quiet_gateway_opens_no_links_and_answers_over_those_it_has(layout: Layout) -> None:
    """It takes nothing new; once the last answer is given, nothing is under way."""
    done = asyncio.Event()

    async def answer(_: Any) -> bytes:
        await done.wait()
        return b"1"

    async with gateway_at(layout) as running, worker_of(running, layout, answer) as worker, linked(running) as caller:
        caller.submit(job(1))
        await eventually(lambda: worker.seen)
        quiet = asyncio.create_task(running.gateway.quiesce(50.0))
        (going,) = await caller.hear()
        head, _, writer = await knock(running.gateway.url, *UPGRADE)
        writer.close()
        done.set()
        (said,) = await caller.hear()
        left = await quiet

    assert isinstance(going, Going)
    assert head.startswith(b"HTTP/1.1 503 ")
    assert (said.document["status"], left) == ("COMPLETED", 0)


async def test_links_are_counted(running: Running) -> None:
    """Those that are open, what is under way over them, and what came."""
    running.serve(jobs_route("embed"))
    async with linked(running) as caller:
        await caller.ask(job(1, wait=0))
        caller.submit(job(2))
        page = await eventually(lambda: metrics(running, "flashcore_gateway_link_calls 1"))
    gone = await eventually(lambda: metrics(running, "flashcore_gateway_links 0"))

    assert "flashcore_gateway_links 1" in page
    assert "flashcore_gateway_link_jobs_total 2" in page
    assert "flashcore_gateway_link_calls 0" in gone


async def metrics(running: Running, awaited: str) -> str:
    """The page, once it says so."""
    page = (await running.get("/metrics")).body.decode()
    return page if awaited in page else ""


async def test_a_wait_without_bound_is_the_longest_one(running: Running, layout: Layout) -> None:
    """A number of any size is one."""
    async with worker_of(running, layout, lambda _: b"1"), linked(running) as caller:
        (said,) = await caller.ask(job(1, wait=10**400))

    assert said.document["status"] == "COMPLETED"


async def test_a_link_works_behind_tls(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For awaited and for blocking calls of the client, which trusts whom the machine trusts."""
    files = await asyncio.to_thread(make_certificate, tmp_path)
    context = Security(certificate=files.certificate, key=files.key).context()
    running.serve(jobs_route("embed"))
    port = await running.gateway.http.listen("127.0.0.1", 0, context)
    monkeypatch.setenv("SSL_CERT_FILE", str(files.certificate))
    line = Line(parse_url(f"https://localhost:{port}"), "")
    asked = AskedByClient(EndpointName("embed"), None, (b"1",), "application/json", "k", {}, 60.0)

    awaited = await LoopLinks().exchange(line, asked)
    blocking = await asyncio.to_thread(BlockingLinks().exchange, line, asked)

    assert isinstance(awaited, Told)
    assert isinstance(blocking, Told)
    assert awaited.document["id"] == blocking.document["id"]
