"""Gateways that were replaced and go on: what they have counts for the one that serves, and for the control plane."""

from __future__ import annotations

import asyncio
import re
import time
from functools import partial

from tests.gateway.conftest import eventually, http_replica, http_route, side
from tests.gateway.successions import call, holds, opened, successor, talker, web
from tests.gateway.test_process import GatewayProcess, listening, serving

from flashcore.control.link import SocketDataPlane
from flashcore.gateway.retired import said_by_retired
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName
from flashcore.model.parts import PartRef
from flashcore.model.table import RoutingTable
from flashcore.model.token import TokenScope, new_token


async def test_a_replica_is_given_no_more_than_it_takes_by_both_together(layout: Layout) -> None:
    """What it is at for the last gateway counts for the next, until it is done with that."""
    async with http_replica(layout, "web-1", concurrency=1) as replica, listening(layout) as first:
        route = http_route("web", side(replica.route), routing=PartRef("p2c"))
        async with serving(layout, route):
            url = first.presence.url
            replica.open.clear()
            slow = asyncio.create_task(call(url, "GET", "/web/one"))
            await eventually(lambda: replica.seen)
            async with successor(layout) as second:
                other = asyncio.create_task(call(url, "GET", "/web/two"))
                await eventually(lambda: waiting_at(second))
                numbers = (await second.call("GET", "/metrics")).body.decode()
                replica.open.set()
                answers = [(await one).status for one in (slow, other)]
                busiest = replica.busiest
                await eventually(lambda: holds(second, "flashcore_gateway_retired 0"))

    assert answers == [200, 200]
    assert busiest == 1
    assert "flashcore_gateway_retired 1" in numbers
    assert "flashcore_gateway_retired_requests 1" in numbers


async def test_what_retired_gateways_end_is_counted_by_the_one_that_serves(layout: Layout) -> None:
    """Each request once: of two gateways before it, what the one between has told of is not told again."""
    async with http_replica(layout, "web-1", concurrency=10) as replica, talker(layout) as other:
        streaming = http_route("long", side(other.route), routing=PartRef("p2c"))
        quick = http_route("web", side(replica.route), routing=PartRef("p2c"))
        async with listening(layout) as first, serving(layout, quick, streaming):
            url = first.presence.url
            replica.open.clear()
            stream, writer = await opened(first, "GET /long/stream HTTP/1.1")
            other.pieces.put_nowait(b"one")
            await stream.readuntil(b"one\r\n")
            slow = asyncio.create_task(call(url, "GET", "/web/slow"))
            await eventually(lambda: replica.seen)
            async with successor(layout) as second:
                before = await ended_by_retired(second)
                replica.open.set()
                status = (await slow).status
                await eventually(partial(counts, second, {"web": 1, "long": 0}))
                async with successor(layout) as third:
                    between = await ended_by_retired(third)
                    other.pieces.put_nowait(b"")
                    await stream.readuntil(b"0\r\n\r\n")
                    await eventually(partial(counts, third, {"web": 0, "long": 1}))
                    await eventually(lambda: holds(third, "flashcore_gateway_retired 0"))
                    after = await ended_by_retired(third)
            writer.close()

    assert status == 200
    assert before == {"web": 0, "long": 0}
    assert between == {"web": 0, "long": 0}
    assert after == {"web": 0, "long": 1}


async def ended_by_retired(gateway: GatewayProcess) -> dict[str, int]:
    """Requests, by endpoint, that gateways before it have answered in its time, as it says."""
    page = (await gateway.call("GET", "/metrics")).body.decode()
    shown = re.findall(
        r'^flashcore_gateway_retired_answers_total\{endpoint="(\w+)".*succeeded"\} (\d+)$', page, re.MULTILINE
    )
    return {name: int(count) for name, count in shown}


async def counts(gateway: GatewayProcess, expected: dict[str, int]) -> bool:
    """Whether it says so."""
    return await ended_by_retired(gateway) == expected


async def test_the_control_plane_counts_what_is_under_way_at_a_retired_gateway(layout: Layout) -> None:
    """A replica with nothing but an old stream is not idle."""
    async with talker(layout) as replica, listening(layout) as first:
        plane = SocketDataPlane(layout.dataplane_socket, beside=partial(said_by_retired, layout))
        await plane.publish(RoutingTable(1, (web(replica),)))
        await eventually(lambda: [state.applied for state in plane.gateways()] == [1])

        def in_flight() -> list[int]:
            return sorted(side.in_flight for one in plane.signals(EndpointName("web")) for side in one.sides)

        tunnel, writer = await opened(first, "GET /web/ws HTTP/1.1", "connection: upgrade", "upgrade: websocket")
        await tunnel.readuntil(b"\r\n\r\n")
        await eventually(lambda: in_flight() == [1])
        async with successor(layout):
            await eventually(lambda: in_flight() == [0, 1])
            writer.close()
            await eventually(lambda: in_flight() == [0])
        await plane.close()


async def test_a_token_that_is_revoked_ends_what_it_began_at_a_retired_gateway_too(layout: Layout) -> None:
    """Which no control plane tells of it."""
    text, token = new_token("caller", (TokenScope.CALL,), time.time())
    keyed = f"authorization: Bearer {text}"
    guarded = listening(layout, "--auth", "on")
    async with talker(layout) as replica, guarded as first, serving(layout, web(replica)) as plane:
        plane.grant((token,))
        await eventually(layout.access_file.exists)
        stream, writer = await opened(first, "GET /web/stream HTTP/1.1", keyed)
        replica.pieces.put_nowait(b"one")
        await stream.readuntil(b"one\r\n")
        async with successor(layout, "--auth", "on"):
            plane.grant(())
            rest = await stream.read()
        replica.pieces.put_nowait(b"")
        writer.close()

    assert rest == b"", "cut off, without an end"


async def waiting_at(gateway: GatewayProcess) -> bool:
    """Whether a request waits there for a replica."""
    return await holds(gateway, 'flashcore_requests_waiting{endpoint="web"} 1')
