"""Connections that change protocols."""

from __future__ import annotations

import asyncio

import pytest
from tests.gateway.http.conftest import OK, Gateway, Replica, StartGateway, Wire, eventually
from tests.gateway.loops import skip

from flashcore.gateway.http.errors import OutcomeKind
from flashcore.gateway.http.limits import Limits

UPGRADE = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s\r\n\r\n"


async def echo(wire: Wire) -> None:
    """Agrees to the upgrade, then sends back what it is sent, until it is sent no more; says goodbye at the end."""
    await wire.reader.readuntil(b"\r\n\r\n")
    await wire.send(SWITCHING)
    while data := await wire.reader.read(65_536):
        await wire.send(data)
    await wire.send(b"goodbye")


async def tunnel(gateway: Gateway, replica: Replica) -> Wire:
    """A client connection that was upgraded."""
    wire = await gateway.connect()
    await wire.send(UPGRADE)
    answer = await wire.reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"connection: upgrade\r\nupgrade: websocket\r\n" in answer
    assert b"sec-websocket-accept: s\r\n" in answer
    return wire


async def test_bytes_go_both_ways_after_101(gateway: Gateway) -> None:
    """As they are, and counted as in flight until the end."""
    replica = await gateway.replica(echo)
    route = gateway.route(replica)
    wire = await tunnel(gateway, replica)

    for message in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff", b"x" * 200_000):
        await wire.send(message)
        assert await wire.reader.readexactly(len(message)) == message

    assert route.in_flight == 1
    wire.close()
    await eventually(lambda: route.in_flight == 0)
    assert (route.kinds, route.outcomes[0][1].status) == ([OutcomeKind.ANSWERED], 101)


async def test_a_tunnel_may_be_silent_for_long(start_gateway: StartGateway) -> None:
    """Also after its client has said something: no rest of a body is waited for."""
    gateway = await start_gateway(Limits(sweep_seconds=0.01))
    route = gateway.route(await gateway.replica(echo))
    wire = await gateway.connect()
    await wire.send(UPGRADE)
    await wire.reader.readuntil(b"\r\n\r\n")
    for _ in range(2):
        await wire.send(b"hello")
        assert await wire.reader.readexactly(5) == b"hello"
        await skip(1000.0, 0.02)

    assert route.in_flight == 1


async def test_bytes_that_come_with_the_heads_are_not_lost(gateway: Gateway) -> None:
    """A client may be in a hurry, and so may a replica."""

    async def hurries(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(SWITCHING + b"welcome")
        await wire.send(await wire.reader.readexactly(5))

    gateway.route(await gateway.replica(hurries))
    wire = await gateway.connect()
    await wire.send(UPGRADE + b"hello")

    received = await wire.rest()

    assert received.endswith(b"\r\n\r\nwelcomehello")


async def test_a_half_closed_tunnel_still_carries_the_other_half(gateway: Gateway) -> None:
    """The client says that it is done; what the replica still has to say arrives."""
    replica = await gateway.replica(echo)
    route = gateway.route(replica)
    wire = await tunnel(gateway, replica)
    await wire.send(b"last words")
    wire.writer.write_eof()

    assert await wire.rest() == b"last wordsgoodbye"
    await eventually(lambda: gateway.server.connection_count == 0)
    assert (route.in_flight, route.kinds) == (0, [OutcomeKind.ANSWERED])


async def test_a_replica_that_half_closes_ends_the_tunnel(gateway: Gateway) -> None:
    """What it said before arrives. A dead replica's Unix socket looks the same, and nothing may wait for it."""

    async def done_first(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(SWITCHING + b"done")
        wire.writer.write_eof()
        await asyncio.Event().wait()

    route = gateway.route(replica := await gateway.replica(done_first))
    wire = await tunnel(gateway, replica)

    assert await wire.rest() == b"done"
    await eventually(lambda: gateway.server.connection_count == 0)
    assert route.in_flight == 0


async def test_a_tunnel_ends_with_either_side(gateway: Gateway) -> None:
    """No connection and no lease is left."""

    async def resets(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(SWITCHING)
        await wire.reader.readexactly(1)
        wire.writer.transport.abort()

    replica = await gateway.replica(resets)
    route = gateway.route(replica)
    wire = await tunnel(gateway, replica)
    await wire.send(b"x")

    assert await wire.ends()
    await eventually(lambda: gateway.server.connection_count == 0 and gateway.server.pool.open_count == 0)
    assert route.in_flight == 0


async def test_a_slow_reader_holds_back_the_other_end(gateway: Gateway) -> None:
    """In a tunnel as in an answer."""
    sent = 0

    async def floods(wire: Wire) -> None:
        nonlocal sent
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(SWITCHING)
        while True:
            await wire.send(b"x" * 50_000)
            sent += 50_000

    replica = await gateway.replica(floods)
    gateway.route(replica)
    wire = await tunnel(gateway, replica)

    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.1)

    assert sent < 12_000_000
    for _ in range(100):
        await wire.reader.readexactly(100_000)
    assert sent > before


async def test_a_slow_replica_holds_back_the_client(gateway: Gateway) -> None:
    """In the other direction."""

    async def deaf(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(SWITCHING)
        await asyncio.Event().wait()

    gateway.route(replica := await gateway.replica(deaf))
    wire = await tunnel(gateway, replica)
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            await wire.send(b"x" * 50_000)
            sent += 50_000

    flooding = asyncio.create_task(flood())
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.1)

    assert sent < 12_000_000
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def test_a_replica_may_decline_to_change_protocols(gateway: Gateway) -> None:
    """Its ordinary answer is passed on, and the connection goes on in HTTP."""
    gateway.route(await gateway.replica(OK))
    wire = await gateway.connect()
    await wire.send(UPGRADE + b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")

    assert (await wire.answer()).body == b"ok"
    assert (await wire.answer()).body == b"GET /x "


@pytest.mark.parametrize("protocol", [b"h2c", b"H2C, websocket"])
async def test_h2c_is_answered_in_http_1_1(gateway: Gateway, protocol: bytes) -> None:
    """The wish does not reach the replica."""
    replica = await gateway.replica(OK)
    gateway.route(replica)

    answer = await gateway.ask(
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: " + protocol + b"\r\n\r\n"
    )

    assert answer.body == b"ok"
    assert "upgrade" not in replica.received[0].headers
