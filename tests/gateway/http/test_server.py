"""Listening, and stopping without dropping anybody."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest
from tests.gateway.http.conftest import PATIENCE, Gateway, Memory, StartGateway, Wire, eventually
from tests.gateway.loops import skip

from flashcore.gateway.http.connection import ClientConnection
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.respond import Request, Response
from flashcore.gateway.http.server import LOOKED_AT_ONCE
from flashcore.gateway.http.websocket import RESTARTING, close_frame

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def test_a_socket_may_be_handed_over(gateway: Gateway) -> None:
    """Bound by somebody else, on TCP; from then on it is the server's to close."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    await gateway.server.listen_on(sock)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    wire = Wire(reader, writer)
    await wire.send(GET)

    assert (await wire.answer()).status == 200
    writer.close()


async def test_a_unix_socket_may_be_handed_over(gateway: Gateway, tmp_path: Path) -> None:
    """Its clients have no address."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "s"))
    await gateway.server.listen_on(sock)
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    wire = Wire(reader, writer)
    await wire.send(GET)

    assert (await wire.answer()).status == 200
    assert gateway.desk.seen[0][1] == ""
    writer.close()


async def test_small_answers_are_not_held_back_by_the_system(gateway: Gateway) -> None:
    """TCP_NODELAY is on for every connection."""
    wire = await gateway.connect()
    await wire.send(GET)
    await wire.answer()
    (connection,) = gateway.server._shared.connections  # noqa: SLF001 - the accepted socket is seen nowhere else

    sock = connection._transport.get_extra_info("socket")  # noqa: SLF001 - as above

    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


async def test_requests_under_way_are_finished_before_the_end(gateway: Gateway) -> None:
    """Local ones and proxied ones; nobody new is let in, and nobody is aborted."""
    go_on = asyncio.Event()

    async def slow(request: Request) -> Response:
        await go_on.wait()
        return Response(200, (), b"done")

    async def slow_replica(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndo")
        await go_on.wait()
        await wire.send(b"ne")
        await wire.rest()

    replica = await gateway.replica(slow_replica)
    gateway.local(slow)
    gateway.route(replica, path=b"/p")
    local, proxied = await gateway.connect(), await gateway.connect()
    await local.send(GET)
    await proxied.send(b"GET /p HTTP/1.1\r\nhost: a\r\n\r\n")
    await proxied.reader.readuntil(b"do")
    await eventually(lambda: gateway.server.busy_count == 2)

    closing = asyncio.create_task(gateway.server.close(PATIENCE))
    await eventually(lambda: gateway.server._shared.closing)  # noqa: SLF001 - a moment that is seen nowhere else
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset, by loop
        await (await gateway.connect()).reader.readexactly(1)
    go_on.set()

    answer = await local.answer()
    assert (answer.body, answer.headers["connection"]) == (b"done", "close")
    assert await proxied.rest() == b"ne"
    assert await closing == 0
    assert gateway.server.pool.open_count == 0


async def test_what_is_on_its_way_over_an_idle_connection_is_answered(start_gateway: StartGateway) -> None:
    """Its client cannot know that the end has begun, and hears it in the answer, which is the connection's last."""
    gateway = await start_gateway(Limits(parting_seconds=1000.0))
    wire = await gateway.connect()
    await wire.send(GET)
    await wire.answer()

    closing = asyncio.create_task(gateway.server.close(1000.0))
    await eventually(lambda: gateway.server._shared.closing)  # noqa: SLF001 - a moment that is seen nowhere else
    await wire.send(GET)
    answer = await wire.answer()

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await wire.ends()
    wire.writer.close()
    assert await asyncio.wait_for(closing, 60) == 0


async def test_idle_connections_are_closed_after_a_moment(start_gateway: StartGateway) -> None:
    """They have been served and have nothing to wait for."""
    gateway = await start_gateway(Limits(parting_seconds=0.01))
    wire = await gateway.connect()
    await wire.send(GET)
    await wire.answer()

    assert await asyncio.wait_for(gateway.server.close(1000.0), 60) == 0
    assert await wire.ends()


async def test_new_clients_are_served_while_idle_ones_may_ask(start_gateway: StartGateway) -> None:
    """Nobody has to wait for the next server in that moment; and who was given none is gone at once."""
    gateway = await start_gateway(Limits(parting_seconds=1000.0))
    idle = await gateway.connect()
    await idle.send(GET)
    await idle.answer()

    closing = asyncio.create_task(gateway.server.close(1000.0))
    await eventually(lambda: gateway.server._shared.closing)  # noqa: SLF001 - as above
    answer = await gateway.ask(GET)
    idle.writer.close()

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await asyncio.wait_for(closing, 60) == 0


async def test_a_client_that_has_just_connected_is_still_served(start_gateway: StartGateway) -> None:
    """Its request was on the way when the end began."""
    gateway = await start_gateway(Limits(linger_seconds=20.0, sweep_seconds=0.01))
    prompt, silent = await gateway.connect(), await gateway.connect()
    await eventually(lambda: gateway.server.connection_count == 2)

    closing = asyncio.create_task(gateway.server.close(1000.0))
    await asyncio.sleep(0)
    await prompt.send(GET)

    assert (await prompt.answer()).status == 200
    await skip(21.0, 0.01)
    assert await silent.ends()
    assert await closing == 0


async def test_what_does_not_finish_is_told_so_and_counted(gateway: Gateway) -> None:
    """M57: after the grace handlers are cancelled, replicas are left, leases released; who waits is told 504."""
    cancelled = asyncio.Event()

    async def never(request: Request) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Response(200)

    async def silent(wire: Wire) -> None:
        await replica.read(wire)
        await wire.rest()

    replica = await gateway.replica(silent)
    gateway.local(never)
    route = gateway.route(replica, path=b"/p")
    wires = [await gateway.connect() for _ in range(3)]
    await wires[0].send(GET)
    await wires[1].send(b"GET /p HTTP/1.1\r\nhost: a\r\n\r\n")
    await wires[2].send(b"GET /p HT")
    await eventually(lambda: gateway.server.busy_count == 2)

    assert await gateway.server.close(0.05) == 3

    assert cancelled.is_set()
    assert (route.in_flight, gateway.server.connection_count) == (0, 0)
    for wire in wires[:2]:
        answer = await wire.answer()
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (504, "gateway_stopping")
    for wire in wires:
        assert await wire.ends()


async def test_tunnels_end_at_once_when_the_server_stops(gateway: Gateway) -> None:
    """M57: nobody can say when they would, and WebSockets are told; a request under way has the whole grace."""
    release = asyncio.Event()

    async def upgraded(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        await wire.rest()

    async def slow(request: Request) -> Response:
        await release.wait()
        return Response(200)

    route = gateway.route(await gateway.replica(upgraded), path=b"/socket")
    gateway.local(slow)
    socket, request = await gateway.connect(), await gateway.connect()
    await socket.send(b"GET /socket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    await socket.reader.readuntil(b"\r\n\r\n")
    await request.send(GET)
    await eventually(lambda: gateway.server.busy_count == 2)

    closing = asyncio.create_task(gateway.server.close(PATIENCE))
    assert await socket.rest() == close_frame(RESTARTING, "the gateway stops")
    ended_first = not closing.done()
    release.set()

    assert ((await request.answer()).status, await closing, ended_first) == (200, 0, True)
    assert route.in_flight == 0


async def test_closing_twice_is_harmless(gateway: Gateway) -> None:
    """The second time there is nothing left to do."""
    assert await gateway.server.close(1.0) == 0
    assert await gateway.server.close(1.0) == 0


async def test_unused_connections_to_replicas_are_closed_after_a_while(start_gateway: StartGateway) -> None:
    """Before the replica would do it."""
    gateway = await start_gateway(Limits(upstream_idle_seconds=20.0, sweep_seconds=0.01))
    replica = await gateway.replica()
    gateway.route(replica)
    await gateway.ask(GET)
    assert gateway.server.pool.open_count == 1

    await skip(21.0, 0.01)
    await eventually(lambda: gateway.server.pool.open_count == 0)

    assert (await gateway.ask(GET)).body == b"ok"
    assert replica.connections == 2


async def test_only_so_many_unused_connections_are_kept(start_gateway: StartGateway) -> None:
    """The oldest one goes first."""
    gateway = await start_gateway(Limits(upstream_idle_count=2))
    go_on = asyncio.Event()

    async def together(wire: Wire) -> None:
        await replica.read(wire)
        await go_on.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await wire.rest()

    replica = await gateway.replica(together)
    gateway.route(replica)
    asking = [asyncio.create_task(gateway.ask(GET)) for _ in range(5)]
    await eventually(lambda: replica.connections == 5)
    go_on.set()
    await asyncio.gather(*asking)

    assert gateway.server.pool.idle_count(replica.address) == 2
    await eventually(lambda: gateway.server.pool.open_count == 2)


async def test_a_replica_that_takes_nothing_is_given_up(start_gateway: StartGateway) -> None:
    """An upload that does not move ends after `write_seconds`, as 504."""
    gateway = await start_gateway(Limits(write_seconds=0.2, sweep_seconds=0.02))

    async def deaf(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    replica = await gateway.replica(deaf)
    route = gateway.route(replica)
    wire = await gateway.connect()
    sending = asyncio.create_task(
        wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 30000000\r\n\r\n" + b"x" * 30_000_000)
    )

    assert (await wire.answer()).status == 504
    assert route.in_flight == 0
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_deadlines_of_many_connections_are_looked_at_a_few_at_a_time(start_gateway: StartGateway) -> None:
    """Each of them in one sweep, and between any few of them the loop serves whoever asks."""
    gateway = await start_gateway(Limits(idle_seconds=1.0, sweep_seconds=1000.0))
    shared = gateway.server._shared  # noqa: SLF001 - so many connections over sockets would take seconds
    ends = [Memory() for _ in range(2 * LOOKED_AT_ONCE + 1)]
    for end in ends:
        ClientConnection(shared).connection_made(end)
    await skip(2.0, 0.0)

    gateway.server._sweep()  # noqa: SLF001 - by itself it would come too late for a test
    closed_by_turn = []
    for _ in range(3):
        closed_by_turn.append(sum(end.closing for end in ends))
        await asyncio.sleep(0)

    assert closed_by_turn == [LOOKED_AT_ONCE, 2 * LOOKED_AT_ONCE, len(ends)]
    shared.connections.clear()
