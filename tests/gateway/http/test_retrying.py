"""Another replica, where that is safe; a clear error, where it is not."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.gateway.http.conftest import OK, Answer, Gateway, Replica, StartGateway, Wire, eventually
from tests.gateway.loops import skip

from flashcore.gateway.http.errors import OutcomeKind
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.route import Choice, Proxy, Unavailable, UnixAddress, Upstream

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
DRAINING = b"HTTP/1.1 503 Draining\r\nx-flashcore-draining: 1\r\ncontent-length: 0\r\n\r\n"
MISMATCH = b"HTTP/1.1 421 Wrong\r\ncontent-length: 0\r\n\r\n"


def error_of(answer: Answer) -> dict[str, object]:
    """The error that an answer tells."""
    error = json.loads(answer.body)["error"]
    assert isinstance(error, dict)
    return error


async def hangs_up(replica: Replica, wire: Wire) -> None:
    """Reads a request and closes the connection."""
    await replica.read(wire)
    wire.close()


@pytest.mark.parametrize("request_bytes", [GET, POST, CHUNKED], ids=["GET", "POST", "chunked"])
async def test_a_replica_that_cannot_be_reached_is_passed_over(gateway: Gateway, request_bytes: bytes) -> None:
    """Whatever the method: nothing was sent."""
    replica = await gateway.replica()
    route = gateway.route(gateway.free_address(), replica)

    answer = await gateway.ask(request_bytes)

    assert answer.body == b"ok"
    assert route.chosen == ["a", "b"]
    assert route.kinds == [OutcomeKind.CONNECT_FAILED, OutcomeKind.ANSWERED]
    assert route.in_flight == 0
    assert replica.received[0].body == (b"" if request_bytes is GET else b"hello")


async def test_when_none_can_be_reached_the_client_is_told(gateway: Gateway) -> None:
    """502, with whom was tried; each of them once."""
    route = gateway.route(gateway.free_address(), gateway.free_address())

    answer = await gateway.ask(GET)

    assert answer.status == 502
    error = error_of(answer)
    assert (error["code"], error["replica"], error["tried"]) == ("upstream_connect_failed", "b", ["a", "b"])
    assert "FileNotFoundError" in str(error["detail"])
    assert (route.chosen, route.in_flight) == (["a", "b"], 0)


async def test_a_route_without_anybody_says_so_itself(gateway: Gateway) -> None:
    """Status, code and headers are the route's; the connection goes on."""
    gateway.route()
    wire = await gateway.connect()
    await wire.send(GET + b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")

    answer = await wire.answer()

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert error_of(answer)["code"] == "nobody_there"
    assert (await wire.answer()).body == b"GET /x "


@pytest.mark.parametrize("refusal", [DRAINING, MISMATCH], ids=["draining", "421"])
@pytest.mark.parametrize("request_bytes", [GET, POST, CHUNKED], ids=["GET", "POST", "chunked"])
async def test_a_replica_that_declines_is_passed_over(gateway: Gateway, request_bytes: bytes, refusal: bytes) -> None:
    """One that drains, or is not the instance that was meant: it did nothing, so anybody else may."""
    declining, replica = await gateway.replica(refusal), await gateway.replica()
    route = gateway.route(declining, replica)

    answer = await gateway.ask(request_bytes)

    assert answer.body == b"ok"
    assert route.kinds[1] is OutcomeKind.ANSWERED
    assert route.kinds[0] in {OutcomeKind.DRAINING, OutcomeKind.MISMATCH}
    assert replica.received[0].body == declining.received[0].body


async def test_when_all_decline_the_route_has_the_last_word(gateway: Gateway) -> None:
    """That they decline says nothing is wrong with them: there is just nobody."""
    route = gateway.route(await gateway.replica(DRAINING), await gateway.replica(MISMATCH))

    answer = await gateway.ask(GET)

    assert (answer.status, error_of(answer)["code"]) == (503, "nobody_there")
    assert route.in_flight == 0


async def test_an_ordinary_503_is_passed_on(gateway: Gateway) -> None:
    """Only the header makes it the gateway's business."""
    route = gateway.route(await gateway.replica(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"))

    assert (await gateway.ask(GET)).body == b"busy"
    assert route.kinds == [OutcomeKind.ANSWERED]


@pytest.mark.parametrize("request_bytes", [GET, POST, CHUNKED], ids=["GET", "POST", "chunked"])
async def test_an_ordinary_503_is_replaced_where_the_route_has_another(gateway: Gateway, request_bytes: bytes) -> None:
    """Nothing of the answer was passed on yet, and nobody is asked twice."""
    busy, replica = (
        await gateway.replica(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"),
        await gateway.replica(),
    )
    route = gateway.route(busy, replica)
    route.replaces_503 = True

    answer = await gateway.ask(request_bytes)
    alone = gateway.route(busy)
    alone.replaces_503 = True

    assert (answer.status, answer.body, route.kinds[0]) == (200, b"ok", OutcomeKind.UNAVAILABLE)
    assert (await gateway.ask(request_bytes)).body == b"busy"
    assert (route.chosen, route.in_flight, alone.kinds) == (["a", "b"], 0, [OutcomeKind.ANSWERED])


async def test_a_request_that_was_streamed_on_is_not_sent_twice(gateway: Gateway) -> None:
    """More was sent than is kept: 502, and nobody else is asked."""

    async def declines_late(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.reader.readexactly(100_000)
        await wire.send(DRAINING)
        await wire.rest()

    declining, replica = await gateway.replica(declines_late), await gateway.replica()
    route = gateway.route(declining, replica)
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n")
    await eventually(lambda: declining.connections)
    await wire.send(b"x" * 100_000)

    answer = await wire.answer()

    assert (answer.status, error_of(answer)["code"]) == (502, "upstream_draining")
    assert (route.chosen, replica.connections) == (["a"], 0)


async def test_what_was_kept_of_a_body_is_sent_to_the_next_replica_as_it_grows(gateway: Gateway) -> None:
    """The first replica declines in the middle of the upload; the second one gets all of it."""
    asked = asyncio.Event()

    async def declines_early(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.reader.readexactly(3)
        await wire.send(DRAINING)
        asked.set()
        await wire.rest()

    replica = await gateway.replica()
    gateway.route(await gateway.replica(declines_early), replica)
    wire = await gateway.connect()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
    await asked.wait()
    await eventually(lambda: replica.connections)
    await wire.send(b"defghi")

    assert (await wire.answer()).body == b"ok"
    assert replica.received[0].body == b"abcdefghi"


async def test_a_kept_connection_that_closes_is_no_loss(gateway: Gateway) -> None:
    """The replica closed it while the request was on its way: it is asked again, on a new connection."""

    async def one_each(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(OK)
        # The next request on this connection meets a closing one.
        await wire.reader.readexactly(1)
        wire.close()

    replica = await gateway.replica(one_each)
    route = gateway.route(replica)

    for _ in range(4):
        assert (await gateway.ask(GET)).body == b"ok"

    assert route.kinds == [OutcomeKind.ANSWERED] * 4
    assert (route.in_flight, route.chosen) == (0, ["a"] * 4)


async def test_a_kept_connection_that_closes_is_a_loss_for_what_may_not_be_repeated(gateway: Gateway) -> None:
    """Nobody can know whether the replica has acted on the POST."""

    async def one_each(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(OK)
        await wire.reader.readexactly(1)
        wire.close()

    replica, other = await gateway.replica(one_each), await gateway.replica()
    route = gateway.route(replica, other)
    assert (await gateway.ask(POST)).body == b"ok"

    answer = await gateway.ask(POST)

    assert (answer.status, error_of(answer)["code"]) == (502, "upstream_lost")
    assert route.kinds == [OutcomeKind.ANSWERED, OutcomeKind.LOST]
    assert (replica.connections, other.connections, route.in_flight) == (1, 0, 0)


async def test_a_replica_that_dies_before_it_answers_is_passed_over(gateway: Gateway) -> None:
    """For a method that may be repeated, and once per replica."""
    replica, other = await gateway.replica(), await gateway.replica()

    async def dies(wire: Wire) -> None:
        await hangs_up(replica, wire)

    replica.script = dies
    route = gateway.route(replica, other)

    assert (await gateway.ask(GET)).body == b"ok"
    assert route.kinds == [OutcomeKind.LOST, OutcomeKind.ANSWERED]
    assert (await gateway.ask(POST)).status == 502
    assert (replica.connections, other.connections) == (2, 1)


@pytest.mark.parametrize("start", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe"])
async def test_nobody_is_asked_again_after_the_first_byte(gateway: Gateway, start: bytes) -> None:
    """Half an answer may be the sign of a request that kills replicas."""

    async def begins(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(start)
        wire.close()

    replica, other = await gateway.replica(begins), await gateway.replica()
    route = gateway.route(replica, other)
    wire = await gateway.connect()
    await wire.send(GET)

    if start.endswith(b"he"):
        with pytest.raises(asyncio.IncompleteReadError):
            await wire.answer()
        assert route.kinds == [OutcomeKind.TRUNCATED]
    else:
        assert (await wire.answer()).status == 502
        assert route.kinds == [OutcomeKind.LOST]
    assert (other.connections, route.in_flight) == (0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ],
    ids=["rubbish", "two lengths", "folded", "endless", "unasked upgrade"],
)
async def test_an_answer_that_is_no_http_is_not_passed_on(gateway: Gateway, answer: bytes) -> None:
    """502; the replica's bytes go nowhere."""
    route = gateway.route(await gateway.replica(answer), await gateway.replica())

    told = await gateway.ask(GET)

    assert (told.status, error_of(told)["code"]) == (502, "upstream_invalid")
    assert (route.kinds, route.in_flight) == ([OutcomeKind.INVALID], 0)


async def test_a_replica_that_takes_too_long_is_given_up(start_gateway: StartGateway) -> None:
    """504 after the route's own time, and its connection is closed."""
    gateway = await start_gateway(Limits(sweep_seconds=0.02))
    gone = asyncio.Event()

    async def thinks(wire: Wire) -> None:
        await replica.read(wire)
        await wire.rest()
        gone.set()

    replica = await gateway.replica(thinks)
    route = gateway.route(replica)
    gateway.desk.verdicts[b"/"] = Proxy(route, answer_seconds=20.0)
    wire = await gateway.connect()
    await wire.send(GET + b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
    await eventually(lambda: replica.received)

    await skip(21.0, 0.02)
    answer = await wire.answer()

    assert (answer.status, error_of(answer)["code"]) == (504, "upstream_timed_out")
    assert (route.kinds, route.in_flight) == ([OutcomeKind.TIMED_OUT], 0)
    assert (await wire.answer()).body == b"GET /x "
    await asyncio.wait_for(gone.wait(), 60)


@pytest.mark.parametrize("framing", [b"content-length: 3", b"transfer-encoding: chunked"])
async def test_a_replica_has_its_time_from_when_the_whole_request_is_there(
    start_gateway: StartGateway, framing: bytes
) -> None:
    """A client that uploads slowly would have a replica that is well taken for one that does not answer."""
    gateway = await start_gateway(Limits(sweep_seconds=0.02, body_seconds=1e6, body_rate=0.0))
    began, ended, is_chunked = asyncio.Event(), asyncio.Event(), b"chunked" in framing

    async def thinks(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        began.set()
        await wire.reader.readuntil(b"0\r\n\r\n" if is_chunked else b"c")
        ended.set()
        await wire.rest()

    replica = await gateway.replica(thinks)
    route = gateway.route(replica)
    gateway.desk.verdicts[b"/"] = Proxy(route, answer_seconds=20.0)
    wire = await gateway.connect()
    pieces = [b"1\r\n%b\r\n" % each if is_chunked else each for each in (b"a", b"b", b"c")]
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\n%b\r\n\r\n%b" % (framing, pieces[0]))
    await began.wait()
    for piece in pieces[1:]:
        await skip(21.0, 0.02)
        assert route.kinds == []
        await wire.send(piece)
    await wire.send(b"0\r\n\r\n" if is_chunked else b"")
    await ended.wait()
    await skip(21.0, 0.02)
    answer = await wire.answer()

    assert (answer.status, error_of(answer)["code"], route.kinds) == (
        504,
        "upstream_timed_out",
        [OutcomeKind.TIMED_OUT],
    )


async def test_a_replica_that_answers_in_time_may_take_its_time_afterwards(start_gateway: StartGateway) -> None:
    """The time is to the first byte."""
    gateway, asked = await start_gateway(Limits(sweep_seconds=0.01)), asyncio.Event()

    async def slow(wire: Wire) -> None:
        await replica.read(wire)
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
        await asked.wait()
        await wire.send(b"k")

    replica = await gateway.replica(slow)
    gateway.desk.verdicts[b"/"] = Proxy(gateway.route(replica), answer_seconds=100.0)
    wire = await gateway.connect()
    await wire.send(GET)
    await wire.reader.readuntil(b"\r\n\r\no")

    await skip(200.0, 0.01)
    asked.set()

    assert await wire.reader.readexactly(1) == b"k"


async def test_a_replica_that_does_not_accept_is_given_up(
    start_gateway: StartGateway, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A full queue of connections is a connection that failed."""
    import socket

    gateway = await start_gateway(Limits(connect_seconds=20.0))
    path = str(tmp_path_factory.mktemp("full") / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as filler:
        listener.bind(path)
        listener.listen(0)
        filler.connect(path)
        replica = await gateway.replica()
        route = gateway.route(UnixAddress(path), replica)

        wire = await gateway.connect()
        await wire.send(GET)
        while not route.kinds:  # it may not have begun to connect yet
            await skip(21.0, 0.01)

        assert (await wire.answer()).body == b"ok"
        assert route.kinds == [OutcomeKind.CONNECT_FAILED, OutcomeKind.ANSWERED]


async def test_a_request_may_be_held_until_somebody_is_there(gateway: Gateway) -> None:
    """Its body is kept meanwhile."""
    replica = await gateway.replica()
    route = gateway.route(replica)
    route.held = asyncio.get_running_loop().create_future()
    wire = await gateway.connect()
    await wire.send(POST)
    await eventually(lambda: gateway.desk.seen)
    assert replica.connections == 0

    route.held.set_result(route.lease())

    assert (await wire.answer()).body == b"ok"
    assert replica.received[0].body == b"hello"
    assert route.in_flight == 0


async def test_a_held_request_with_a_long_body_is_not_read_to_its_end(gateway: Gateway) -> None:
    """What is kept of it has a limit; the rest flows once somebody is there."""
    content = b"x" * 5_000_000
    replica = await gateway.replica()
    route = gateway.route(replica)
    route.held = asyncio.get_running_loop().create_future()
    wire = await gateway.connect()
    sending = asyncio.create_task(
        wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content))
    )
    await eventually(lambda: gateway.desk.seen)
    await asyncio.sleep(0.1)
    assert not sending.done(), "the gateway took five megabytes for nobody"

    route.held.set_result(route.lease())

    assert (await wire.answer()).body == b"ok"
    await sending
    assert replica.received[0].body == content


async def test_a_held_request_may_be_refused_after_all(gateway: Gateway) -> None:
    """With whatever the route says then."""
    route = gateway.route(await gateway.replica())
    route.held = asyncio.get_running_loop().create_future()
    wire = await gateway.connect()
    await wire.send(GET)
    await eventually(lambda: gateway.desk.seen)

    route.held.set_result(Unavailable("held_too_long", "Nobody came.", 504))

    answer = await wire.answer()
    assert (answer.status, error_of(answer)["code"]) == (504, "held_too_long")


async def test_a_client_that_leaves_is_held_no_longer(gateway: Gateway) -> None:
    """Its place is free at once."""
    route = gateway.route(await gateway.replica())
    route.held = asyncio.get_running_loop().create_future()
    wire = await gateway.connect()
    await wire.send(GET)
    await eventually(lambda: gateway.desk.seen)

    wire.close()

    await eventually(route.held.cancelled)
    assert (route.in_flight, route.outcomes) == (0, [])


async def test_a_lease_that_comes_as_the_client_leaves_is_given_back(gateway: Gateway) -> None:
    """The future had its result when it could no longer be cancelled."""
    route = gateway.route(await gateway.replica())
    route.held = asyncio.get_running_loop().create_future()
    wire = await gateway.connect()
    await wire.send(GET)
    await eventually(lambda: gateway.desk.seen)
    (connection,) = gateway.server._shared.connections  # noqa: SLF001 - the only way to order two events of one instant

    route.held.set_result(route.lease())
    connection.abort()
    connection.connection_lost(None)

    await eventually(lambda: route.outcomes)
    assert (route.in_flight, route.kinds) == (0, [OutcomeKind.CLIENT_GONE])


async def test_a_hold_that_is_called_off_is_told(gateway: Gateway) -> None:
    """M58: 503; so is a hold that fails, as 500."""
    route = gateway.route(await gateway.replica())
    route.held = asyncio.get_running_loop().create_future()
    wire = await gateway.connect()
    await wire.send(GET + GET)
    await eventually(lambda: gateway.desk.seen)

    cancelled, route.held = route.held, asyncio.get_running_loop().create_future()
    cancelled.cancel()
    assert error_of(await wire.answer())["code"] == "hold_cancelled"
    route.held.set_exception(KeyError("lost"))

    assert (await wire.answer()).status == 500
    assert [type(error) for error in gateway.failures] == [KeyError]
    gateway.failures.clear()


async def test_a_route_that_fails_is_told_as_500(gateway: Gateway) -> None:
    """At the first choice and at a later one; the lease of the first comes back."""

    class Failing:
        def choose(self, tried: frozenset[str]) -> Choice:
            if tried:
                raise KeyError(tried)
            return route.lease()

        def has_another(self, tried: frozenset[str]) -> bool:
            return False

        def on_outcome(self, upstream: Upstream, outcome: object, latency: float) -> None:
            raise LookupError(upstream.id)

    route = gateway.route(gateway.free_address())
    gateway.desk.verdicts[b"/"] = Proxy(Failing())

    answer = await gateway.ask(GET)

    assert (answer.status, route.in_flight) == (500, 0)
    assert [type(error) for error in gateway.failures] == [LookupError, KeyError]
    gateway.failures.clear()
