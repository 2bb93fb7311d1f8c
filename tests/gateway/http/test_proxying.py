"""Requests that a replica answers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time

import pytest
from tests.gateway.http.conftest import OK, Gateway, StartGateway, Wire, eventually

from flashcore.gateway.http.errors import OutcomeKind
from flashcore.gateway.http.forward import add_headers

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def test_a_request_goes_to_the_replica_and_its_answer_back(gateway: Gateway) -> None:
    """With the headers that the gateway adds on the way, in both directions."""
    replica = await gateway.replica(
        b"HTTP/1.1 201 Made\r\ncontent-length: 5\r\nx-own: 1\r\nconnection: x\r\nx: y\r\n\r\nhello"
    )
    route = gateway.route(replica)
    route.upstreams[0].request_headers = add_headers((b"x-flashcore-instance", b"i7"))
    route.upstreams[0].answer_headers = add_headers((b"x-flashcore-replica", b"a"))

    answer = await gateway.ask(b"GET /?q=1 HTTP/1.1\r\nhost: shop\r\nx-request-id: r1\r\naccept: */*\r\n\r\n")

    assert (answer.status, answer.body) == (201, b"hello")
    assert answer.headers == {
        "x-own": "1",
        "x-flashcore-replica": "a",
        "content-length": "5",
        "x-request-id": "r1",
    }
    (received,) = replica.received
    assert (received.method, received.target) == ("GET", "/?q=1")
    assert received.headers == {
        "host": "shop",
        "accept": "*/*",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "shop",
        "x-flashcore-instance": "i7",
        "x-request-id": "r1",
    }


async def test_a_route_may_change_the_target(gateway: Gateway) -> None:
    """The replica does not know under which prefix it is published."""
    replica = await gateway.replica()
    gateway.route(replica, path=b"/shop/cart", target=b"/cart?x=1")

    await gateway.ask(b"GET /shop/cart?x=1 HTTP/1.1\r\nhost: a\r\n\r\n")

    assert replica.received[0].target == "/cart?x=1"


async def test_a_declared_proxy_in_front_is_believed(start_gateway: StartGateway) -> None:
    """Its X-Forwarded-For is continued."""
    gateway = await start_gateway(trusted_peers=frozenset({"127.0.0.1"}))
    replica = await gateway.replica()
    gateway.route(replica)

    await gateway.ask(b"GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 1.2.3.4\r\n\r\n")

    assert replica.received[0].headers["x-forwarded-for"] == "1.2.3.4, 127.0.0.1"


async def test_connections_to_a_replica_are_used_again(gateway: Gateway) -> None:
    """By whichever client comes next."""
    replica = await gateway.replica()
    route = gateway.route(replica)

    for _ in range(5):
        assert (await gateway.ask(GET)).body == b"ok"

    assert replica.connections == 1
    assert gateway.server.pool.idle_count(replica.address) == 1
    assert route.kinds == [OutcomeKind.ANSWERED] * 5
    assert (route.in_flight, route.most_in_flight) == (0, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
    ],
    ids=["close", "HTTP/1.0", "no length", "more than asked for"],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(gateway: Gateway, answer: bytes) -> None:
    """The next request gets a new one, and its own answer."""

    async def once(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(answer)
        wire.close()

    replica = await gateway.replica(once)
    gateway.route(replica)

    assert [(await gateway.ask(GET)).body for _ in range(2)] == [b"ok", b"ok"]
    assert replica.connections == 2


async def test_bytes_from_an_idle_connection_close_it(gateway: Gateway) -> None:
    """Nobody asked: they would be taken for the next request's answer."""

    async def talkative(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(OK)
        await asyncio.sleep(0.02)
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
        await wire.rest()

    replica = await gateway.replica(talkative)
    gateway.route(replica)
    assert (await gateway.ask(GET)).body == b"ok"

    await eventually(lambda: gateway.server.pool.open_count == 0)

    assert (await gateway.ask(GET)).body == b"ok"


async def test_a_body_of_known_length_keeps_it(gateway: Gateway) -> None:
    """Neither side sees chunks."""
    replica = await gateway.replica()
    gateway.route(replica)

    await gateway.ask(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello")

    assert replica.received[0].body == b"hello"
    assert replica.received[0].headers["content-length"] == "5"


async def test_a_chunked_body_is_framed_anew(gateway: Gateway) -> None:
    """Extensions and trailers do not pass."""
    replica = await gateway.replica()
    gateway.route(replica)
    wire = await gateway.connect()

    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;x\r\nhe\r\n")
    await eventually(lambda: replica.connections)
    await wire.send(b"3\r\nllo\r\n0\r\nt: u\r\n\r\n")

    assert (await wire.answer()).body == b"ok"
    assert replica.received[0].body == b"hello"
    assert replica.received[0].headers["transfer-encoding"] == "chunked"


async def test_a_streamed_answer_arrives_piece_by_piece(gateway: Gateway) -> None:
    """S57: What the replica has said so far is not held back; the lease lasts to the last byte."""
    turn = asyncio.Event()

    async def stream(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await turn.wait()
        await wire.send(b"4\r\nlast\r\n0\r\n\r\n")
        await wire.rest()

    replica = await gateway.replica(stream)
    route = gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(GET)
    head = await wire.reader.readuntil(b"\r\n\r\n")
    first = await wire.reader.readexactly(10)

    assert b"transfer-encoding: chunked" in head
    assert first == b"5\r\nfirst\r\n"
    assert (route.in_flight, route.outcomes) == (1, [])
    turn.set()
    assert await wire.reader.readexactly(14) == b"4\r\nlast\r\n0\r\n\r\n"
    assert (route.in_flight, route.kinds) == (0, [OutcomeKind.ANSWERED])
    assert gateway.server.pool.idle_count(replica.address) == 1


async def test_an_answer_without_a_length_is_chunked_for_the_client(gateway: Gateway) -> None:
    """So that its connection can go on, and so that it can tell the end from a loss."""

    async def until_close(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        await asyncio.sleep(0.02)
        await wire.send(b"last")
        wire.close()

    replica = await gateway.replica(until_close)
    gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(GET + GET)

    for _ in range(2):
        answer = await wire.answer()
        assert (answer.headers["transfer-encoding"], answer.body) == ("chunked", b"firstlast")


async def test_http_1_0_never_sees_chunks(gateway: Gateway) -> None:
    """Its answer ends with the connection where the replica streams."""

    async def stream(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await asyncio.sleep(0.02)
        await wire.send(b"4\r\nlast\r\n0\r\n\r\n")
        await wire.rest()

    replica = await gateway.replica(stream)
    gateway.route(replica)

    answer = await gateway.ask(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")

    assert answer.body == b"firstlast"
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["connection"] == "close"


async def test_http_1_0_may_keep_its_connection_where_the_length_is_known(gateway: Gateway) -> None:
    """Also where the replica sent chunks, all of which are there."""
    replica = await gateway.replica(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    gateway.route(replica)

    answer = await gateway.ask(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")

    assert (answer.headers["connection"], answer.headers["content-length"]) == ("keep-alive", "2")


async def test_a_head_request_has_the_headers_and_no_body(gateway: Gateway) -> None:
    """A length that describes no body does not confuse what comes next, on either side."""

    async def heads(wire: Wire) -> None:
        while True:
            await replica.read(wire)
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")

    replica = await gateway.replica(heads)
    gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n" * 2)

    for _ in range(2):
        assert (await wire.answer(to_head=True)).headers["content-length"] == "1000"
    assert replica.connections == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_end_with_their_head(gateway: Gateway, status: int) -> None:
    """On both sides."""
    replica = await gateway.replica(b"HTTP/1.1 %d X\r\netag: e\r\n\r\n" % status)
    gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(GET + GET)

    assert [(await wire.answer()).status for _ in range(2)] == [status, status]
    assert replica.connections == 1


async def test_leave_to_send_comes_from_the_replica(gateway: Gateway) -> None:
    """Whether it wants the body is for it to say."""

    async def polite(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await wire.reader.readexactly(5)
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + body)

    replica = await gateway.replica(polite)
    gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
    assert (await wire.answer()).status == 100

    await wire.send(b"hello")

    assert (await wire.answer()).body == b"hello"


async def test_a_replica_may_refuse_the_body(gateway: Gateway) -> None:
    """The answer comes through at once; the connection is not used for anything else."""

    async def refuses(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno")
        await wire.rest()

    replica = await gateway.replica(refuses)
    route = gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")

    answer = await wire.answer()

    assert (answer.status, answer.body, answer.headers["connection"]) == (403, b"no", "close")
    assert await wire.ends()
    assert route.kinds == [OutcomeKind.ANSWERED]
    assert gateway.server.pool.idle_count(replica.address) == 0


async def test_early_hints_are_passed_on_to_those_who_know_them(gateway: Gateway) -> None:
    """HTTP/1.0 does not."""
    replica = await gateway.replica(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK)
    gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(GET)

    hints = await wire.answer()

    assert (hints.status, hints.headers["link"]) == (103, "</a>")
    assert (await wire.answer()).status == 200
    assert (await gateway.ask(b"GET / HTTP/1.0\r\n\r\n")).status == 200


async def test_both_directions_flow_at_once(gateway: Gateway) -> None:
    """A replica may answer while it is still being sent the request."""

    async def echo(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n")
        for _ in range(3):
            await wire.send(await wire.reader.readexactly(2))

    replica = await gateway.replica(echo)
    gateway.route(replica)
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nab")
    await wire.reader.readuntil(b"\r\n\r\n")
    assert await wire.reader.readexactly(2) == b"ab"
    await wire.send(b"cd")
    assert await wire.reader.readexactly(2) == b"cd"

    await wire.send(b"ef")

    assert await wire.reader.readexactly(2) == b"ef"


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_large_bodies_arrive_unharmed(gateway: Gateway, framing: str) -> None:
    """Twenty megabytes there and back."""
    content = os.urandom(1_000_000) * 20
    digest = hashlib.sha256(content).digest()

    async def echo(wire: Wire) -> None:
        received = await replica.read(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\n")
        if framing == "length":
            await wire.send(b"content-length: %d\r\n\r\n%b" % (len(received.body), received.body))
        else:
            await wire.send(
                b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(received.body), received.body)
            )

    replica = await gateway.replica(echo)
    gateway.route(replica)
    wire = await gateway.connect(read_limit=2**20)
    head = b"POST / HTTP/1.1\r\nhost: a\r\n"
    if framing == "length":
        sending = wire.send(head + b"content-length: %d\r\n\r\n%b" % (len(content), content))
    else:
        sending = wire.send(head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))

    _, answer = await asyncio.gather(sending, wire.answer())

    assert hashlib.sha256(answer.body).digest() == digest


async def test_pipelined_requests_are_proxied_in_order(gateway: Gateway) -> None:
    """One at a time, mixed with those that the gateway answers."""

    async def echo_target(wire: Wire) -> None:
        while True:
            target = (await replica.read(wire)).target.encode()
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(target), target))

    replica = await gateway.replica(echo_target)
    route = gateway.route(replica, path=b"/p")
    wire = await gateway.connect()
    await wire.send(b"".join(b"GET /%b?%d HTTP/1.1\r\nhost: a\r\n\r\n" % (b"pl"[n % 2 :][:1], n) for n in range(20)))

    bodies = [(await wire.answer()).body for _ in range(20)]

    assert bodies == [b"/p?%d" % n if n % 2 == 0 else b"GET /l?%d " % n for n in range(20)]
    assert route.most_in_flight == 1


async def test_many_clients_share_the_replicas_connections(gateway: Gateway) -> None:
    """Every lease comes back, and no answer reaches the wrong client."""

    async def echo_target(wire: Wire) -> None:
        while True:
            target = (await replica.read(wire)).target.encode()
            await asyncio.sleep(0)
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(target), target))

    replica = await gateway.replica(echo_target)
    route = gateway.route(replica)

    async def client(number: int) -> None:
        wire = await gateway.connect()
        for turn in range(20):
            await wire.send(b"GET /?%d-%d HTTP/1.1\r\nhost: a\r\n\r\n" % (number, turn))
            assert (await wire.answer()).body == b"/?%d-%d" % (number, turn)

    await asyncio.gather(*(client(number) for number in range(30)))

    assert route.in_flight == 0
    assert len(route.outcomes) == 600
    assert replica.connections <= 30


async def test_an_outcome_tells_status_and_times(gateway: Gateway) -> None:
    """First byte and whole, in seconds from the choice."""
    turn = asyncio.Event()

    async def slow(wire: Wire) -> None:
        await replica.read(wire)
        await asyncio.sleep(0.05)
        await wire.send(b"HTTP/1.1 429 Busy\r\ncontent-length: 2\r\n\r\nn")
        await turn.wait()
        await wire.send(b"o")

    replica = await gateway.replica(slow)
    route = gateway.route(replica)

    wire = await gateway.connect()
    began = time.monotonic()
    await wire.send(GET)
    await wire.reader.readuntil(b"\r\n\r\nn")
    await asyncio.sleep(0.05)
    turn.set()
    await wire.reader.readexactly(1)
    took = time.monotonic() - began

    ((name, outcome, latency),) = route.outcomes
    assert (name, outcome.kind, outcome.status) == ("a", OutcomeKind.ANSWERED, 429)
    assert 0.04 < outcome.first_byte < latency < took + 0.01  # some loops count whole milliseconds
    assert latency - outcome.first_byte > 0.04
