"""Policies that go by the body of a request: what they are shown, when, and what happens around it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.gateway.conftest import LeastBusy, Policies, Running, eventually, http_replica, http_route, side

from flashcore.gateway.table import TableRefused
from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest
from flashcore.model.layout import Layout
from flashcore.model.parts import PartRef


class ByBody(LeastBusy):
    """Goes by the first byte; remembers what it was shown."""

    body_need = BodyNeed.START
    body_limit = 4

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[bytes, int | None]] = []

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """The same candidate for the same first byte."""
        self.shown.append((request.body_start, request.body_length))
        return candidates[sum(request.body_start[:1]) % len(candidates)]


class ByLength(ByBody):
    """Goes by how long it is."""

    body_need = BodyNeed.LENGTH
    body_limit = 0


class Senseless(LeastBusy):
    """Says nonsense of what it needs."""

    body_need = BodyNeed.START
    body_limit = 0


class Unwilling(LeastBusy):
    """Fails when it is asked what it needs."""

    @property
    def body_need(self) -> BodyNeed:  # type: ignore[override]  # that it fails is the point
        """Raises."""
        raise ZeroDivisionError("a mistake")


class Mistyped(LeastBusy):
    """Says its need by a word."""

    body_need = "start"  # type: ignore[assignment]  # that it is wrong is the point


KINDS = {
    "by_body": ByBody,
    "by_length": ByLength,
    "senseless": Senseless,
    "unwilling": Unwilling,
    "mistyped": Mistyped,
}


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The policies of this file, beside the others."""
    monkeypatch.setattr(Policies, "kinds", {**Policies.kinds, **KINDS})


def policy_of(running: Running) -> ByBody:
    """The one that serves the endpoint."""
    routing = running.gateway.live.routes.http["web"].routing
    assert routing is not None
    assert isinstance(routing.policy, ByBody)
    return routing.policy


@asynccontextmanager
async def connection(running: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client that says itself when it sends what."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.gateway.url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_equal_beginnings_go_to_one_replica_and_others_elsewhere(running: Running, layout: Layout) -> None:
    """What comes behind the beginning does not count."""
    async with http_replica(layout, "a") as first, http_replica(layout, "b") as second:
        running.serve(http_route("web", side(first.route, second.route), routing=PartRef("by_body")))

        answers = [await running.post("/web/", b"%c%d" % (number % 2, number)) for number in range(10)]

    by_beginning = Counter((number % 2, answer.json["replica"]) for number, answer in enumerate(answers))
    assert by_beginning == {(0, "a"): 5, (1, "b"): 5}


async def test_a_policy_is_shown_no_more_than_it_asks_for(running: Running, layout: Layout) -> None:
    """Its limit cuts what came in one piece; the length is that of all of it, and 0 where there is nothing."""
    async with http_replica(layout, "a") as replica:
        running.serve(http_route("web", side(replica.route), routing=PartRef("by_body")))

        await running.post("/web/", b"123456")
        await running.post("/web/", b"12")
        await running.get("/web/")

    assert policy_of(running).shown == [(b"1234", 6), (b"12", 2), (b"", 0)]


async def test_the_length_of_a_chunked_body_is_found_out(running: Running, layout: Layout) -> None:
    """Where it ends soon enough; the policy gets no bytes of it."""
    async with http_replica(layout, "a") as replica:
        running.serve(http_route("web", side(replica.route), routing=PartRef("by_length")))

        async with connection(running) as (reader, writer):
            writer.write(b"POST /web/ HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await eventually(lambda: running.gateway.http.busy_count)
            writer.write(b"2\r\nde\r\n0\r\n\r\n")
            await reader.readuntil(b"}")

    assert policy_of(running).shown == [(b"", 5)]


async def test_a_length_that_is_stated_is_not_waited_for(running: Running, layout: Layout) -> None:
    """The choice is made with the head."""
    async with http_replica(layout, "a") as replica:
        running.serve(http_route("web", side(replica.route), routing=PartRef("by_length")))

        async with connection(running) as (_, writer):
            writer.write(b"POST /web/ HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
            await eventually(lambda: policy_of(running).shown)

    assert policy_of(running).shown == [(b"", 1_000_000)]


async def test_a_replica_that_is_not_known_yet_takes_no_place(running: Running, layout: Layout) -> None:
    """While the start of the body is waited for nothing is in flight; a client that leaves has cost nobody anything."""
    async with http_replica(layout, "a", concurrency=1) as replica:
        running.serve(http_route("web", side(replica.route), routing=PartRef("by_body")))
        async with connection(running) as (_, writer):
            writer.write(b"POST /web/ HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n12")
            await eventually(lambda: running.gateway.http.busy_count)

            meanwhile = await running.post("/web/", b"1234")

        await eventually(lambda: running.gateway.http.busy_count == 0)
        assert meanwhile.status == 200

    service = running.gateway.live.routes.http["web"]
    assert service.routing is not None
    assert [target.candidate.in_flight for target in service.routing.targets] == [0]
    assert policy_of(running).shown == [(b"1234", 4)]


async def test_a_request_that_waits_in_line_is_chosen_for_by_what_was_shown(running: Running, layout: Layout) -> None:
    """It was read before it was held, and is not read again."""
    async with http_replica(layout, "a") as first, http_replica(layout, "b") as second:
        route = http_route("web", side(first.route, second.route), routing=PartRef("by_body"))
        running.serve(dataclasses.replace(route, held=True))
        service = running.gateway.live.routes.http["web"]
        call = asyncio.create_task(running.post("/web/", b"\x01" + b"1234567"))
        await eventually(lambda: len(service.room) == 1)

        running.serve(route)

        assert (await call).json["replica"] == "b"
    assert policy_of(running).shown == [(b"\x01" + b"123", 8)]


async def test_another_replica_is_asked_by_the_same_beginning(running: Running, layout: Layout) -> None:
    """The policy is shown it again, and the next replica gets the whole body."""
    async with http_replica(layout, "a") as first, http_replica(layout, "b") as second:
        running.serve(http_route("web", side(first.route, second.route), routing=PartRef("by_body")))
        first.status = 421

        answer = await running.post("/web/", b"\x00" + b"1234567")

    assert (answer.json["replica"], second.seen[0].body) == ("b", b"\x00" + b"1234567")
    assert policy_of(running).shown == [(b"\x00" + b"123", 8)] * 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("senseless", "its body_limit is 0, where BodyNeed.START takes a number of bytes"),
        ("unwilling", "ZeroDivisionError: a mistake"),
        ("mistyped", "its body_need is 'start', which is no BodyNeed"),
    ],
)
async def test_a_policy_that_does_not_say_what_it_needs_is_refused(running: Running, name: str, reason: str) -> None:
    """With the table that names it: nobody could serve by it."""
    with pytest.raises(TableRefused, match=r"endpoint web: .* does not say what it needs of a body") as refused:
        running.serve(http_route("web", routing=PartRef(name)))

    assert reason in refused.value.message
