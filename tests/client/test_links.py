"""Links as the client uses them: what goes over them, what is made of their end, and when there are none."""

import asyncio
import contextlib
import gc
import json
import os
import socket
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.client.conftest import Gateway

from flashcore import DeadlineExceeded, ProtocolError, QueueEndpoint, Unavailable, UsageError
from flashcore.client.address import parse_url
from flashcore.client.blocking_links import BlockingLinks
from flashcore.client.exchange import Submission, Told
from flashcore.client.link import Line, encode_forgotten, encode_submissions
from flashcore.client.loop_links import LoopLink, LoopLinks
from flashcore.model.job import Payload
from flashcore.model.names import EndpointName
from flashcore.wire import calls
from flashcore.wire.calls import Refusal, WrittenAnswer
from flashcore.wire.envelope import wrap_value
from flashcore.wire.frames import FrameDecoder, encode_frame
from flashcore.wire.messages import Kind

ASKED = Submission(EndpointName("work"), 1.0, (b"1",), "application/json", "key", {}, 60.0)
REFUSED = json.dumps({"error": {"code": "usage", "message": "so it is"}}).encode()


@dataclass
class LinkGateway:
    """A gateway that has links alone. `say` gives the bytes that answer a job; None ends the link without a word."""

    url: str = ""
    jobs: list[calls.Submission] = field(default_factory=list)
    frames: int = 0
    links: int = 0
    forgotten: list[int] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    status: bytes = b"101 Switching Protocols"
    say: Callable[[calls.Submission], bytes | None] = lambda job: completed(job)  # noqa: PLW0108 - it stands below
    heard: threading.Condition = field(default_factory=threading.Condition)

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for something to come."""
        with self.heard:
            assert self.heard.wait_for(true, 60)

    def serve(self, sock: socket.socket) -> None:
        """One connection."""
        with sock, contextlib.suppress(ConnectionError):  # the caller may give up at any time
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                piece = sock.recv(1)
                if not piece:
                    return
                head += piece
            self.heads.append(head)
            self.links += 1
            sock.sendall(b"HTTP/1.1 %b\r\nUpgrade: %b\r\n\r\n" % (self.status, calls.PROTOCOL.encode()))
            if self.status.startswith(b"101"):
                self.talk(sock)

    def talk(self, sock: socket.socket) -> None:
        """Frames, until somebody ends it."""
        decoder = FrameDecoder()
        while data := sock.recv(1 << 16):
            for frame in decoder.feed(data):
                with self.heard:
                    self.frames += 1
                    if frame.kind == Kind.FORGET:
                        self.forgotten += calls.read_forgotten(frame)
                    jobs = calls.read_submissions(frame) if frame.kind == Kind.SUBMIT else []
                    self.jobs += jobs
                    self.heard.notify_all()
                for job in jobs:
                    said = self.say(job)
                    if said is None:
                        return
                    sock.sendall(said)


def completed(job: calls.Submission, value: Any = None) -> bytes:
    """The job has ended; its value is what the call gave as its first argument."""
    given = json.loads(bytes(job.input.data))["$flashcore"]["arguments"]["args"][0] if value is None else value
    output = Payload(json.dumps(wrap_value(given)).encode())
    return answered(job.number, {"id": f"job-{job.number}", "status": "COMPLETED"}, output)


def answered(number: int, document: Mapping[str, Any], output: Payload | None = None) -> bytes:
    """The answer to a call."""
    return calls.encode_answers([WrittenAnswer(number, json.dumps(document), output)])


def _text(told: object) -> str:
    """The value in an answer."""
    assert isinstance(told, Told)
    assert told.output is not None
    value: str = json.loads(bytes(told.output[1]))["$flashcore"]["value"]
    return value


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Iterator[LinkGateway]:
    """A running one, which calls of this process go to."""
    gateway = LinkGateway()
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                sockets.append(sock)
                threads.append(threading.Thread(target=gateway.serve, args=(sock,)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        gateway.url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("FLASHCORE_GATEWAY_URL", gateway.url)
        monkeypatch.delenv("FLASHCORE_CALL_KEY", raising=False)
        yield gateway
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


def functions() -> Any:
    """An endpoint that nothing was called of yet."""
    endpoint = QueueEndpoint("work")

    @endpoint.function
    def echo(value: Any) -> Any:
        """Give it back."""
        return value

    return echo


def test_blocking_calls_take_turns_on_one_link(links: LinkGateway) -> None:
    """Also those of other threads, one after the other."""
    echo = functions()

    assert [echo.remote(number) for number in range(3)] == [0, 1, 2]
    threads = [threading.Thread(target=echo.remote, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
        thread.join()

    assert (links.links, len(links.jobs)) == (1, 5)
    assert len({job.key for job in links.jobs}) == 5


@pytest.mark.parametrize("size", [10, 600_000], ids=["in one piece", "in several"])
def test_an_answer_stays_as_it_was_when_the_next_one_comes(links: LinkGateway, size: int) -> None:
    """A link reads all answers into the same room, and a caller may keep what came in one."""
    letters = iter("ab")
    links.say = lambda job: completed(job, next(letters) * size)
    kept = BlockingLinks()
    line = Line(parse_url(links.url), "")

    first, second = (kept.exchange(line, ASKED) for _ in range(2))

    assert links.links == 1
    assert [_text(told) for told in (first, second)] == ["a" * size, "b" * size]


@pytest.mark.parametrize("size", [10, 600_000], ids=["in one piece", "in several"])
async def test_an_awaited_answer_stays_as_it_was_when_the_next_one_comes(links: LinkGateway, size: int) -> None:
    """The same for the link of an event loop."""
    letters = iter("ab")
    links.say = lambda job: completed(job, next(letters) * size)
    kept = LoopLinks()
    line = Line(parse_url(links.url), "")

    first, second = [await kept.exchange(line, ASKED) for _ in range(2)]

    assert links.links == 1
    assert [_text(told) for told in (first, second)] == ["a" * size, "b" * size]


def test_calls_at_the_same_time_have_links_of_their_own(links: LinkGateway) -> None:
    """None hears the other's answer."""
    echo = functions()
    together = threading.Barrier(3)

    def say(job: calls.Submission) -> bytes:
        together.wait(60)
        return completed(job)

    links.say = say

    assert list(echo.map(range(3), concurrency=3)) == [0, 1, 2]
    assert links.links == 3


async def test_awaited_calls_of_one_turn_go_in_one_frame(links: LinkGateway) -> None:
    """Over one link, with an answer for each."""
    echo = functions()
    await echo(0)

    assert await asyncio.gather(*(echo(number) for number in range(50))) == list(range(50))
    assert (links.links, links.frames, len(links.jobs)) == (1, 2, 51)


async def test_calls_that_come_while_the_link_is_opened_wait_for_it(links: LinkGateway) -> None:
    """One is enough."""
    echo = functions()

    assert await asyncio.gather(*(echo(number) for number in range(5))) == list(range(5))
    assert links.links == 1


async def test_spawned_jobs_do_not_wait(links: LinkGateway) -> None:
    """What comes back is that they are kept."""
    echo = functions()
    links.say = lambda job: answered(job.number, {"id": "j", "status": "IN_QUEUE"})

    assert (echo.spawn(1).id, (await echo.spawn_async(1)).id) == ("j", "j")
    assert [job.wait for job in links.jobs] == [0, 0]


async def test_a_refusal_is_the_same_error_as_over_http(links: LinkGateway) -> None:
    """Its type by its code, its message with the call's name."""
    echo = functions()
    links.say = lambda job: encode_frame(calls.refusals_frame([Refusal(job.number, 400, None, REFUSED)]))

    with pytest.raises(UsageError, match=r"work\.echo: so it is"):
        echo.remote(1)
    with pytest.raises(UsageError, match=r"work\.echo: so it is"):
        await echo(1)


@pytest.mark.parametrize("end", ["cut", "misdirected", "going"])
async def test_a_job_whose_link_ends_is_submitted_again_under_its_key(links: LinkGateway, end: str) -> None:
    """Over another link: the gateway was restarted, or is about to be."""
    echo = functions()
    ends = iter([0, 0])

    def say(job: calls.Submission) -> bytes | None:
        if next(ends, None) is None:
            return completed(job)
        if end == "cut":
            return None
        refusal = calls.refusals_frame([Refusal(job.number, calls.MISDIRECTED, None, REFUSED)])
        return encode_frame(calls.going_frame()) + (completed(job) if end == "going" else encode_frame(refusal))

    links.say = say

    assert [echo.remote(1), await echo(2), echo.remote(3)] == [1, 2, 3]
    keys = [job.key for job in links.jobs]
    assert len(set(keys)) == 3
    assert len(keys) == (3 if end == "going" else 5)


async def test_who_gives_up_tells_the_gateway(links: LinkGateway) -> None:
    """Nobody waits for that answer any longer; those of others are not touched."""
    echo = functions()
    links.say = lambda job: completed(job) if len(links.jobs) != 2 else b""
    await echo(0)
    call = asyncio.ensure_future(echo(1))
    await asyncio.to_thread(links.until, lambda: len(links.jobs) == 2)

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    await asyncio.to_thread(links.until, lambda: links.forgotten == [links.jobs[1].number])
    assert await echo(2) == 2


async def test_an_answer_that_does_not_come_in_time_is_a_deadline(links: LinkGateway) -> None:
    """The gateway is told that nobody waits for it, or its link is given up."""
    links.say = lambda job: b"" if job.key == "late" else completed(job, 1)
    line, blocking, awaited = Line(parse_url(links.url), ""), BlockingLinks(), LoopLinks()
    late = Submission(EndpointName("work"), 0.01, (b"1",), "application/json", "late", {}, 0.05)
    blocking.exchange(line, ASKED)  # the links are there, so that the time is that of the answer
    await awaited.exchange(line, ASKED)

    with pytest.raises(DeadlineExceeded, match=r"did not answer POST /v2/work/runsync\?wait=10 within 0\.05 s"):
        blocking.exchange(line, late)
    with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
        await awaited.exchange(line, late)


async def test_nonsense_ends_the_link_with_an_error_that_says_so(links: LinkGateway) -> None:
    """It is not repeated: it would come again."""
    echo = functions()
    links.say = lambda _: b"HTTP/1.1 400 what?\r\n\r\n"

    with pytest.raises(ProtocolError):
        echo.remote(1)
    with pytest.raises(ProtocolError):
        await echo(1)

    assert len(links.jobs) == 2


async def test_the_token_opens_the_link(links: LinkGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another token has another link."""
    echo = functions()
    for token in ("one", "two", "one"):
        monkeypatch.setenv("FLASHCORE_TOKEN", token)
        assert await echo(1) == 1

    shown = [head.partition(b"Authorization: ")[2].partition(b"\r\n")[0] for head in links.heads]
    assert shown == [b"Bearer one", b"Bearer two"]


def test_a_forked_child_has_links_of_its_own(links: LinkGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one sends, the other's answers would be mixed with. Known by the process id."""
    echo = functions()
    assert echo.remote(1) == 1

    monkeypatch.setattr(os, "getpid", lambda: 1)

    assert echo.remote(2) == 2
    assert links.links == 2


async def test_who_has_no_links_is_not_asked_again(gateway: Gateway) -> None:
    """A gateway of before there were links, or somebody else's: plain HTTP, and no word of links for a while."""
    echo = functions()
    gateway.complete(1)

    assert [echo.remote(1), echo.remote(1), await echo(1), await echo(1)] == [1, 1, 1, 1]

    assert len(gateway.seen) == 4
    assert gateway.knocks == 2  # of the blocking calls one, of the loop's one


@pytest.mark.parametrize("status", [b"503 Service Unavailable", b"101 Switching"])
def test_who_has_none_now_is_asked_again(links: LinkGateway, status: bytes) -> None:
    """A gateway that is about to stop opens none; the next one does."""
    line = Line(parse_url(links.url), "")
    job = Submission(EndpointName("work"), None, (b"1",), "application/json", "k", {}, 5.0)
    links.say = lambda one: answered(one.number, {"id": "j"})
    blocking = BlockingLinks()

    links.status = status
    first = blocking.exchange(line, job)
    links.status = b"101 Switching"

    assert first is None or status.startswith(b"101")
    assert isinstance(blocking.exchange(line, job), Told)


async def test_large_inputs_go_by_http(gateway: Gateway) -> None:
    """They would hold up small ones: no link is opened for them."""
    echo = functions()
    gateway.complete(1)
    large = "x" * (calls.LARGEST + 1)

    assert [echo.remote(large), await echo(large)] == [1, 1]

    assert gateway.knocks == 0


def test_a_loop_that_ends_closes_its_link(links: LinkGateway) -> None:
    """The gateway need not wait for it to be idle for long."""
    echo = functions()

    for _ in range(2):
        assert asyncio.run(echo(1)) == 1

    assert links.links == 2


def test_a_loop_that_has_ended_is_not_kept(links: LinkGateway) -> None:
    """A program that runs a loop for each of its calls does not grow."""
    echo = functions()
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def call() -> Any:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        return await echo(1)

    for _ in range(2):
        asyncio.run(call())
    gc.collect()

    assert [loop() for loop in loops] == [None, None]


def test_a_loop_that_was_closed_half_way_goes_with_the_next(links: LinkGateway) -> None:
    """Nobody has ended its generators, so it could not end its link itself."""
    echo = functions()
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(echo(1)) == 1
    loop.close()
    kept = weakref.ref(loop)
    del loop

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the loop's, to who has closed it half-way; at any time
        assert asyncio.run(echo(2)) == 2
        gc.collect()

    assert kept() is None


async def test_a_gateway_that_is_not_there_is_told_as_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do next."""
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        monkeypatch.setenv("FLASHCORE_GATEWAY_URL", f"http://127.0.0.1:{placeholder.getsockname()[1]}")
        echo = functions()

        with pytest.raises(Unavailable, match="nothing answers at"):
            echo.remote(1)
        with pytest.raises(Unavailable, match="nothing answers at"):
            await echo(1)


async def open_link(links: LinkGateway) -> LoopLink:
    """One that nothing was called over yet."""
    address = parse_url(links.url)
    link = LoopLink(Line(address, ""), set())
    await asyncio.get_running_loop().create_connection(lambda: link, address.host, address.port)
    await link.opened
    return link


async def closed(link: LoopLink) -> None:
    """It is, once its loop knows."""
    link.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not link.is_open


async def test_a_link_that_ends_with_its_opening_is_told_at_once(links: LinkGateway) -> None:
    """Who waited for it is told that it broke, and not only once the time is over."""
    link = await open_link(links)
    await closed(link)

    with pytest.raises(Unavailable, match="the link ended before the job was sent") as broke:
        await link.exchange(ASKED)

    assert broke.value.data["sent"] is True


def test_many_who_give_up_at_once_are_told_of_in_several_frames() -> None:
    """A gateway cuts off who names more in one than fit."""
    numbers = list(range(2 * calls.MOST_JOBS + 1))

    frames = list(FrameDecoder(calls.LIMITS).feed(encode_forgotten(numbers)))

    assert [number for frame in frames for number in calls.read_forgotten(frame)] == numbers
    assert len(frames) == 3


async def test_a_job_that_has_not_left_does_not_leave_once_nobody_waits_for_it(links: LinkGateway) -> None:
    """A gateway that stands still is not given it when it goes on, nor is it kept until then."""
    links.say = lambda job: completed(job, 1)
    link = await open_link(links)
    link.pause_writing()
    given_up = asyncio.ensure_future(link.exchange(ASKED))
    wanted = asyncio.ensure_future(link.exchange(replace(ASKED, key="wanted")))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    link.resume_writing()

    assert isinstance(await wanted, Told)
    assert [job.key for job in links.jobs] == ["wanted"]
    assert links.forgotten == []
    await closed(link)


async def test_a_link_that_was_silent_for_too_long_is_given_up(links: LinkGateway) -> None:
    """Its other end may be gone without a word: the next call has a link of its own."""
    links.say = lambda job: b"" if job.key == "late" else completed(job, 1)
    line, own = Line(parse_url(links.url), ""), LoopLinks()
    late = replace(ASKED, key="late", timeout=0.05)

    await own.exchange(line, ASKED)  # the link is there, so that the time is that of the answer
    with pytest.raises(DeadlineExceeded):
        await own.exchange(line, late)
    told = await own.exchange(line, ASKED)

    assert isinstance(told, Told)
    assert links.links == 2


def test_long_traces_do_not_make_a_frame_that_is_not_taken() -> None:
    """A tracestate may be long, and jobs that have one are many: they go in several frames."""
    traced = replace(ASKED, trace={"tracestate": "a=" + "b" * 5000})

    frames = list(FrameDecoder(calls.LIMITS).feed(encode_submissions((number, traced) for number in range(1024))))

    assert [job.number for frame in frames for job in calls.read_submissions(frame)] == list(range(1024))


async def test_a_link_that_opens_while_its_loop_ends_is_no_error() -> None:
    """Who waited for it was cancelled."""
    link = LoopLink(Line(parse_url("http://127.0.0.1:1"), ""), set())
    link.opened.cancel()

    said = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %b\r\n\r\n" % calls.PROTOCOL.encode()
    link.get_buffer(-1)[: len(said)] = said
    link.buffer_updated(len(said))

    assert link.opened.cancelled()
