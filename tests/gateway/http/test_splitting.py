"""The same bytes mean the same wherever they are cut: in a segment of one byte or all at once."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.http.conftest import Desk, Memory

from flashcore.gateway.http.connection import ClientConnection
from flashcore.gateway.http.errors import BadFraming
from flashcore.gateway.http.head import ResponseHead
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.pool import UpstreamPool
from flashcore.gateway.http.route import UnixAddress
from flashcore.gateway.http.shared import Shared
from flashcore.gateway.http.upstream import UpstreamConnection


def pieces_of(data: bytes, points: list[int]) -> list[bytes]:
    """`data` cut wherever a point falls."""
    places = sorted({point % (len(data) + 1) for point in points} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


REQUESTS = st.lists(
    st.sampled_from(
        [
            b"GET /a HTTP/1.1\r\nhost: x\r\nx-request-id: r\r\n\r\n",
            b"\r\nGET /b HTTP/1.1\r\nhost: x\r\nx-request-id: r\r\naccept: */*\r\n\r\n",
            b"POST /c HTTP/1.1\r\nhost: x\r\nx-request-id: r\r\ncontent-length: 5\r\n\r\nhello",
            b"POST /d HTTP/1.1\r\nhost: x\r\nx-request-id: r\r\ncontent-length: 0\r\n\r\n",
            (
                b"POST /e HTTP/1.1\r\nhost: x\r\nx-request-id: r\r\ntransfer-encoding: chunked\r\n\r\n"
                b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nt: u\r\n\r\n"
            ),
            b"HEAD /f HTTP/1.1\r\nhost: x\r\nx-request-id: r\r\n\r\n",
            b"GET /g HTTP/1.0\r\nx-request-id: r\r\nconnection: keep-alive\r\n\r\n",
            b"GET /h HTTP/1.1\r\nhost: x\r\nx-request-id: r\r\nconnection: close\r\n\r\n",
            b"GET /bad HTTP/1.1\r\nhost: x\r\nfolded: a\r\n b\r\n\r\n",
            b"POST /bad HTTP/1.1\r\nhost: x\r\nx-request-id: r\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n",
            b"rubbish\r\n\r\n",
        ]
    ),
    max_size=5,
).map(b"".join)
POINTS = st.lists(st.integers(min_value=0, max_value=5_000), max_size=20)


async def served(pieces: list[bytes]) -> tuple[bytes, list[bytes]]:
    """What a client is answered, and which paths were asked for."""
    loop, limits, desk = asyncio.get_running_loop(), Limits(), Desk()
    connection = ClientConnection(Shared(loop, limits, desk, UpstreamPool(loop, limits), frozenset(), Path()))
    transport = Memory()
    connection.connection_made(transport)
    for piece in pieces:
        connection.data_received(piece)
    connection.connection_lost(None)
    return transport.written, [head.path for head, _ in desk.seen]


@given(REQUESTS, POINTS)
def test_requests_are_answered_the_same_however_they_are_cut(data: bytes, points: list[int]) -> None:
    """Answers, refusals and all."""
    whole = asyncio.run(served([data] if data else []))

    assert asyncio.run(served(pieces_of(data, points))) == whole
    assert asyncio.run(served([data[at : at + 1] for at in range(len(data))])) == whole


class Listener:
    """An exchange that writes down what a replica's connection tells it."""

    request_done = True

    def __init__(self) -> None:
        self.events: list[object] = []
        self.body = b""
        self.ended: object = "not yet"

    def interim(self, head: ResponseHead) -> None:
        """A 1xx."""
        self.events.append(head.status)

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        """A 101."""
        self.events.append((head.status, list(head.lines)))

    def answer(self, head: ResponseHead, piece: bytes, done: bool) -> None:  # noqa: FBT001 - see Asker.answer
        """The real one."""
        self.events.append((head.status, list(head.lines)))
        self.answer_more(piece, done)

    def answer_more(self, piece: bytes, done: bool) -> None:  # noqa: FBT001 - see Asker.answer_more
        """More of it."""
        self.body += piece
        self.ended = "complete" if done else self.ended

    def lost(self, error: Exception | None) -> None:
        """Not all of it."""
        self.ended = type(error)

    def hold_upload(self) -> None:
        """Nothing is uploaded."""

    def release_upload(self) -> None:
        """Nothing is uploaded."""


ANSWERS = st.tuples(
    st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"]),
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nup to the end",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nfolded: a\r\n b\r\n\r\n",
            b"rubbish\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-",
        ]
    ),
    st.sampled_from([b"", b"", b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"]),
).map(b"".join)


async def heard(pieces: list[bytes]) -> tuple[list[object], bytes, object, bool]:
    """What an exchange is told of an answer, and whether the connection is kept afterwards."""
    pool = UpstreamPool(asyncio.get_running_loop(), Limits())
    address = UnixAddress("nowhere")
    connection = UpstreamConnection(address, pool)
    connection.connection_made(Memory())
    listener = Listener()
    connection.ask(listener, b"GET", b"")
    for piece in pieces:
        connection.data_received(piece)
    kept = pool.take(address) is not None
    connection.connection_lost(None)
    return listener.events, listener.body, listener.ended, kept


async def test_a_connection_is_not_given_back_while_it_is_held() -> None:
    """An interim answer was one too many for a slow client; the real one came in the same segment."""

    class Slow(Listener):
        def interim(self, head: ResponseHead) -> None:
            super().interim(head)
            connection.hold()

    pool = UpstreamPool(asyncio.get_running_loop(), Limits())
    connection = UpstreamConnection(UnixAddress("nowhere"), pool)
    connection.connection_made(transport := Memory())
    connection.ask(Slow(), b"GET", b"")

    connection.data_received(b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")

    assert pool.take(UnixAddress("nowhere")) is connection
    assert transport.reading


@given(ANSWERS, POINTS)
def test_answers_are_heard_the_same_however_they_are_cut(data: bytes, points: list[int]) -> None:
    """Heads, bodies, ends and losses; bytes behind an answer are nobody's and cost the connection."""
    whole = asyncio.run(heard([data]))
    cut = asyncio.run(heard(pieces_of(data, points)))
    by_byte = asyncio.run(heard([data[at : at + 1] for at in range(len(data))]))

    for other in (cut, by_byte):
        assert other[2:] == whole[2:]
        # How much was passed on before a break in the framing was seen may differ; that it broke may not.
        assert other[:2] == whole[:2] or whole[2] is BadFraming
