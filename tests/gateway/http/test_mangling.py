"""Whatever bytes come: nothing fails in a way of its own, and nobody behind the gateway sees anything but HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httptools
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.http.conftest import OK, CountingRoute, Desk, Memory

from flashcore.gateway.http.connection import ClientConnection
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.pool import UpstreamPool
from flashcore.gateway.http.route import Dispatcher, Proxy, UnixAddress
from flashcore.gateway.http.shared import Shared
from flashcore.gateway.http.upstream import UpstreamConnection

NOWHERE = UnixAddress("nowhere")

PARTS = [
    b"GET / HTTP/1.1\r\n",
    b"POST / HTTP/1.1\r\n",
    b"GET http://b/ HTTP/1.1\r\n",
    b"GET / HTTP/1.0\r\n",
    b"host: a\r\n",
    b"content-length: 3\r\n",
    b"content-length: 0\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: identity\r\n",
    b"connection: close\r\n",
    b"connection: upgrade, te, content-length, host\r\n",
    b"upgrade: websocket\r\n",
    b"expect: 100-continue\r\n",
    b"x: y\r\n z\r\n",
    b"\r\n",
    b"abc",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\nt: u\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n",
    b"HTTP/1.1 101 Switching\r\n",
    b"HTTP/1.1 204 No\r\n",
]
"""What messages are made of: in most orders they are none."""

MANGLED = st.lists(st.sampled_from(PARTS) | st.binary(max_size=3), max_size=14).map(b"".join)


class OneRoute:
    """A dispatcher that proxies everything."""

    def __init__(self, route: CountingRoute) -> None:
        self.route = route

    def dispatch(self, head: object, peer: str) -> Proxy:
        """To the only route there is."""
        return Proxy(self.route)


class Stage:
    """A client connection over memory, and a connection to a replica over memory that waits to be used."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        loop, limits = asyncio.get_running_loop(), Limits()
        self.failures: list[object] = []
        loop.set_exception_handler(lambda _, context: self.failures.append(context))
        pool = UpstreamPool(loop, limits)
        self.client = ClientConnection(Shared(loop, limits, dispatcher, pool, frozenset(), Path()))
        self.replica = UpstreamConnection(NOWHERE, pool)
        self.to_client, self.to_replica = Memory(), Memory()
        self.client.connection_made(self.to_client)
        self.replica.connection_made(self.to_replica)
        pool.keep(self.replica)
        self._pool = pool

    def another_replica(self, address: UnixAddress) -> tuple[UpstreamConnection, Memory]:
        """A connection to one more replica that waits to be used."""
        connection, transport = UpstreamConnection(address, self._pool), Memory()
        connection.connection_made(transport)
        self._pool.keep(connection)
        return connection, transport


async def served(data: bytes) -> tuple[bytes, list[object]]:
    """What a client is answered by the gateway alone, and what failed."""
    stage = Stage(Desk())
    stage.client.data_received(data)
    stage.client.connection_lost(None)
    return stage.to_client.written, stage.failures


@given(MANGLED)
def test_no_request_makes_the_gateway_fail(data: bytes) -> None:
    """It is served or refused; 500 would be a mistake of ours."""
    written, failures = asyncio.run(served(data))

    assert failures == []
    assert b"HTTP/1.1 500" not in written


class Oracle:
    """An independent strict parser's count of messages."""

    def __init__(self) -> None:
        self.begun = 0

    def on_message_begin(self) -> None:
        """One more."""
        self.begun += 1


async def forwarded(data: bytes) -> tuple[bytes, list[object]]:
    """What a replica is sent of a client's bytes, and what failed."""
    stage = Stage(OneRoute(CountingRoute(("a", NOWHERE))))
    stage.client.data_received(data)
    stage.client.connection_lost(None)
    return stage.to_replica.written, stage.failures


@given(MANGLED)
def test_a_replica_is_sent_one_request_at_most(data: bytes) -> None:
    """Before it has answered that one, nothing that a client sends can become a second one."""
    sent, failures = asyncio.run(forwarded(data))
    oracle, rest = Oracle(), b""

    try:
        httptools.HttpRequestParser(oracle).feed_data(sent)
    except httptools.HttpParserUpgrade as upgrade:
        rest = sent[upgrade.args[0] :]

    assert failures == []
    assert oracle.begun <= 1
    assert rest == b""


async def answered(data: bytes) -> tuple[bytes, list[object], int]:
    """What a client is sent when a replica sends `data`, what failed, and how many leases are left."""
    route = CountingRoute(("a", NOWHERE))
    stage = Stage(OneRoute(route))
    stage.client.data_received(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    stage.replica.data_received(data)
    stage.replica.connection_lost(None)
    await asyncio.sleep(0)
    stage.client.connection_lost(None)
    return stage.to_client.written, stage.failures, route.in_flight


@given(MANGLED)
def test_no_answer_makes_the_gateway_fail(data: bytes) -> None:
    """What a client is sent is HTTP, whatever the replica sent; the lease comes back."""
    written, failures, in_flight = asyncio.run(answered(data))

    httptools.HttpResponseParser(Oracle()).feed_data(written)

    assert (failures, in_flight) == ([], 0)


async def test_any_number_of_interim_answers_may_come_at_once() -> None:
    """Each is passed on; a replica that sends thousands in one piece does not make the gateway nest, or fail."""
    written, failures, in_flight = await answered(b"HTTP/1.1 103 Hints\r\n\r\n" * 5000 + OK)

    assert (failures, in_flight) == ([], 0)
    assert written.count(b"HTTP/1.1 103 ") == 5000
    assert written.count(b"HTTP/1.1 200 ") == 1
