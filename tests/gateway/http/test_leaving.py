"""Clients and replicas that go in the middle of an exchange."""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios

import pytest
from tests.gateway.http.conftest import PATIENCE, Gateway, Wire, eventually

from flashcore.gateway.http.errors import OutcomeKind
from flashcore.gateway.http.respond import Request, Response

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def test_a_client_that_leaves_ends_the_replicas_work(gateway: Gateway) -> None:
    """Its connection to the replica is closed, the lease released, and no retry made."""
    began, ended = asyncio.Event(), asyncio.Event()

    async def works(wire: Wire) -> None:
        await replica.read(wire)
        began.set()
        await wire.rest()
        ended.set()

    replica, other = await gateway.replica(works), await gateway.replica()
    route = gateway.route(replica, other)
    wire = await gateway.connect()
    await wire.send(GET)
    await began.wait()
    assert route.in_flight == 1

    wire.close()

    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert (route.in_flight, route.kinds) == (0, [OutcomeKind.CLIENT_GONE])
    assert (other.connections, gateway.server.pool.open_count) == (0, 0)


async def test_a_client_that_closes_its_half_counts_as_gone(gateway: Gateway) -> None:
    """On the wire it looks the same as leaving."""
    began = asyncio.Event()

    async def works(wire: Wire) -> None:
        await replica.read(wire)
        began.set()
        await wire.rest()

    replica = await gateway.replica(works)
    route = gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(GET)
    await began.wait()

    wire.writer.write_eof()

    assert await wire.ends()
    assert (route.in_flight, route.kinds) == (0, [OutcomeKind.CLIENT_GONE])


async def test_a_client_that_leaves_in_the_middle_of_an_answer_ends_it(gateway: Gateway) -> None:
    """A stream that nobody reads is not read from the replica either."""
    ended = asyncio.Event()

    async def streams(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await wire.rest()
        ended.set()

    replica = await gateway.replica(streams)
    route = gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(GET)
    await wire.reader.readuntil(b"first\r\n")

    wire.close()

    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert (route.in_flight, route.kinds) == (0, [OutcomeKind.CLIENT_GONE])


async def test_a_client_that_leaves_in_the_middle_of_its_upload_ends_it(gateway: Gateway) -> None:
    """The replica sees a request that was cut short, not a complete one."""
    ended = asyncio.Event()

    async def reads(wire: Wire) -> None:
        try:
            await replica.read(wire)
        except asyncio.IncompleteReadError:
            ended.set()

    replica = await gateway.replica(reads)
    route = gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await eventually(lambda: replica.connections)

    wire.close()

    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert route.in_flight == 0


async def test_a_client_that_leaves_while_a_connection_is_made_leaves_nothing_behind(gateway: Gateway) -> None:
    """No lease, no connection, no task."""
    replica = await gateway.replica()
    route = gateway.route(replica)
    for _ in range(50):
        wire = await gateway.connect()
        wire.writer.write(GET)
        wire.writer.transport.abort()

    await eventually(lambda: gateway.server.connection_count == 0 and route.in_flight == 0)
    assert (await gateway.ask(GET)).body == b"ok"


async def test_nothing_more_is_begun_for_a_client_that_left(gateway: Gateway) -> None:
    """Not even where its first request goes on to its end."""
    begun, finished = asyncio.Event(), asyncio.Event()

    async def stubborn(_request: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            finished.set()
        return Response(200)

    gateway.local(stubborn)
    wire = await gateway.connect()
    await wire.send(GET + b"GET /second HTTP/1.1\r\nhost: a\r\n\r\n")
    await begun.wait()

    wire.close()

    await asyncio.wait_for(finished.wait(), PATIENCE)
    await eventually(lambda: gateway.server.connection_count == 0)
    assert [head.path for head, _ in gateway.desk.seen] == [b"/"]


async def test_an_upload_that_breaks_its_framing_ends_the_exchange(gateway: Gateway) -> None:
    """The replica must not take what came so far for all of it."""
    ended = asyncio.Event()

    async def reads(wire: Wire) -> None:
        try:
            await replica.read(wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            ended.set()

    replica = await gateway.replica(reads)
    route = gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await eventually(lambda: replica.connections)
    await wire.send(b"rubbish\r\n")

    assert (await wire.answer()).status == 400
    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert (route.in_flight, route.kinds) == (0, [OutcomeKind.CLIENT_GONE])


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfir",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst",
    ],
    ids=["between chunks", "within a chunk", "length"],
)
async def test_a_replica_that_dies_in_the_middle_of_an_answer_is_noticed(gateway: Gateway, start: bytes) -> None:
    """The client gets what there was, and can tell that it is not all."""

    async def dies(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(start)
        wire.close()

    replica = await gateway.replica(dies)
    route = gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(GET)

    received = await wire.rest()

    assert b"fir" in received
    assert not received.endswith(b"0\r\n\r\n")
    assert (route.in_flight, route.kinds, route.outcomes[0][1].status) == (0, [OutcomeKind.TRUNCATED], 200)


async def test_a_replicas_broken_chunks_are_noticed(gateway: Gateway) -> None:
    """They are not mended on the way."""

    async def breaks(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await asyncio.sleep(0.02)
        await wire.send(b"rubbish\r\n")
        await wire.rest()

    replica = await gateway.replica(breaks)
    route = gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(GET)

    assert not (await wire.rest()).endswith(b"0\r\n\r\n")
    assert route.kinds == [OutcomeKind.TRUNCATED]


def unread(wire: Wire) -> int:
    """Bytes that the system holds for this end."""
    count = fcntl.ioctl(wire.writer.get_extra_info("socket").fileno(), termios.FIONREAD, bytes(4))
    return int.from_bytes(count, sys.byteorder)


async def test_a_reset_is_not_taken_for_the_end_of_an_answer(gateway: Gateway) -> None:
    """An answer without a length ends with its connection, but only with its proper end."""

    async def dies(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        # Bytes that it has not read are what makes the system reset the connection.
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads too
        await eventually(lambda: unread(wire))
        wire.writer.transport.abort()

    replica = await gateway.replica(dies)
    route = gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n")
    await wire.reader.readuntil(b"first")
    await wire.send(b"x" * 50_000)

    assert not (await wire.rest()).endswith(b"0\r\n\r\n")
    assert route.kinds == [OutcomeKind.TRUNCATED]


async def test_http_1_0_sees_a_reset_where_an_end_would_look_complete(gateway: Gateway) -> None:
    """Its answer has neither length nor chunks."""

    async def dies(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await asyncio.sleep(0.05)
        wire.close()

    replica = await gateway.replica(dies)
    gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(b"GET / HTTP/1.0\r\n\r\n")
    await wire.reader.readuntil(b"first")

    with pytest.raises(ConnectionResetError):
        await wire.rest()


async def test_leases_balance_whatever_happens(gateway: Gateway) -> None:
    """Clients and replicas that come and go at random: in the end nothing is counted as in flight."""
    turn = 0

    async def moody(wire: Wire) -> None:
        nonlocal turn
        while True:
            await replica.read(wire)
            turn += 1
            if turn % 5 == 0:
                wire.close()
                return
            await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
            if turn % 7 == 0:
                wire.writer.transport.abort()
                return
            await asyncio.sleep(0.001 * (turn % 3))
            await wire.send(b"0\r\n\r\n")

    replica = await gateway.replica(moody)
    route = gateway.route(replica, replica)

    async def client(number: int) -> None:
        wire = await gateway.connect()
        await wire.send(GET * (number % 3 + 1))
        await asyncio.sleep(0.001 * (number % 4))
        if number % 2:
            wire.writer.transport.abort()
        else:
            await wire.reader.read(10)
            wire.close()

    await asyncio.gather(*(client(number) for number in range(200)))

    await eventually(lambda: gateway.server.connection_count == 0)
    assert route.in_flight == 0
    assert len(route.outcomes) == len(route.chosen)
