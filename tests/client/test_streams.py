"""Answers of any framing, cut anywhere on their way, as the awaiting client takes them."""

from __future__ import annotations

import asyncio

import pytest

from flashcore.client.address import Address
from flashcore.client.exchange import Request, Response
from flashcore.client.streams import Connection

NOWHERE = Address(secure=False, host="gateway", port=80)
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Line(asyncio.Transport):
    """A transport that takes everything and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        """Nobody reads it."""

    def is_closing(self) -> bool:
        """Whether it was ended."""
        return self.aborted

    def abort(self) -> None:
        """End it."""
        self.aborted = True


def feed(connection: Connection, data: bytes) -> None:
    """What the loop does with bytes that came."""
    while data:
        buffer = memoryview(connection.get_buffer(-1)).cast("B")
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        connection.buffer_updated(count)
        data = data[count:]


async def ask(connection: Connection, *pieces: bytes, method: str = "GET") -> Response:
    """One exchange whose answer comes in these pieces."""
    asking = asyncio.create_task(connection.exchange(NOWHERE, Request(method, "/")))
    await asyncio.sleep(0)
    for piece in pieces:
        feed(connection, piece)
    async with asyncio.timeout(60):
        return await asking


@pytest.mark.parametrize(
    ("raw", "body", "method"),
    [
        (CHUNKED + b"0\r\n\r\n", b"", "GET"),
        (CHUNKED + b"0\r\nx-sum: 1\r\n\r\n", b"", "GET"),
        (CHUNKED + b"0;ext=1\r\n\r\n", b"", "GET"),
        (CHUNKED + b"3\r\nabc\r\n2\r\n\r\n\r\n0\r\n\r\n", b"abc\r\n", "GET"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", "GET"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", b"abc", "GET"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", "GET"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"", "HEAD"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"0\r\n\r\n", b"", "GET"),
    ],
    ids=[
        "no chunk",
        "no chunk but a trailer",
        "no chunk but an extension",
        "chunks",
        "no length",
        "a length",
        "no content",
        "only a head",
        "an interim answer before",
    ],
)
async def test_an_answer_is_whole_wherever_it_was_cut(raw: bytes, body: bytes, method: str) -> None:
    """An empty body in chunks, too; the connection is good for the next answer, which begins where this one ended."""
    connection = Connection()
    line = Line()
    connection.connection_made(line)
    for cut in range(1, len(raw) + 1):
        response = await ask(connection, raw[:cut], raw[cut:], method=method)

        assert (bytes(response.body), connection.reusable) == (body, True), cut
    assert not line.aborted


async def test_what_comes_behind_an_answer_ends_the_connection() -> None:
    """Nobody asked for it: the next answer on that connection could be somebody else's."""
    connection = Connection()
    connection.connection_made(Line())

    response = await ask(connection, CHUNKED + b"0\r\n\r\nHTTP/1.1 200 OK\r\n")

    assert (bytes(response.body), connection.reusable) == (b"", False)


async def test_chunks_without_a_last_one_are_no_answer() -> None:
    """A connection that ends there was cut."""
    connection = Connection()
    connection.connection_made(Line())
    asking = asyncio.create_task(connection.exchange(NOWHERE, Request("GET", "/")))
    await asyncio.sleep(0)
    feed(connection, CHUNKED + b"3\r\nabc\r\n")
    connection.connection_lost(None)

    with pytest.raises(EOFError):
        await asking
