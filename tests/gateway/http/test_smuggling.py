"""What a replica sees is what was meant, request by request: nothing is hidden in another request's body or head."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.http.conftest import CountingRoute, Gateway
from tests.gateway.http.test_mangling import NOWHERE, OneRoute, Stage

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Meant:
    """One request as its sender means it."""

    method: bytes
    target: bytes
    body: bytes


class Reader:
    """An independent strict parser: collects what a replica would serve."""

    def __init__(self) -> None:
        self.seen: list[Meant] = []
        self._target = b""
        self._body = b""
        self._parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        """The next one."""
        self._target, self._body = b"", b""

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._target += url

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._body += body

    def on_message_complete(self) -> None:
        """It ends here."""
        self.seen.append(Meant(self._parser.get_method(), self._target, self._body))

    def feed(self, data: bytes) -> None:
        """Bytes that a replica gets."""
        self._parser.feed_data(data)


targets = st.text("abc/?=&%20", min_size=0, max_size=8).map(lambda text: b"/" + text.encode())
bodies = st.sampled_from(
    [b"", b"x", b"0\r\n\r\n", b"GET /admin HTTP/1.1\r\nhost: a\r\n\r\n", b"\r\n\r\n", b"a" * 70_000]
)
FIELDS = st.lists(
    st.sampled_from([b"x-a: 1\r\n", b"accept: */*\r\n", b"connection: keep-alive\r\n", b"connection: x-a\r\n",
                     b"content-type: text/plain; x=\"a, b\"\r\n", b"te: trailers\r\n", b"cookie: a=b\r\n"]), max_size=4,
).map(b"".join)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> tuple[Meant, bytes]:
    """A request that is as it should be, and its bytes."""
    meant = Meant(draw(st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE"])), draw(targets), draw(bodies))
    head = meant.method + b" " + meant.target + b" HTTP/1.1\r\nhost: a\r\n" + draw(FIELDS)
    if meant.body and draw(st.booleans()):
        size = draw(st.integers(1, len(meant.body)))
        pieces = [meant.body[:size], meant.body[size:]]
        framed = b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
        return meant, head + b"transfer-encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"
    if meant.body:
        head += b"content-length: %d\r\n" % len(meant.body)
    return meant, head + b"\r\n" + meant.body


AMBIGUOUS = [
    b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
    b"transfer-encoding: chunked\r\ncontent-length: 5\r\n",
    b"content-length: 5\r\ncontent-length: 6\r\n",
    b"content-length: +5\r\n",
    b"content-length: 5, 5\r\n",
    b"content-length: 0x5\r\n",
    b"content-length : 5\r\n",
    b"content-length:\r\n 5\r\n",
    b"transfer-encoding: xchunked\r\n",
    b"transfer-encoding: chunked, identity\r\n",
    b"transfer-encoding:\x0bchunked\r\n",
    b"transfer-encoding : chunked\r\n",
    b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
    b"x: y\r\n transfer-encoding: chunked\r\n",
    b"x: y\ntransfer-encoding: chunked\r\n",
    b"x: y\rtransfer-encoding: chunked\r\n",
    b"host: b\r\n",
]
"""Headers that two readers could understand in two ways."""


@pytest.mark.parametrize("fields", AMBIGUOUS)
async def test_what_can_be_read_in_two_ways_is_refused(gateway: Gateway, fields: bytes) -> None:
    """400 or 501, the connection ends, and no replica hears of it or of what follows."""
    route = gateway.route()
    wire = await gateway.connect()

    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\n" + fields + b"\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n")
    answer = await wire.answer()

    assert answer.status in (400, 501)
    assert answer.headers["connection"] == "close"
    assert await wire.ends()
    assert route.chosen == []


async def exchanged(data: bytes, cuts: list[int]) -> tuple[list[Meant], list[object]]:
    """What a replica sees of a client's bytes in these pieces, while it answers everything; and what failed."""
    stage = Stage(OneRoute(CountingRoute(("a", NOWHERE))))
    reader, done, answered = Reader(), 0, 0
    points = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
    for start, end in pairwise(points):
        stage.client.data_received(data[start:end])
        while True:
            reader.feed(stage.to_replica.written[done:])
            done = len(stage.to_replica.written)
            if answered == len(reader.seen) or stage.to_client.closing:
                break
            answered += 1
            stage.replica.data_received(ANSWER)
    stage.client.connection_lost(None)
    return reader.seen, stage.failures


@given(st.lists(requests(), max_size=4), st.lists(st.integers(0, 200_000), max_size=6))
def test_a_replica_sees_the_requests_that_were_meant(sent: list[tuple[Meant, bytes]], cuts: list[int]) -> None:
    """However they are framed and cut, and whatever their bodies look like."""
    seen, failures = asyncio.run(exchanged(b"".join(data for _, data in sent), cuts))

    assert failures == []
    assert seen == [meant for meant, _ in sent]


@given(
    st.lists(requests(), max_size=2),
    st.sampled_from(AMBIGUOUS),
    st.lists(requests(), max_size=2),
    st.lists(st.integers(0, 200_000), max_size=4),
)
def test_nothing_gets_past_an_ambiguous_request(
    before: list[tuple[Meant, bytes]], fields: bytes, after: list[tuple[Meant, bytes]], cuts: list[int]
) -> None:
    """What came before it is served; of it, and of what follows, no replica sees a byte."""
    bad = b"POST /bad HTTP/1.1\r\nhost: a\r\n" + fields + b"\r\n0\r\n\r\n"
    data = b"".join(data for _, data in before) + bad + b"".join(data for _, data in after)

    seen, failures = asyncio.run(exchanged(data, cuts))

    assert failures == []
    assert seen == [meant for meant, _ in before]


async def test_the_same_bytes_again_are_another_request(gateway: Gateway) -> None:
    """What is remembered of a head is not who asked: each has an id of its own, unless the client gave it one."""
    replica = await gateway.replica()
    gateway.route(replica)
    wire = await gateway.connect()
    own = b"GET / HTTP/1.1\r\nhost: a\r\nx-request-id: mine\r\n\r\n"
    ids = []

    for request in (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",) * 3 + (own,) * 2:
        await wire.send(request)
        ids.append((await wire.answer()).headers["x-request-id"])

    assert len(set(ids[:3])) == 3
    assert ids[3:] == ["mine", "mine"]
    assert [received.headers["x-request-id"] for received in replica.received] == ids
