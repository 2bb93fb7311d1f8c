"""Requests that the gateway answers itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from tests.gateway.http.conftest import PATIENCE, Gateway, StartGateway, eventually

from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.respond import Request, Response, error_response, json_response
from flashcore.gateway.http.route import Local

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def test_a_handler_that_has_its_answer_is_not_waited_for(gateway: Gateway) -> None:
    """The simplest request there is."""
    answer = await gateway.ask(b"GET /x?y HTTP/1.1\r\nhost: a\r\n\r\n")

    assert (answer.status, answer.body) == (200, b"GET /x?y ")
    assert answer.headers["content-type"] == "text/plain"
    assert "date" in answer.headers
    assert len(answer.headers["x-request-id"]) == 32
    assert "connection" not in answer.headers


async def test_a_handler_may_wait(gateway: Gateway) -> None:
    """And is given body, head and peer."""

    async def handler(request: Request) -> Response:
        await asyncio.sleep(0)
        return json_response(201, {"body": bytes(request.body).decode(), "peer": request.peer})

    gateway.local(handler)

    answer = await gateway.ask(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello")

    assert answer.status == 201
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == {"body": "hello", "peer": "127.0.0.1"}


async def test_a_chunked_body_arrives_whole(gateway: Gateway) -> None:
    """Chunks, extensions and trailers are the engine's business."""
    answer = await gateway.ask(
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;x=1\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n"
    )

    assert answer.body == b"POST / hello"


async def test_a_connection_serves_one_request_after_another(gateway: Gateway) -> None:
    """Bodies in between do not confuse it."""
    wire = await gateway.connect()

    for number in range(3):
        body = b"x" * number
        await wire.send(b"POST /%d HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (number, number, body))
        assert (await wire.answer()).body == b"POST /%d %b" % (number, body)

    assert gateway.server.connection_count == 1


async def test_pipelined_requests_are_answered_in_order(gateway: Gateway) -> None:
    """Also where the first one has to wait and the second one has not."""
    turn = asyncio.Event()

    async def slow(request: Request) -> Response:
        await turn.wait()
        return Response(200, (), b"slow")

    gateway.local(slow, b"/slow")
    wire = await gateway.connect()
    await wire.send(
        b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"
        b"POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1"
        b"GET /c HTTP/1.1\r\nhost: a\r\n\r\n"
    )
    await eventually(lambda: gateway.desk.seen)
    assert len(gateway.desk.seen) == 1, "the second request waits for its turn"

    turn.set()

    assert [(await wire.answer()).body for _ in range(3)] == [b"slow", b"POST /b 1", b"GET /c "]


async def test_many_pipelined_requests_do_not_nest(gateway: Gateway) -> None:
    """A thousand in one segment are a loop, not a recursion."""
    wire = await gateway.connect()
    await wire.send(GET * 1000 + b"\r\n")

    bodies = [(await wire.answer()).body for _ in range(1000)]

    assert bodies == [b"GET / "] * 1000


async def test_a_client_that_pipelines_without_reading_is_not_read_from(start_gateway: StartGateway) -> None:
    """Neither its requests nor their answers pile up."""
    gateway = await start_gateway()
    gateway.local(lambda _request: Response(200, (), b"x" * 100_000))
    wire = await gateway.connect()

    async def flood() -> None:
        while True:
            await wire.send(GET * 1000)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flood(), 1.0)

    # 10 MB of requests would be answered by 20 GB; what was begun is what the system's own buffers took.
    assert len(gateway.desk.seen) < 1000


async def test_a_head_request_gets_no_body(gateway: Gateway) -> None:
    """But the length that the body would have."""
    wire = await gateway.connect()
    await wire.send(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n" + GET)

    head = await wire.answer(to_head=True)

    assert (head.status, head.headers["content-length"]) == (200, str(len(b"HEAD / ")))
    assert (await wire.answer()).body == b"GET / "


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_content_say_no_length(gateway: Gateway, status: int) -> None:
    """And the connection goes on."""
    gateway.local(lambda _request: Response(status))
    wire = await gateway.connect()
    await wire.send(GET + b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")

    answer = await wire.answer()

    assert answer.status == status
    assert "content-length" not in answer.headers
    assert (await wire.answer()).body == b"GET /x "


async def test_http_1_0_is_answered_and_closed(gateway: Gateway) -> None:
    """Unless the client asks to keep the connection."""
    wire = await gateway.connect()
    await wire.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    assert (await wire.answer()).headers["connection"] == "keep-alive"

    await wire.send(b"GET / HTTP/1.0\r\n\r\n")

    assert (await wire.answer()).headers["connection"] == "close"
    assert await wire.ends()


async def test_a_client_may_ask_to_close(gateway: Gateway) -> None:
    """The answer says so too."""
    wire = await gateway.connect()
    await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")

    assert (await wire.answer()).headers["connection"] == "close"
    assert await wire.ends()


async def test_a_client_that_waits_for_leave_to_send_gets_it(gateway: Gateway) -> None:
    """100 Continue comes before the body is there, the answer after it."""
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
    assert (await wire.answer()).status == 100

    await wire.send(b"hi")

    assert (await wire.answer()).body == b"POST / hi"


async def test_a_body_that_will_be_too_long_is_not_waited_for(start_gateway: StartGateway) -> None:
    """413 instead of 100, then the connection ends."""
    gateway = await start_gateway(Limits(local_body_bytes=10))
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\nexpect: 100-continue\r\n\r\n")

    answer = await wire.answer()

    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (413, "body_too_large")
    assert await wire.ends()


async def test_a_body_that_becomes_too_long_is_refused(start_gateway: StartGateway) -> None:
    """A chunked one says its length only by and by; the client can read the refusal though it goes on sending."""
    gateway = await start_gateway(Limits(local_body_bytes=10))
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 3)

    answer = await wire.answer()
    for _ in range(20):
        await wire.send(b"5\r\nhello\r\n")

    assert answer.status == 413
    assert answer.headers["connection"] == "close"


async def test_pieces_are_sent_as_they_come(gateway: Gateway) -> None:
    """Server-sent events arrive one by one, chunked, and the connection goes on."""
    turn = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        yield b""
        await turn.wait()
        yield b"data: 2\n\n"

    gateway.local(lambda _request: Response(200, ((b"content-type", b"text/event-stream"),), events()))
    wire = await gateway.connect()
    await wire.send(GET)

    head = await wire.reader.readuntil(b"\r\n\r\n")
    first = await wire.reader.readexactly(len(b"9\r\ndata: 1\n\n\r\n"))
    turn.set()

    assert b"transfer-encoding: chunked" in head
    assert first == b"9\r\ndata: 1\n\n\r\n"
    assert await wire.reader.readexactly(len(first)) == b"9\r\ndata: 2\n\n\r\n"
    assert await wire.reader.readexactly(5) == b"0\r\n\r\n"
    await wire.send(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
    assert (await wire.answer()).body == b"GET /x "


async def test_an_async_handler_may_stream_too(gateway: Gateway) -> None:
    """For example one that has to look first whether there is anything to stream."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async def handler(request: Request) -> Response:
        await asyncio.sleep(0)
        return Response(200, (), pieces())

    gateway.local(handler)

    assert (await gateway.ask(GET)).body == b"ab"


async def test_http_1_0_gets_a_stream_up_to_the_connections_end(gateway: Gateway) -> None:
    """It knows no chunks."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    gateway.local(lambda _request: Response(200, (), pieces()))

    answer = await gateway.ask(b"GET / HTTP/1.0\r\n\r\n")

    assert answer.body == b"ab"
    assert "transfer-encoding" not in answer.headers


async def test_head_of_a_stream_starts_nothing(gateway: Gateway) -> None:
    """The iterator is closed without being asked for a piece."""
    asked = []

    async def pieces() -> AsyncIterator[bytes]:
        asked.append(1)
        yield b"a"

    gateway.local(lambda _request: Response(200, (), pieces()))
    wire = await gateway.connect()
    await wire.send(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\nGET /x HTTP/1.1\r\nhost: a\r\n\r\n")

    assert (await wire.answer(to_head=True)).status == 200
    assert (await wire.answer()).body == b"GET /x "
    assert asked == []


async def test_a_slow_reader_holds_back_the_iterator(gateway: Gateway) -> None:
    """It is asked for no more than the client has room for, give or take the buffers."""
    made = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield b"x" * 10_000

    gateway.local(lambda _request: Response(200, (), pieces()))
    wire = await gateway.connect()
    await wire.send(GET)
    await wire.reader.readuntil(b"\r\n\r\n")

    before = -1
    while made != before:
        before = made
        await asyncio.sleep(0.1)

    assert made * 10_000 < 20_000_000


async def test_a_client_that_leaves_cancels_the_handler(gateway: Gateway) -> None:
    """What it waits for hears of it."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Response(200)

    gateway.local(handler)
    wire = await gateway.connect()
    await wire.send(GET)
    await begun.wait()

    wire.close()

    await asyncio.wait_for(cancelled.wait(), PATIENCE)
    await eventually(lambda: gateway.server.connection_count == 0)


async def test_a_client_that_leaves_closes_the_stream(gateway: Gateway) -> None:
    """The iterator's own clean-up runs."""
    closed = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    gateway.local(lambda _request: Response(200, (), pieces()))
    wire = await gateway.connect()
    await wire.send(GET)
    await wire.reader.readuntil(b"first\r\n")

    wire.close()

    await asyncio.wait_for(closed.wait(), PATIENCE)


async def test_a_handler_that_fails_is_told_as_500(gateway: Gateway) -> None:
    """The client hears nothing of why; the loop's exception handler does."""

    async def later(request: Request) -> Response:
        await asyncio.sleep(0)
        raise KeyError("secret")

    def at_once(request: Request) -> Response:
        raise KeyError("secret")

    gateway.local(later, b"/later")
    gateway.local(at_once, b"/now")

    answers = [await gateway.ask(b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n" % path) for path in (b"now", b"later")]

    assert [answer.status for answer in answers] == [500, 500]
    assert b"secret" not in answers[0].body + answers[1].body
    assert [type(error) for error in gateway.failures] == [KeyError, KeyError]
    gateway.failures.clear()


async def test_a_lack_of_memory_is_told_as_something_that_passes(gateway: Gateway) -> None:
    """Q26: 503 with Retry-After; 500 says that there is a mistake to be found."""

    def at_once(request: Request) -> Response:
        raise MemoryError

    gateway.local(at_once)

    answer = await gateway.ask(GET)

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert b"no_memory" in answer.body
    gateway.failures.clear()


async def test_a_stream_that_fails_is_cut_short(gateway: Gateway) -> None:
    """The missing last chunk tells the client that this was not all."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        raise KeyError("broken")

    gateway.local(lambda _request: Response(200, (), pieces()))
    wire = await gateway.connect()
    await wire.send(GET)

    with pytest.raises(asyncio.IncompleteReadError):
        await wire.answer()

    assert [type(error) for error in gateway.failures] == [KeyError]
    gateway.failures.clear()


async def test_a_dispatcher_that_fails_is_told_as_500(gateway: Gateway) -> None:
    """Nothing in the layer above can leave a client without an answer."""
    gateway.desk.verdicts = None  # type: ignore[assignment]  # the dispatcher fails with this

    answer = await gateway.ask(GET)

    assert answer.status == 500
    assert [type(error) for error in gateway.failures] == [AttributeError]
    gateway.failures.clear()


async def test_a_handlers_header_cannot_split_the_answer(gateway: Gateway) -> None:
    """A line break in a value is a failure of ours, not two headers."""
    gateway.local(lambda _request: Response(200, ((b"x-a", b"b\r\nset-cookie: c"),)))

    answer = await gateway.ask(GET)

    assert (answer.status, "set-cookie" in answer.headers) == (500, False)
    assert [type(error) for error in gateway.failures] == [ValueError]
    gateway.failures.clear()


@pytest.mark.parametrize("name", [b"content-length", b"transfer-encoding", b"connection"])
async def test_a_handler_cannot_say_where_its_answer_ends(gateway: Gateway, name: bytes) -> None:
    """Two answers to that question would be none."""
    gateway.local(lambda _request: Response(200, ((name, b"1"),), b"hello"))

    assert (await gateway.ask(GET)).status == 500
    assert [type(error) for error in gateway.failures] == [ValueError]
    gateway.failures.clear()


async def test_errors_have_one_shape(gateway: Gateway) -> None:
    """Code, message, and what else belongs to it."""
    gateway.local(lambda _request: error_response(404, "no_such_job", "There is no such job.", job="j1"))

    answer = await gateway.ask(GET)

    assert answer.status == 404
    assert json.loads(answer.body) == {
        "error": {"code": "no_such_job", "message": "There is no such job.", "job": "j1"},
    }


async def test_a_handler_that_never_began_is_let_go_of(gateway: Gateway) -> None:
    """It has no use for the body, and what came of that right behind the head is none."""

    async def handler(_: Request) -> Response:
        return json_response(200, {})

    gateway.desk.verdicts[b"/"] = Local(handler, 0)

    answer = await gateway.ask(b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nno chunk\r\n")

    assert answer.status == 400
