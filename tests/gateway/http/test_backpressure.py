"""Whoever is slow holds back whoever is fast; the gateway's memory does not make up the difference."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest
from tests.gateway.http.conftest import OK, CountingRoute, Gateway, Wire, eventually
from tests.gateway.http.test_mangling import NOWHERE, OneRoute, Stage

from flashcore.gateway.http.respond import Request, Response
from flashcore.gateway.http.route import UnixAddress

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
PIECE = b"x" * 50_000
ELSEWHERE = UnixAddress("elsewhere")

BOUND = 12_000_000
"""What a stalled stream may hold in all: four sockets' buffers and a few of the gateway's."""


async def connected(gateway: Gateway) -> Wire:
    """A client. Neither its socket's buffers nor the gateway's grow while they are used, to 33 MB on some systems."""
    wire = await gateway.connect()
    await eventually(lambda: gateway.server._shared.connections)  # noqa: SLF001 - as below
    (connection,) = gateway.server._shared.connections  # noqa: SLF001 - what the gateway itself holds is seen nowhere else
    for transport in (wire.writer.transport, connection._transport):  # noqa: SLF001 - as above
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
            for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                same.setsockopt(socket.SOL_SOCKET, buffer, 1 << 16)
    return wire


class Source:
    """Sends pieces as fast as they are taken, and counts them."""

    def __init__(self) -> None:
        self.sent = 0

    async def run(self, wire: Wire) -> None:
        """Until the connection ends."""
        while True:
            await wire.send(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
            self.sent += len(PIECE)

    async def stalls(self) -> int:
        """How much was taken once no more is."""
        before = -1
        while self.sent != before:
            before = self.sent
            await asyncio.sleep(0.1)
        return self.sent


async def test_a_slow_client_holds_back_the_replica(gateway: Gateway) -> None:
    """And one that reads again gets it flowing again."""
    source = Source()

    async def streams(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await source.run(wire)

    replica = await gateway.replica(streams)
    route = gateway.route(replica)
    wire = await connected(gateway)
    await wire.send(GET)

    assert await source.stalls() < BOUND
    (connection,) = gateway.server._shared.connections  # noqa: SLF001 - what the gateway itself holds is seen nowhere else
    assert connection._transport.get_write_buffer_size() < 1_000_000  # noqa: SLF001 - as above

    stalled_at = source.sent
    for _ in range(100):
        await wire.reader.readexactly(100_000)
    await eventually(lambda: source.sent > stalled_at)
    assert route.in_flight == 1


async def test_a_slow_replica_holds_back_the_client(gateway: Gateway) -> None:
    """And one that reads again gets it flowing again."""
    source, go_on = Source(), asyncio.Event()

    async def ignores(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await go_on.wait()
        while await wire.reader.read(1_000_000):
            pass

    replica = await gateway.replica(ignores)
    gateway.route(replica)
    wire = await connected(gateway)
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
    sending = asyncio.create_task(source.run(wire))

    assert await source.stalls() < BOUND

    stalled_at = source.sent
    go_on.set()
    await eventually(lambda: source.sent > stalled_at + BOUND)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_a_slow_reader_of_one_answer_does_not_slow_the_next_client(gateway: Gateway) -> None:
    """Each exchange has its own connection to the replica."""

    async def streams(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await Source().run(wire)

    replica, quick = await gateway.replica(streams), await gateway.replica()
    gateway.route(replica)
    gateway.route(quick, path=b"/quick")
    slow = await gateway.connect()
    await slow.send(GET)
    await eventually(lambda: replica.received)

    for _ in range(20):
        assert (await gateway.ask(b"GET /quick HTTP/1.1\r\nhost: a\r\n\r\n")).body == b"ok"


@pytest.mark.parametrize("pause", [0.0, 0.001], ids=["in one piece", "in two pieces"])
async def test_answers_that_pile_up_at_a_slow_client_do_not_hold_the_replicas_connection(
    gateway: Gateway, pause: float
) -> None:
    """The last byte of an answer may be the one too many: by then the connection belongs to nobody."""
    content = b"x" * 150_000

    async def answers(wire: Wire) -> None:
        while True:
            await replica.read(wire)
            wire.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content))
            await asyncio.sleep(pause)
            await wire.send(content)

    replica = await gateway.replica(answers)
    route = gateway.route(replica)
    wire = await gateway.connect(read_limit=2**20)
    await wire.send(GET * 200)

    before = -1
    while len(route.outcomes) != before:
        before = len(route.outcomes)
        await asyncio.sleep(0.1)

    assert before < 200, "the client was to be slow enough"
    for _ in range(200):
        assert (await wire.answer()).body == content


async def test_an_upload_that_was_held_back_does_not_hold_the_next_request(gateway: Gateway) -> None:
    """The replica answers without having read; whatever the client was told of its connection is true."""

    async def ignores_bodies(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads too
        await asyncio.sleep(0.02)
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await asyncio.Event().wait()

    gateway.route(await gateway.replica(ignores_bodies))
    persisted = 0
    for size in range(200_000, 420_000, 6_000):
        wire = await gateway.connect()
        head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size
        sending = asyncio.create_task(wire.send(head + b"x" * size))
        answer = await wire.answer()
        assert answer.body == b"ok"
        if "connection" not in answer.headers:
            persisted += 1
            await sending
            await wire.send(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await wire.answer()).body == b"GET /x "
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert persisted


async def test_requests_sent_ahead_of_their_turn_are_held_back(gateway: Gateway) -> None:
    """A client that floods while it is owed an answer is read from no further than a limit."""

    async def never(_request: Request) -> Response:
        await asyncio.Event().wait()
        return Response(200)

    gateway.local(never)
    wire = await connected(gateway)
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            await wire.send(GET * 1000)
            sent += len(GET) * 1000

    flooding = asyncio.create_task(flood())
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.1)

    assert sent < BOUND
    assert len(gateway.desk.seen) == 1
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def test_a_connection_that_was_held_back_is_used_again(gateway: Gateway) -> None:
    """The end of an answer finds it paused; the next request must not find it so."""
    content = b"x" * 3_000_000

    async def large(wire: Wire) -> None:
        while True:
            await replica.read(wire)
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content))

    replica = await gateway.replica(large)
    gateway.route(replica)
    for _ in range(5):
        wire = await gateway.connect(read_limit=2**20)
        await wire.send(GET)
        await asyncio.sleep(0.05)
        assert (await wire.answer()).body == content

    assert replica.connections == 1


async def test_a_client_that_is_slow_already_holds_back_the_next_replica_too() -> None:
    """The first one sent hints, which nobody fetches, and died; what the second one sends must not pile up."""
    route = CountingRoute(("a", NOWHERE), ("b", ELSEWHERE))
    stage = Stage(OneRoute(route))
    second, to_second = stage.another_replica(ELSEWHERE)
    stage.client.data_received(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    stage.replica.data_received(b"HTTP/1.1 103 Hints\r\n\r\n")
    stage.client.pause_writing()
    assert not stage.to_replica.reading

    stage.replica.connection_lost(None)

    assert route.chosen == ["a", "b"]
    assert to_second.written.startswith(b"GET / HTTP/1.1")
    assert not to_second.reading
    stage.client.resume_writing()
    assert to_second.reading
    second.data_received(OK)
    assert stage.to_client.written.endswith(b"ok")
