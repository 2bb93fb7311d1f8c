"""A route that goes by the body: it is shown the start before it chooses, and nobody is leased before that."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.http.conftest import (
    OK,
    PATIENCE,
    CountingRoute,
    Desk,
    Gateway,
    Memory,
    Replica,
    StartGateway,
    Wire,
    eventually,
)
from tests.gateway.http.test_backpressure import BOUND, Source, connected
from tests.gateway.loops import skip

from flashcore.gateway.http.connection import ClientConnection
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.pool import UpstreamPool
from flashcore.gateway.http.route import Peek, Proxy, UnixAddress
from flashcore.gateway.http.shared import Shared

POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
GET = b"GET /other HTTP/1.1\r\nhost: a\r\n\r\n"
TICK = 0.01
"""Seconds by which a loop's timer may be early."""


@dataclass(slots=True)
class Shown:
    """A route that goes by the body, and what it was shown."""

    route: CountingRoute
    seen: list[tuple[bytes, int | None]] = field(default_factory=list)
    leased_before: bool = False

    def see(self, start: bytes, length: int | None) -> None:
        """Remember."""
        self.leased_before = self.leased_before or bool(self.route.chosen)
        self.seen.append((start, length))


def peeking(gateway: Gateway, *replicas: Replica | UnixAddress, size: int = 10) -> Shown:
    """Requests for / go to these replicas, by the first `size` bytes of the body."""
    shown = Shown(gateway.route(*replicas))
    gateway.desk.verdicts[b"/"] = Peek(Proxy(shown.route), size, shown.see)
    return shown


def chunks(*pieces: bytes, last: bool = True) -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if last else b"")


async def turns(count: int = 50) -> None:
    """Let the loop do whatever it is about to do."""
    for _ in range(count):
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("head", "wrap", "length"),
    [(POST % 100, lambda piece: piece, 100), (CHUNKED, lambda piece: chunks(piece, last=False), None)],
    ids=["length", "chunked"],
)
async def test_the_choice_waits_for_the_start_of_the_body(
    gateway: Gateway, head: bytes, wrap: Callable[[bytes], bytes], length: int | None
) -> None:
    """With the tenth byte there is enough; the rest of the body is streamed."""
    replica = await gateway.replica(_hang)
    shown = peeking(gateway, replica)
    wire = await gateway.connect()

    await wire.send(head + wrap(b"123"))
    await turns()
    assert (shown.seen, shown.route.chosen, replica.connections) == ([], [], 0)

    await wire.send(wrap(b"4567890123"))
    await eventually(lambda: shown.route.chosen)
    assert shown.seen == [(b"1234567890123", length)]
    assert not shown.leased_before


@pytest.mark.parametrize("data", [POST % 5 + b"hello", CHUNKED + chunks(b"he", b"llo")], ids=["length", "chunked"])
async def test_a_body_shorter_than_the_limit_is_shown_whole(gateway: Gateway, data: bytes) -> None:
    """Its end says how long it is, whatever its head said."""
    replica = await gateway.replica()
    shown = peeking(gateway, replica)

    answer = await gateway.ask(data)

    assert (answer.status, shown.seen) == (200, [(b"hello", 5)])
    assert replica.received[0].body == b"hello"
    assert "content-length" in replica.received[0].headers or "transfer-encoding" in replica.received[0].headers


async def test_a_body_as_long_as_the_limit_is_shown_whole(gateway: Gateway) -> None:
    """Its last byte is its end: nothing is left to come."""
    replica = await gateway.replica()
    shown = peeking(gateway, replica, size=5)

    assert (await gateway.ask(POST % 5 + b"hello")).status == 200
    assert shown.seen == [(b"hello", 5)]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"DELETE"])
async def test_a_request_without_a_body_is_not_kept_waiting(gateway: Gateway, method: bytes) -> None:
    """There is nothing to come."""
    replica = await gateway.replica(b"HTTP/1.1 204 No Content\r\n\r\n")
    shown = peeking(gateway, replica)
    wire = await gateway.connect()

    await wire.send(b"%b / HTTP/1.1\r\nhost: a\r\n\r\n" % method)

    assert (await wire.answer(to_head=True)).status == 204
    assert shown.seen == [(b"", 0)]


async def test_a_get_with_a_body_is_shown_it(gateway: Gateway) -> None:
    """A method says nothing of how long a body is."""
    replica = await gateway.replica()
    shown = peeking(gateway, replica)

    await gateway.ask(b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")

    assert shown.seen == [(b"abc", 3)]


async def test_a_slow_body_is_not_waited_for_very_long(start_gateway: StartGateway) -> None:
    """The choice is made by what there is, and what comes later reaches the replica that was chosen."""
    gateway = await start_gateway(Limits(peek_seconds=0.1, sweep_seconds=0.02))
    replica = await gateway.replica()
    shown = peeking(gateway, replica)
    wire = await gateway.connect()

    began = time.monotonic()
    await wire.send(POST % 8 + b"slow")
    await eventually(lambda: shown.route.chosen)
    assert time.monotonic() - began >= 0.1 - TICK
    await wire.send(b"ness")

    assert (await wire.answer()).status == 200
    assert shown.seen == [(b"slow", 8)]
    assert replica.received[0].body == b"slowness"


async def test_a_body_of_which_nothing_comes_is_not_waited_for_either(start_gateway: StartGateway) -> None:
    """A chunked one says nothing of its length."""
    gateway = await start_gateway(Limits(peek_seconds=0.05, sweep_seconds=0.02))
    replica = await gateway.replica()
    shown = peeking(gateway, replica)
    wire = await gateway.connect()

    await wire.send(CHUNKED)
    await eventually(lambda: shown.route.chosen)
    await wire.send(chunks(b"late"))

    assert (await wire.answer()).status == 200
    assert (shown.seen, replica.received[0].body) == ([(b"", None)], b"late")


async def test_the_deadline_of_the_start_does_not_outlive_it(start_gateway: StartGateway) -> None:
    """A replica may take longer to answer than the client took to send."""
    gateway = await start_gateway(Limits(peek_seconds=0.05, sweep_seconds=0.01))

    async def slow(wire: Wire) -> None:
        await replica.read(wire)
        await asyncio.sleep(0.3)
        await wire.send(OK)

    replica = await gateway.replica(slow)
    shown = peeking(gateway, replica)

    assert (await gateway.ask(POST % 5 + b"hello")).status == 200
    assert len(shown.seen) == 1


async def test_a_client_that_waits_for_leave_to_send_gets_it_before_the_choice(gateway: Gateway) -> None:
    """Once, and from the gateway: the replica is not told that anybody waits."""
    replica = await gateway.replica()
    shown = peeking(gateway, replica)
    wire = await gateway.connect()

    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\nx: y\r\n\r\n")
    assert (await wire.answer()).status == 100
    assert shown.route.chosen == []
    await wire.send(b"hello")

    assert (await wire.answer()).status == 200
    assert shown.seen == [(b"hello", 5)]
    assert "expect" not in replica.received[0].headers
    assert (replica.received[0].headers["x"], replica.received[0].body) == ("y", b"hello")


async def test_a_client_that_leaves_before_the_choice_was_never_given_a_replica(gateway: Gateway) -> None:
    """No lease, no connection, and the route is not asked."""
    replica = await gateway.replica()
    shown = peeking(gateway, replica)
    wire = await gateway.connect()
    await wire.send(POST % 100 + b"abc")
    await eventually(lambda: gateway.server.busy_count)

    wire.close()

    await eventually(lambda: gateway.server.connection_count == 0)
    assert (shown.seen, shown.route.chosen, shown.route.outcomes) == ([], [], [])


async def test_a_client_that_is_reset_before_the_choice_leaves_nothing_behind(gateway: Gateway) -> None:
    """As one that closes."""
    replica = await gateway.replica()
    shown = peeking(gateway, replica)
    wire = await gateway.connect()
    await wire.send(CHUNKED + chunks(b"abc", last=False))
    await eventually(lambda: gateway.server.busy_count)

    wire.writer.transport.abort()

    await eventually(lambda: gateway.server.connection_count == 0)
    assert (shown.seen, shown.route.chosen) == ([], [])


async def test_a_body_that_stops_coming_altogether_is_given_up(start_gateway: StartGateway) -> None:
    """The replica that was chosen meanwhile is let go."""
    limits = Limits(peek_seconds=0.05, body_seconds=PATIENCE / 2, sweep_seconds=0.02)
    gateway = await start_gateway(limits)
    replica = await gateway.replica(_hang)
    shown = peeking(gateway, replica)
    wire = await gateway.connect()

    await wire.send(POST % 100 + b"abc")
    await eventually(lambda: shown.route.chosen)
    await skip(limits.body_seconds, limits.sweep_seconds)

    assert ((await wire.answer()).status, shown.route.in_flight, len(shown.route.chosen)) == (408, 0, 1)


@pytest.mark.parametrize("data", [POST % 5 + b"hello", CHUNKED + chunks(b"hello")], ids=["length", "chunked"])
async def test_the_next_request_is_not_taken_for_the_body(gateway: Gateway, data: bytes) -> None:
    """Pipelined behind it, in one write: it is answered after it, by its own route."""
    replica, other = await gateway.replica(), await gateway.replica(OK.replace(b"ok", b"no"))
    shown = peeking(gateway, replica, size=1_000)
    gateway.route(other, path=b"/other")
    wire = await gateway.connect()

    await wire.send(data + GET + data)

    assert [(await wire.answer()).body for _ in range(3)] == [b"ok", b"no", b"ok"]
    assert shown.seen == [(b"hello", 5)] * 2
    assert [received.body for received in replica.received] == [b"hello"] * 2


@pytest.mark.parametrize("size", [3, 10])
async def test_a_chunked_body_that_comes_in_one_piece_ends_once(gateway: Gateway, size: int) -> None:
    """Its end comes together with what was enough to choose by."""
    replica = await gateway.replica()
    shown = peeking(gateway, replica, size=size)
    wire = await gateway.connect()

    await wire.send((CHUNKED + chunks(b"hello")) * 2)

    assert [(await wire.answer()).body for _ in range(2)] == [b"ok", b"ok"]
    assert (len(shown.seen), [received.body for received in replica.received]) == (2, [b"hello"] * 2)


async def test_a_chunked_body_that_is_refused_with_its_end_is_refused_once(gateway: Gateway) -> None:
    """Nobody is there to be told of the end."""
    shown = peeking(gateway, size=3)

    answer = await gateway.ask(CHUNKED + chunks(b"hello"))

    assert (answer.status, answer.headers["connection"], len(shown.seen)) == (503, "close", 1)


@pytest.mark.parametrize("size", [5, 10])
async def test_the_connection_serves_on_where_nobody_could_be_chosen(gateway: Gateway, size: int) -> None:
    """The whole body was read: what follows is the next request."""
    peeking(gateway, size=size)
    wire = await gateway.connect()

    await wire.send(POST % 5 + b"hello" + GET)

    assert [(await wire.answer()).status for _ in range(2)] == [503, 200]


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_large_body_is_streamed_after_the_choice(gateway: Gateway, framing: str) -> None:
    """Every byte arrives once and in order."""
    replica = await gateway.replica()
    shown = peeking(gateway, replica, size=20_000)
    pieces = [bytes([number % 251]) * 40_000 for number in range(50)]
    wire = await gateway.connect()

    await wire.send(POST % 2_000_000 if framing == "length" else CHUNKED)
    for piece in pieces:
        await wire.send(piece if framing == "length" else chunks(piece, last=False))
    if framing == "chunked":
        await wire.send(chunks())

    assert (await wire.answer()).status == 200
    assert replica.received[0].body == b"".join(pieces)
    ((start, length),) = shown.seen
    assert len(start) >= 20_000
    assert length == (2_000_000 if framing == "length" else None)


async def test_a_slow_replica_holds_back_the_client_after_the_choice(gateway: Gateway) -> None:
    """The gateway's memory does not make up the difference."""
    source, go_on = Source(), asyncio.Event()

    async def ignores(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await go_on.wait()
        while await wire.reader.read(1_000_000):
            pass

    replica = await gateway.replica(ignores)
    peeking(gateway, replica, size=1_000)
    wire = await connected(gateway)
    await wire.send(CHUNKED)
    sending = asyncio.create_task(source.run(wire))

    assert await source.stalls() < BOUND

    stalled_at = source.sent
    go_on.set()
    await eventually(lambda: source.sent > stalled_at + BOUND)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_what_was_shown_can_be_sent_to_another_replica(gateway: Gateway) -> None:
    """It is shown once; who is asked next is chosen by the same."""
    replica = await gateway.replica()
    shown = peeking(gateway, gateway.free_address(), replica)

    answer = await gateway.ask(POST % 12 + b"hello, world")

    assert (answer.status, shown.route.chosen) == (200, ["a", "b"])
    assert (shown.seen, replica.received[0].body) == ([(b"hello, world", 12)], b"hello, world")


async def test_no_route_is_shown_more_than_could_be_sent_again(start_gateway: StartGateway) -> None:
    """However much it asks for: the gateway's limit is one of memory."""
    gateway = await start_gateway(Limits(replay_bytes=1_000, peek_seconds=60))
    replica = await gateway.replica(_hang)
    shown = peeking(gateway, replica, size=10**9)
    wire = await gateway.connect()

    await wire.send(CHUNKED + chunks(b"x" * 999, last=False))
    await turns()
    assert shown.seen == []
    await wire.send(chunks(b"y", last=False))

    await eventually(lambda: shown.seen)
    assert shown.seen == [(b"x" * 999 + b"y", None)]


async def test_a_request_that_is_held_after_it_was_shown_is_not_read_to_its_end(start_gateway: StartGateway) -> None:
    """The limit of what is kept holds while a replica is waited for, too."""
    gateway = await start_gateway(Limits(replay_bytes=1_000))
    replica, source = await gateway.replica(), Source()
    shown = peeking(gateway, replica, size=10)
    shown.route.held = asyncio.get_running_loop().create_future()
    wire = await connected(gateway)
    await wire.send(CHUNKED)
    sending = asyncio.create_task(source.run(wire))

    assert await source.stalls() < BOUND
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_a_broken_body_is_refused_without_a_choice(gateway: Gateway) -> None:
    """The replica never hears of it."""
    replica = await gateway.replica()
    shown = peeking(gateway, replica)

    answer = await gateway.ask(CHUNKED + b"3\r\nabcdef\r\n")

    assert (answer.status, shown.route.chosen, replica.connections) == (400, [], 0)


async def test_a_look_that_fails_is_told_as_500(gateway: Gateway) -> None:
    """What looks is the layer above's."""
    replica = await gateway.replica()
    shown = peeking(gateway, replica)

    def fails(start: bytes, length: int | None) -> None:
        raise ZeroDivisionError("a mistake")

    gateway.desk.verdicts[b"/"] = Peek(Proxy(shown.route), 10, fails)

    answer = await gateway.ask(POST % 5 + b"hello")

    assert (answer.status, shown.route.chosen) == (500, [])
    assert [type(failure) for failure in gateway.failures] == [ZeroDivisionError]
    gateway.failures.clear()


async def test_requests_under_way_are_finished_before_the_end(gateway: Gateway) -> None:
    """A body that is still coming belongs to one."""
    replica = await gateway.replica()
    peeking(gateway, replica)
    wire = await gateway.connect()
    await wire.send(POST % 8 + b"slow")
    await eventually(lambda: gateway.server.busy_count)

    closing = asyncio.create_task(gateway.server.close(5.0))
    await turns()
    await wire.send(b"ness")

    assert (await wire.answer()).status == 200
    assert await closing == 0


class Held:
    """One connection whose client does not read, and a route that goes by the body."""

    def __init__(self, *, size: int = 10) -> None:
        loop, desk = asyncio.get_running_loop(), Desk()
        self.shown = Shown(CountingRoute())
        desk.verdicts[b"/"] = Peek(Proxy(self.shown.route), size, self.shown.see)
        limits = Limits()
        self.connection = ClientConnection(Shared(loop, limits, desk, UpstreamPool(loop, limits), frozenset(), Path()))
        self.transport = Memory()
        self.connection.connection_made(self.transport)


async def test_a_client_that_does_not_read_its_leave_is_given_no_replica() -> None:
    """Its answer would pile up here: what is already held is not told a second time that it is."""
    held = Held()
    held.connection.data_received(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 20\r\n\r\n")
    held.connection.pause_writing()
    held.connection.data_received(b"0123456789")
    assert (held.shown.seen, held.transport.reading) == ([], False)

    held.connection.resume_writing()

    assert held.shown.seen == [(b"0123456789", 20)]


PIECES = st.lists(st.binary(min_size=1, max_size=12), max_size=6)


@given(PIECES, st.integers(1, 40), st.sampled_from(["length", "chunked"]), st.lists(st.integers(0, 400), max_size=12))
def test_a_body_is_shown_the_same_however_it_is_cut(
    pieces: list[bytes], size: int, framing: str, points: list[int]
) -> None:
    """The first bytes, once; a length where the head says it or the end has come, never a wrong one."""
    body, chunked = b"".join(pieces), framing == "chunked"
    data = CHUNKED + chunks(*pieces) if chunked else POST % len(body) + body
    cuts = sorted({0, len(data), *(point % len(data) for point in points)})

    async def shown() -> list[tuple[bytes, int | None]]:
        held = Held(size=size)
        for start, end in itertools.pairwise(cuts):
            held.connection.data_received(data[start:end])
        held.connection.connection_lost(None)
        return held.shown.seen

    ((start, length),) = asyncio.run(shown())
    assert body.startswith(start)
    assert len(start) >= min(size, len(body))
    assert length == (None if chunked and len(body) >= size else len(body))


async def _hang(wire: Wire) -> None:
    with contextlib.suppress(ConnectionError):
        await wire.rest()
