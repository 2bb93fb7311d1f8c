"""The data plane over its socket: the control plane's end and the gateway's, each coming and going."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from tests.gateway.conftest import FAST, eventually, gateway_at, http_replica, http_route, jobs_route, side

from flashcore.control.link import LinkTimes, SocketDataPlane
from flashcore.model.codec import to_json
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, InstanceId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointSignals, RoutingTable
from flashcore.testing.dataplane import TwinDataPlane, TwinGateway
from flashcore.testing.fake_worker import FakeWorker, route_of, worker_hello
from flashcore.wire.dataplane import DataPlane, GatewayState
from flashcore.wire.frames import FrameDecoder, FrameLimits, encode_frame
from flashcore.wire.messages import (
    Access,
    Applied,
    ControlHello,
    Message,
    Result,
    Results,
    Signals,
    Table,
    from_frame,
    to_frame,
)
from flashcore.wire.parts import PartLimits
from flashcore.wire.versions import VersionRange

QUICK = LinkTimes(first_pause=0.01, longest_pause=0.05, linger=0.2)
HELLO = EndpointName("hello")


@asynccontextmanager
async def control(
    layout: Layout, limits: PartLimits | None = None, times: LinkTimes = QUICK
) -> AsyncIterator[SocketDataPlane]:
    """A control plane's end."""
    plane = SocketDataPlane(layout.dataplane_socket, times=times, limits=limits)
    try:
        yield plane
    finally:
        await plane.close()


async def applied(plane: SocketDataPlane, version: int) -> None:
    """Wait for an ack."""
    await eventually(lambda: [state.applied for state in plane.gateways()] == [version])


async def test_a_table_that_was_published_before_there_was_a_gateway_reaches_it(layout: Layout) -> None:
    """Nobody waits for anybody: the newest table is sent to whoever connects."""
    async with control(layout) as plane:
        await plane.publish(RoutingTable(3, (jobs_route("old"),)))
        await plane.publish(RoutingTable(4, (jobs_route("hello"),)))
        await plane.publish(RoutingTable(2, (jobs_route("older"),)))
        assert plane.gateways() == ()

        async with gateway_at(layout) as running:
            await applied(plane, 4)
            assert running.gateway.live.routes.names == ("hello",)


async def test_a_refused_table_is_told_with_its_reason_and_the_old_one_serves(layout: Layout) -> None:
    """A nack names the part that is missing."""
    async with gateway_at(layout) as running, control(layout) as plane:
        await plane.publish(RoutingTable(1, (jobs_route("hello"),)))
        await applied(plane, 1)

        await plane.publish(RoutingTable(2, (http_route("web", routing=PartRef("nothing")),)))
        await eventually(lambda: plane.gateways()[0].refused == 2)

        state = plane.gateways()[0]
        assert (state.applied, running.gateway.live.routes.names) == (1, ("hello",))
        assert "no routing policy 'nothing'" in state.reason


async def test_the_gateway_serves_while_there_is_no_control_plane(layout: Layout) -> None:
    """It is a loss of news, nothing else; the next control plane hears at once by what it serves."""
    async with gateway_at(layout) as running:
        async with control(layout) as first:
            await first.publish(RoutingTable(1, (jobs_route("hello"),)))
            await applied(first, 1)

        answer = await running.post("/v2/hello/run", {"input": {}})
        async with control(layout) as second:
            await applied(second, 1)
            await second.publish(RoutingTable(2, (jobs_route("hello"), jobs_route("more"))))
            await applied(second, 2)

    assert answer.status == 200


async def test_a_restarted_gateway_is_given_the_table_again(layout: Layout) -> None:
    """The link is made again for ever."""
    async with control(layout) as plane:
        await plane.publish(RoutingTable(1, (jobs_route("hello"),)))
        async with gateway_at(layout):
            await applied(plane, 1)
        layout.table_file.unlink()

        async with gateway_at(layout) as running:
            await eventually(lambda: running.gateway.live.routes.version == 1)


async def test_an_older_table_of_another_control_plane_is_refused(layout: Layout) -> None:
    """The newest wins by version, and the one who is behind learns how far."""
    async with gateway_at(layout) as running, control(layout) as plane, control(layout) as stale:
        await plane.publish(RoutingTable(9, (jobs_route("hello"),)))
        await applied(plane, 9)

        await stale.publish(RoutingTable(2))
        await eventually(lambda: bool(stale.gateways()) and stale.gateways()[0].refused == 2)

        assert stale.gateways()[0].applied == 9
        assert running.gateway.live.routes.version == 9


async def test_a_gateway_counts_until_it_was_away_for_a_moment(layout: Layout) -> None:
    """A drain waits for it: it may serve by its old table still."""
    patient = dataclasses.replace(QUICK, linger=600.0)
    async with control(layout) as plane, control(layout, times=patient) as waits:
        async with gateway_at(layout):
            for one in (plane, waits):
                await one.publish(RoutingTable(1))
                await applied(one, 1)

        await eventually(lambda: plane.gateways() == ())
        assert waits.gateways() == (GatewayState("gateway", 1),)


async def test_over_the_socket_a_table_is_whole_once_and_then_a_difference(layout: Layout) -> None:
    """One changed route among many costs what that route is long; a gateway that comes anew is sent all."""
    many = tuple(jobs_route(f"e{number:03d}") for number in range(200))
    async with control(layout) as plane:
        async with gateway_at(layout):
            await plane.publish(RoutingTable(1, many))
            await applied(plane, 1)
            whole = plane.bytes_sent
            await plane.publish(RoutingTable(2, (jobs_route("e000", held=True), *many[1:])))
            await applied(plane, 2)
            difference = plane.bytes_sent - whole

        async with gateway_at(layout) as running:
            await plane.publish(RoutingTable(3, many[1:]))
            await applied(plane, 3)
            assert running.gateway.live.routes.names == tuple(route.name for route in many[1:])

    assert difference < whole / 50
    assert plane.bytes_sent > 1.9 * whole


async def test_after_a_refusal_the_next_table_goes_whole(layout: Layout) -> None:
    """What the gateway made of the refused one is nobody's guess; it serves by the next as if nothing had been."""
    async with gateway_at(layout) as running, control(layout) as plane:
        await plane.publish(RoutingTable(1, (jobs_route("hello"),)))
        await applied(plane, 1)
        await plane.publish(RoutingTable(2, (jobs_route("hello"), http_route("web", routing=PartRef("nothing")))))
        await eventually(lambda: plane.gateways()[0].refused == 2)
        before = plane.bytes_sent
        await plane.publish(RoutingTable(3, (jobs_route("hello"), jobs_route("more"))))
        await applied(plane, 3)
        whole = len(
            encode_frame(to_frame(Table(3, to_json(RoutingTable(3, (jobs_route("hello"), jobs_route("more")))))))
        )

        assert running.gateway.live.routes.names == ("hello", "more")
        assert plane.bytes_sent - before == whole


@asynccontextmanager
async def older_gateway(layout: Layout, heard: list[Message]) -> AsyncIterator[None]:
    """One that knows tables and tokens alone, and hangs up on everything else."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = FrameDecoder()
        writers.append(writer)
        writer.write(encode_frame(to_frame(Applied(0))))
        while data := await reader.read(1 << 16):
            for message in map(from_frame, decoder.feed(data)):
                if not isinstance(message, Table | Access):
                    writer.close()
                    return
                heard.append(message)
                if isinstance(message, Table):
                    writer.write(encode_frame(to_frame(Applied(message.version))))
        writer.close()

    layout.dataplane_socket.parent.mkdir(parents=True, exist_ok=True)
    server = await asyncio.start_unix_server(serve, str(layout.dataplane_socket))
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.close()
        layout.dataplane_socket.unlink(missing_ok=True)  # from Python 3.13 on, the server has done so


async def test_an_older_gateway_is_sent_whole_tables_until_a_newer_one_is_there(layout: Layout) -> None:
    """It hangs up on a hello that it does not know, and is called again without one."""
    heard: list[Message] = []
    tables = [RoutingTable(version, (jobs_route("hello"), jobs_route(f"more{version}"))) for version in (1, 2, 3, 4)]
    async with control(layout) as plane:
        async with older_gateway(layout, heard):
            for table in tables[:2]:
                await plane.publish(table)
                await applied(plane, table.version)
        whole = [message.version for message in heard if isinstance(message, Table)]

        async with gateway_at(layout) as running:
            await plane.publish(tables[2])
            await applied(plane, 3)
            before = plane.bytes_sent
            await plane.publish(tables[3])
            await applied(plane, 4)
            assert running.gateway.live.routes.names == ("hello", "more4")

    assert whole == [1, 2]
    assert plane.bytes_sent - before < len(encode_frame(to_frame(Table(4, to_json(tables[3])))))


async def test_an_older_control_plane_sends_whole_tables_without_a_hello(layout: Layout) -> None:
    """A gateway outlives its control plane, and may be the newer one of the two."""
    async with gateway_at(layout) as running:
        reader, writer = await asyncio.open_unix_connection(str(layout.dataplane_socket))
        decoder = FrameDecoder()
        told: list[Message] = []
        for version in (1, 2):
            table = RoutingTable(version, (jobs_route(f"hello{version}"),))
            writer.write(encode_frame(to_frame(Table(version, to_json(table)))))
        async with asyncio.timeout(60):
            while Applied(2) not in told:
                told += map(from_frame, decoder.feed(await reader.read(1 << 16)))
        writer.close()

        assert running.gateway.live.routes.names == ("hello2",)
    assert {type(message) for message in told} <= {Applied, Signals}


async def test_a_control_plane_of_a_later_protocol_is_told_so(layout: Layout) -> None:
    """Who speaks nothing that the gateway knows is hung up on; the gateway serves on."""
    async with gateway_at(layout) as running:
        reader, writer = await asyncio.open_unix_connection(str(layout.dataplane_socket))
        writer.write(encode_frame(to_frame(ControlHello(VersionRange(98, 99)))))
        async with asyncio.timeout(60):
            while await reader.read(1000):
                pass
        writer.close()

        assert (await running.get("/ping")).status == 200


async def test_the_simulated_data_plane_tells_the_same_story(layout: Layout) -> None:
    """Taken over, refused, taken over again, gone and back: what the controller sees of a gateway is alike on both."""
    bad = http_route("web", routing=PartRef("nothing"))
    story = [(1, (jobs_route("a"),)), (2, (jobs_route("a"), bad)), (3, (jobs_route("a"), jobs_route("b"))), (4, ())]
    twin = TwinDataPlane([TwinGateway("gateway", delay=0.0)])
    seen: dict[str, list[tuple[int, int]]] = {"socket": [], "twin": []}
    async with gateway_at(layout) as running, control(layout) as plane:
        await eventually(lambda: bool(plane.gateways()))
        for version, routes in story:
            twin.twins["gateway"].refuses = "no such part" if bad in routes else ""
            for name, one in (("socket", plane), ("twin", twin)):
                await one.publish(RoutingTable(version, routes))
                state = await eventually(partial(_answered, one, version))
                seen[name].append((state.applied, state.refused))
        served = running.gateway.live.routes.table

    assert seen["socket"] == seen["twin"] == [(1, 0), (1, 2), (3, 2), (4, 2)]
    assert twin.twins["gateway"].table == served


def _answered(plane: DataPlane, version: int) -> GatewayState | None:
    return next((state for state in plane.gateways() if version in (state.applied, state.refused)), None)


async def test_a_table_that_no_frame_holds_comes_in_parts_and_is_kept(layout: Layout) -> None:
    """Whole and as a change; the next gateway begins with it."""
    hellos = [worker_hello("hello", replica=f"r{number}") for number in range(4300)]
    many = [dataclasses.replace(route_of(hello), instance=InstanceId("i" * 4000)) for hello in hellos]
    async with control(layout) as plane, gateway_at(layout) as running:
        await plane.publish(RoutingTable(1, (jobs_route("hello", side(*many)),)))
        await applied(plane, 1)
        await plane.publish(RoutingTable(2, (jobs_route("hello", side(*many), held=True),)))
        await applied(plane, 2)
        assert plane.bytes_sent > 2 * FrameLimits().head
        served = running.gateway.live.routes.table

    async with gateway_at(layout) as running:
        assert running.gateway.live.routes.table == served


@pytest.mark.parametrize(("speaks", "limits"), [(2, PartLimits(whole=900)), (3, PartLimits(whole=900, all=1000))])
async def test_a_table_that_is_too_long_for_the_gateway_is_refused_with_that_reason(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, speaks: int, limits: PartLimits
) -> None:
    """The last one serves, and a shorter one is served again."""
    monkeypatch.setattr("flashcore.gateway.link.DATA_PLANE", VersionRange(1, speaks))
    many = tuple(jobs_route(f"e{number:03d}") for number in range(20))
    async with gateway_at(layout) as running, control(layout, limits) as plane:
        await plane.publish(RoutingTable(1, many[:1]))
        await applied(plane, 1)
        await plane.publish(RoutingTable(2, many))
        await eventually(lambda: plane.gateways()[0].refused == 2)
        state = plane.gateways()[0]
        assert ("long" in state.reason, state.applied, running.gateway.live.routes.version) == (True, 1, 1)

        await plane.publish(RoutingTable(3, many[:2]))
        await applied(plane, 3)
        assert len(running.gateway.live.routes.names) == 2


async def test_changes_are_told(layout: Layout) -> None:
    """An ack, signals, a gateway that comes or goes: something to look at."""
    async with control(layout) as plane:
        changes = plane.changes()
        waiting = asyncio.ensure_future(anext(changes))
        async with gateway_at(layout):
            await asyncio.wait_for(waiting, 60)
        await asyncio.wait_for(anext(changes), 60)
        await plane.close()
        async with asyncio.timeout(60):
            rest = [change async for change in changes]

    assert len(rest) <= 1


async def test_who_breaks_the_protocol_is_hung_up_on(layout: Layout) -> None:
    """Only tables come from a control plane."""
    async with gateway_at(layout):
        reader, writer = await asyncio.open_unix_connection(str(layout.dataplane_socket))
        writer.write(encode_frame(to_frame(Applied(1))))
        async with asyncio.timeout(60):
            while await reader.read(1000):
                pass
        writer.close()


async def signals(plane: SocketDataPlane, name: str) -> EndpointSignals:
    """What is said of an endpoint now."""
    return next(iter(plane.signals(EndpointName(name))), EndpointSignals())


async def test_a_job_that_nobody_can_take_is_told_at_once_and_its_age_grows(layout: Layout) -> None:
    """What wakes an endpoint that is scaled to zero."""
    async with gateway_at(layout) as running, control(layout) as plane:
        await plane.publish(RoutingTable(1, (jobs_route("hello"),)))
        await applied(plane, 1)
        await running.post("/v2/hello/run", {"input": {}})

        await eventually(lambda: any(said.queued == 1 for said in plane.signals(HELLO)))
        await eventually(lambda: any(said.oldest_queued > 1.0 for said in plane.signals(HELLO)))


async def test_jobs_of_low_priority_are_told_of_to_nobody(layout: Layout) -> None:
    """Q04: alone they wake no worker; a job that came back is as old as it was when it was queued first."""
    low = {"input": 1, "policy": {"lowPriority": True}}
    worker = worker_hello("hello", slots=1)
    async with gateway_at(layout) as running, control(layout) as plane:
        await plane.publish(RoutingTable(1, (jobs_route("hello", side(worker)),)))
        await applied(plane, 1)
        await running.post("/v2/hello/run", low)
        await running.post("/v2/hello/run", {"input": 2})
        await eventually(lambda: any(said.queued == 1 for said in plane.signals(HELLO)))
        await eventually(lambda: any(said.oldest_queued > 1.0 for said in plane.signals(HELLO)))

        async with FakeWorker(layout.worker_socket, worker, lambda _: asyncio.Future()) as fake:
            await fake.until(lambda: bool(fake.seen))
            await eventually(lambda: any(not said.queued for said in plane.signals(HELLO)))
            alone = await signals(plane, "hello")
            fake.leave()
            fake.send(Results((Result(fake.seen[0].id, 1, released=True),)))
            await eventually(lambda: any(said.queued for said in plane.signals(HELLO)))
            back = await signals(plane, "hello")

    assert bytes(fake.seen[0].input.data) == b"2", "the other one goes first"
    assert (alone.queued, alone.oldest_queued) == (0, 0.0)
    assert back.queued == 1
    assert back.oldest_queued > 1.0


async def test_what_workers_do_is_counted_by_revision(layout: Layout) -> None:
    """In flight, done, failed, how long; and who is connected."""
    hello = worker_hello("hello", slots=2)
    table = RoutingTable(1, (jobs_route("hello", side(hello)),))
    async with gateway_at(layout) as running, control(layout) as plane:
        await plane.publish(table)
        await applied(plane, 1)
        go_on = asyncio.Event()

        async def answer(_: object) -> bytes:
            await go_on.wait()
            return b"1"

        async with FakeWorker(layout.worker_socket, hello, answer):
            for _ in range(2):
                await running.post("/v2/hello/run", {"input": {}})
            await eventually(lambda: any(one.in_flight == 2 for said in plane.signals(HELLO) for one in said.sides))
            busy = await signals(plane, "hello")
            go_on.set()
            await eventually(lambda: any(one.requests == 2 for said in plane.signals(HELLO) for one in said.sides))
            done = await signals(plane, "hello")

    assert busy.connected == (hello.identity.replica,)
    assert busy.sides[0].revision == hello.identity.revision
    assert (done.sides[0].in_flight, done.sides[0].failures) == (0, 0)
    assert done.sides[0].latency["+Inf"] == 2
    assert sorted(done.sides[0].latency.values()) == list(done.sides[0].latency.values())


async def test_what_replicas_answer_is_counted_by_revision(layout: Layout) -> None:
    """Requests and failures per side, and who waits."""
    web = EndpointName("web")
    async with gateway_at(layout) as running, control(layout) as plane, http_replica(layout, "w") as replica:
        await plane.publish(RoutingTable(1, (http_route("web", side(replica.route, revision="a")),)))
        await applied(plane, 1)
        await running.get("/web/")
        replica.status = 500
        await running.get("/web/")

        await eventually(lambda: any(one.requests == 2 for said in plane.signals(web) for one in said.sides))
        said = await signals(plane, "web")
        await plane.publish(RoutingTable(2, (http_route("web", side(revision="a"), held=True),)))
        await applied(plane, 2)
        waiting = asyncio.create_task(running.get("/web/"))
        await eventually(lambda: any(said.queued == 1 for said in plane.signals(web)))
        await plane.publish(RoutingTable(3, (http_route("web", side(replica.route, revision="a")),)))
        await waiting

    assert [(one.revision, one.requests, one.failures) for one in said.sides] == [(RevisionId("a"), 2, 1)]


def connected(plane: SocketDataPlane) -> bool:
    """Whether a worker is said to be here."""
    return any(said.connected for said in plane.signals(HELLO))


async def test_a_new_control_plane_is_told_everything(layout: Layout) -> None:
    """Also what has not changed since."""
    hello = worker_hello("hello")
    async with gateway_at(layout) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with FakeWorker(layout.worker_socket, hello, lambda _: b"1"):
            for _ in range(2):
                async with control(layout) as plane:
                    await eventually(partial(connected, plane))


async def test_signals_are_not_told_more_often_than_they_may_be(layout: Layout) -> None:
    """A burst of requests is a few reports, and the last of them is true."""
    settings = dataclasses.replace(FAST, signal_interval=0.5)
    told: list[int] = []
    began = asyncio.get_running_loop().time()
    async with gateway_at(layout, settings) as running:
        running.serve(jobs_route("hello"))
        reader, writer = await asyncio.open_unix_connection(str(layout.dataplane_socket))
        for _ in range(30):
            await running.post("/v2/hello/run", {"input": {}})
        decoder = FrameDecoder()
        async with asyncio.timeout(60):
            while 30 not in told:
                messages = map(from_frame, decoder.feed(await reader.read(1 << 16)))
                told += [message.signals["queued"] for message in messages if isinstance(message, Signals)]
        writer.close()

    assert len(told) <= 3 + (asyncio.get_running_loop().time() - began) / settings.signal_interval, told


async def test_what_an_endpoint_begins_to_wait_for_is_told_at_once(layout: Layout) -> None:
    """Whatever else was told a moment ago: of other endpoints, and of this one's own last replica."""
    settings = dataclasses.replace(FAST, signal_interval=600.0)
    async with gateway_at(layout, settings) as running, control(layout) as plane:
        await eventually(plane.gateways)
        running.serve(*(jobs_route(name) for name in ("busy", "hello")))
        await eventually(lambda: plane.signals(HELLO))
        for name in ("busy", "busy", "hello"):
            await running.post(f"/v2/{name}/run", {"input": {}})

        await eventually(lambda: [said.queued for said in plane.signals(HELLO)] == [1])
