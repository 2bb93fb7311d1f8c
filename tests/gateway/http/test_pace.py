"""Clients that send a body by drops, so that it holds a place, and those that have a reason to be slow."""

from __future__ import annotations

import asyncio
import json
from asyncio import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.http.conftest import Gateway, Memory, StartGateway, Wire, eventually
from tests.gateway.loops import skip

from flashcore.gateway.http.errors import OutcomeKind
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.outflow import Outflow
from flashcore.gateway.http.pace import BodyPace
from flashcore.gateway.http.route import Choice

PACED = Limits(body_seconds=100.0, body_rate=10.0, pace_seconds=30.0, sweep_seconds=0.01)
"""Three hundred bytes in 30 s, which the tests put the clock forward by."""
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


async def drip(gateway: Gateway, wire: Wire, head: bytes, drop: bytes) -> tuple[int, str, str]:
    """Send a drop of a body, again and again, until it is refused: status, code and message."""
    await wire.send(head)
    for _ in range(30):
        await wire.send(drop)
        await skip(10.0, PACED.sweep_seconds)
        if gateway.server.refused:
            break
    assert gateway.server.refused
    answer = await wire.answer()
    error = json.loads(answer.body)["error"]
    return answer.status, error["code"], error["message"]


@pytest.mark.parametrize(
    ("head", "drop"),
    [(POST + b"content-length: 5000\r\n\r\n", b"x"), (CHUNKED, b"1;" + b"e" * 400 + b"\r\nx\r\n")],
    ids=["by bytes", "by chunks of which most is framing"],
)
async def test_a_body_that_drips_is_refused_and_its_slot_is_free(
    start_gateway: StartGateway, head: bytes, drop: bytes
) -> None:
    """Each drop is in time, as a whole they are too few: 408 with the reason, and it is not the replica's fault."""
    gateway = await start_gateway(PACED)

    async def reads(wire: Wire) -> None:
        await wire.rest()

    route = gateway.route(await gateway.replica(reads))
    wire = await gateway.connect()

    status, code, message = await drip(gateway, wire, head, drop)

    assert (status, code) == (408, "body_too_slow")
    assert "10 bytes a second over 30 s" in message
    assert (route.in_flight, route.kinds) == (0, [OutcomeKind.CLIENT_GONE])
    assert gateway.server.refused == {"body_too_slow": 1}


async def test_a_body_that_keeps_its_pace_may_take_as_long_as_it_likes(start_gateway: StartGateway) -> None:
    """Each stretch is judged by itself: one that brings more does not make up for another."""
    gateway = await start_gateway(PACED)
    wire = await gateway.connect()
    await wire.send(POST + b"content-length: 2400\r\n\r\n")
    for _ in range(6):
        await wire.send(b"x" * 400)
        await skip(30.0, PACED.sweep_seconds)

    assert (await wire.answer()).body == b"POST / " + b"x" * 2400


async def test_a_client_that_is_not_read_from_is_not_slow(start_gateway: StartGateway) -> None:
    """Its request is held until a replica has room, and more of the body is not taken before."""
    gateway = await start_gateway(PACED)
    replica = await gateway.replica()
    route = gateway.route(replica)
    route.held = held = Future[Choice]()
    wire = await gateway.connect()
    size = 10_000_000
    await wire.send(POST + b"content-length: %d\r\n\r\n" % size + b"x" * 70_000)
    await eventually(lambda: gateway.desk.seen)
    for _ in range(6):
        await skip(40.0, PACED.sweep_seconds)
    sending = asyncio.create_task(wire.send(b"x" * (size - 70_000)))

    route.held = None
    held.set_result(route.lease())

    assert (await wire.answer()).status == 200
    assert len(replica.received[0].body) == size
    await sending


async def test_what_is_sent_beside_an_answer_may_pause(start_gateway: StartGateway) -> None:
    """A conversation over one request: nobody can say when its next word is due."""
    gateway = await start_gateway(PACED)

    async def answers_at_once(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await wire.reader.readuntil(b"0\r\n\r\n")
        await wire.send(b"3\r\nbye\r\n0\r\n\r\n")

    gateway.route(await gateway.replica(answers_at_once))
    wire = await gateway.connect()
    await wire.send(CHUNKED + b"1\r\nx\r\n")
    await wire.reader.readuntil(b"hello\r\n")
    for _ in range(9):
        await wire.send(b"1\r\nx\r\n")
        await skip(20.0, PACED.sweep_seconds)
    await wire.send(b"0\r\n\r\n")

    assert b"bye" in await wire.rest()


def test_a_body_is_too_slow_only_at_the_second_look() -> None:
    """What came while this process did not run is read between the two."""
    pace = BodyPace(100, 10.0, 0.0)

    assert not pace.is_too_slow(9.9)
    assert not pace.is_too_slow(500.0)
    pace.came(100)
    assert not pace.is_too_slow(500.5)
    assert not pace.is_too_slow(510.5)
    assert pace.is_too_slow(511.0)


@given(st.lists(st.tuples(st.sampled_from(["came", "look", "hold", "release"]), st.integers(0, 30))))
def test_time_that_nobody_reads_in_never_counts(steps: list[tuple[str, int]]) -> None:
    """However holding and looking follow one another, a body is refused only after its seconds were spent reading."""
    pace, now, read_since, holding = BodyPace(100, 50.0, 0.0), 0.0, 0.0, False
    for step, size in steps:
        now += size
        read_since += 0 if holding else size
        if step == "came":
            pace.came(size)
        elif step == "look":
            assert not (pace.is_too_slow(now) and (holding or read_since < 50.0))
        elif step == "hold":
            pace.hold(now)
            holding = True
        else:
            pace.release(now)
            holding = False


async def test_any_pace_is_allowed_where_the_settings_say_so() -> None:
    """Zero is no limit here; less than that is a mistake."""
    assert Limits(body_rate=0.0).body_rate == 0.0
    with pytest.raises(ValueError, match="body_rate"):
        Limits(body_rate=-1.0)


class Behind(Memory):
    """A connection whose peer takes what the test says."""

    left = 1_000_000

    def get_write_buffer_size(self) -> int:
        """What it has yet to take."""
        return self.left


@pytest.mark.parametrize(
    ("rate", "takes", "stuck"), [(10.0, 599, True), (10.0, 600, False), (0.0, 1, False), (0.0, 0, True)]
)
def test_who_is_behind_has_to_take_as_much_as_it_would_have_to_send(rate: float, takes: int, stuck: bool) -> None:  # noqa: FBT001 - a parameter
    """A drop now and then holds a place no less than none; where no rate is set, any drop will do."""
    transport = Behind()
    outflow = Outflow(transport, 60.0, rate)
    outflow.watch(0.0)
    first_look = outflow.is_stuck(0.0)

    transport.left -= takes

    assert (first_look, outflow.is_stuck(59.0), outflow.is_stuck(60.0)) == (False, False, stuck)


def test_who_takes_the_last_of_it_is_not_too_slow() -> None:
    """There may be less left than the rate asks for."""
    transport = Behind()
    transport.left = 10
    outflow = Outflow(transport, 60.0, 10.0)
    outflow.watch(0.0)
    assert not outflow.is_stuck(0.0)

    transport.left = 0

    assert not outflow.is_stuck(60.0)
    assert not outflow.is_stuck(1000.0)
