"""Clients that send what is not HTTP, too much of it, or too slowly."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from tests.gateway.http.conftest import Gateway, StartGateway, Wire, eventually
from tests.gateway.loops import skip

from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.respond import Response

HOST = b"host: a\r\n"
LONG = Limits(
    head_seconds=100.0, body_seconds=100.0, body_rate=0.0, idle_seconds=100.0, write_seconds=100.0,
    linger_seconds=100.0, sweep_seconds=0.01,
)  # fmt: skip
"""So long that no machine is too slow: the tests put the clock forward."""


async def refusal(wire: Wire) -> tuple[int, str]:
    """Status and code of an error that ends the connection."""
    answer = await wire.answer()
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/json"
    return answer.status, json.loads(answer.body)["error"]["code"]


@pytest.mark.parametrize(
    ("status", "code", "data"),
    [
        (400, "malformed_request", b"nonsense\r\n\r\n"),
        (400, "host_missing", b"GET / HTTP/1.1\r\n\r\n"),
        (
            400,
            "malformed_request",
            b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        (505, "version_not_supported", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (501, "method_not_implemented", b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n"),
        (431, "too_many_headers", b"GET / HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 200 + b"\r\n"),
        (431, "head_too_large", b"GET / HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 70_000 + b"\r\n\r\n"),
        (431, "head_too_large", b"GET /" + b"a" * 70_000),
        (400, "bad_framing", b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\nzz\r\n"),
    ],
)
async def test_a_refused_client_is_told_why_and_closed(gateway: Gateway, status: int, code: str, data: bytes) -> None:
    """In JSON, and nothing that it sent is served."""
    wire = await gateway.connect()
    await wire.send(data)

    assert await refusal(wire) == (status, code)
    assert await wire.ends()
    assert all(head.path == b"/" and head.method == b"POST" for head, _ in gateway.desk.seen)


async def test_what_follows_a_refused_request_is_not_served(gateway: Gateway) -> None:
    """It might be the smuggled part."""
    wire = await gateway.connect()
    await wire.send(
        b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
    )

    assert (await refusal(wire))[0] == 400
    assert await wire.ends()
    assert gateway.desk.seen == []


async def test_requests_before_a_bad_one_are_answered(gateway: Gateway) -> None:
    """Then the connection ends."""
    wire = await gateway.connect()
    await wire.send(b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n" + b"rubbish\r\n\r\n")

    assert (await wire.answer()).body == b"GET /a "
    assert (await refusal(wire))[0] == 400


async def test_a_refusal_belongs_to_no_earlier_request(gateway: Gateway) -> None:
    """It has a body though the request before was for HEAD, and not that request's id."""
    wire = await gateway.connect()
    await wire.send(b"HEAD /a HTTP/1.1\r\n" + HOST + b"x-request-id: earlier\r\n\r\n")
    assert (await wire.answer(to_head=True)).headers["x-request-id"] == "earlier"
    await wire.send(b"rubbish\r\n\r\n")

    answer = await wire.answer()

    assert json.loads(answer.body)["error"]["code"] == "malformed_request"
    assert "x-request-id" not in answer.headers


async def test_blank_lines_before_a_request_are_passed_over(gateway: Gateway) -> None:
    """As RFC 9112 2.2 asks; some clients end a body with one."""
    wire = await gateway.connect()
    await wire.send(b"\r\n\r\nGET /a HTTP/1.1\r\n" + HOST + b"\r\n\r\n\r\nGET /b HTTP/1.1\r\n" + HOST + b"\r\n")

    assert [(await wire.answer()).body for _ in range(2)] == [b"GET /a ", b"GET /b "]


async def test_a_refused_client_that_goes_on_sending_can_read_why(start_gateway: StartGateway) -> None:
    """Closing with unread bytes would reset the connection and lose the answer on its way."""
    gateway = await start_gateway(LONG)
    wire = await gateway.connect()
    await wire.send(b"GET / HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 70_000)
    for _ in range(10):
        await wire.send(b"b" * 10_000)
        await asyncio.sleep(0.002)

    assert await refusal(wire) == (431, "head_too_large")


async def test_a_refused_client_is_not_listened_to_for_ever(start_gateway: StartGateway) -> None:
    """After `linger_seconds` the connection is gone, whatever the client does."""
    gateway = await start_gateway(LONG)
    wire = await gateway.connect()
    await wire.send(b"rubbish\r\n\r\n")
    assert (await refusal(wire))[0] == 400
    assert gateway.server.connection_count == 1

    await skip(LONG.linger_seconds, LONG.sweep_seconds)

    await eventually(lambda: gateway.server.connection_count == 0)


async def test_a_head_that_trickles_in_is_given_up(start_gateway: StartGateway) -> None:
    """Slowloris: each byte is in time, the whole is not."""
    gateway = await start_gateway(Limits(head_seconds=0.15, sweep_seconds=0.02))
    wire = await gateway.connect()

    async def trickle() -> None:
        for byte in b"GET / HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 1000:
            await wire.send(bytes([byte]))
            await asyncio.sleep(0.01)

    trickling = asyncio.create_task(trickle())

    assert await refusal(wire) == (408, "request_timeout")
    trickling.cancel()
    await asyncio.gather(trickling, return_exceptions=True)


async def test_a_head_in_many_pieces_is_served(gateway: Gateway) -> None:
    """As long as it is in time."""
    wire = await gateway.connect()
    for byte in b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n":
        await wire.send(bytes([byte]))
        await asyncio.sleep(0)

    assert (await wire.answer()).body == b"GET /slow "


async def test_a_body_that_stops_coming_is_given_up(start_gateway: StartGateway) -> None:
    """408, and the handler never runs."""
    gateway = await start_gateway(Limits(body_seconds=0.15, sweep_seconds=0.02))
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 100\r\n\r\nabc")

    assert await refusal(wire) == (408, "request_timeout")


async def test_a_body_that_keeps_coming_is_not_given_up(start_gateway: StartGateway) -> None:
    """The time is between two pieces, not of the whole."""
    gateway = await start_gateway(LONG)
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 8\r\n\r\n")
    for _ in range(8):
        await skip(60.0, LONG.sweep_seconds)
        await wire.send(b"x")

    assert (await wire.answer()).body == b"POST / xxxxxxxx"


async def test_an_idle_connection_is_closed(start_gateway: StartGateway) -> None:
    """Without a word: no request is there to be refused. Blank lines are none either."""
    gateway = await start_gateway(LONG)
    silent, served, blank = [await gateway.connect() for _ in range(3)]
    await served.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (await served.answer()).status == 200
    await blank.send(b"\r\n\r\n")
    await eventually(lambda: gateway.server.connection_count == 3)

    await skip(LONG.idle_seconds, LONG.sweep_seconds)

    assert await silent.ends()
    assert await served.ends()
    assert await blank.ends()


async def given_up(gateway: Gateway) -> None:
    """Let as much time go by as it takes: what the system took in the meantime counts for a client, a few times."""
    for _ in range(1000):
        if gateway.server.connection_count:
            await skip(LONG.write_seconds + 1.0, LONG.sweep_seconds)
    assert gateway.server.connection_count == 0


async def test_a_client_that_does_not_read_is_given_up(start_gateway: StartGateway) -> None:
    """Its answer does not stay in memory for ever."""
    gateway = await start_gateway(LONG)
    replica = await gateway.replica(b"HTTP/1.1 200 OK\r\ncontent-length: 30000000\r\n\r\n" + b"x" * 30_000_000)
    route = gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    await eventually(lambda: route.in_flight == 1)

    await given_up(gateway)

    assert route.in_flight == 0


async def test_a_client_that_reads_slowly_is_not_given_up(start_gateway: StartGateway) -> None:
    """The whole takes far longer than `write_seconds`; no pause does."""
    gateway = await start_gateway(LONG)
    gateway.local(lambda _request: Response(200, (), b"x" * 30_000_000))
    wire = await gateway.connect()
    await wire.send(b"GET / HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n")
    await wire.reader.readuntil(b"\r\n\r\n")

    for _ in range(10):
        await wire.reader.readexactly(3_000_000)
        await skip(60.0, LONG.sweep_seconds)

    assert await wire.ends()


async def test_a_client_that_reads_on_is_not_given_up_for_what_the_system_keeps_from_it(
    start_gateway: StartGateway,
) -> None:
    """What it takes between two looks is less than the system asks of the gateway at a time."""
    gateway = await start_gateway(LONG)
    gateway.local(lambda _request: Response(200, (), b"x" * 30_000_000))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        client.connect(("127.0.0.1", gateway.port))
        wire = Wire(*await asyncio.open_connection(sock=client, limit=4096))
        await wire.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        for _ in range(10):
            await wire.reader.readexactly(100_000)
            await skip(60.0, LONG.sweep_seconds)
        wire.close()

    assert gateway.server.refused == {}


async def test_an_answer_that_is_not_fetched_outlives_its_request_no_longer_than_others(
    start_gateway: StartGateway,
) -> None:
    """The connection was to close after it; the answer is still in memory when the time is up."""
    gateway = await start_gateway(LONG)
    gateway.local(lambda _request: Response(200, (), b"x" * 30_000_000))
    wire = await gateway.connect()
    await wire.send(b"GET / HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n")
    await eventually(lambda: gateway.desk.seen)

    await given_up(gateway)


async def test_limits_of_zero_are_refused() -> None:
    """A configuration that would refuse everything is an error, at once."""
    with pytest.raises(ValueError, match="head_bytes = 0"):
        Limits(head_bytes=0)
