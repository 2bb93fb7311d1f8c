"""Messages on a connection of ours: in their order, together where nobody waits for the first."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from flashcore.gateway.connections import MessageConnection
from flashcore.model.job import Payload
from flashcore.model.names import JobId
from flashcore.wire.frames import FrameDecoder
from flashcore.wire.messages import Assignment, Message, Received, Stop, Work, from_frame

RECEIPT, STOP = Received((JobId("a"),)), Stop((JobId("b"),))


def work_on(job: str) -> Work:
    """One job."""
    return Work((Assignment(JobId(job), 1, 60.0, Payload(b"1")),))


class Speaking(MessageConnection):
    """An end that only speaks."""

    def take(self, message: Message) -> None:
        """Nothing comes."""

    def ended(self) -> None:
        """Nobody asks."""


class Peer:
    """The other end."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._frames = FrameDecoder()

    async def next(self) -> list[Message]:
        """What comes together next; nothing at the end."""
        data = await asyncio.get_running_loop().sock_recv(self._sock, 1 << 16)
        return [from_frame(frame) for frame in self._frames.feed(data)]


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Speaking, Peer]]:
    """Two ends of one connection."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    _, connection = await asyncio.get_running_loop().connect_accepted_socket(Speaking, ours)
    yield connection, Peer(theirs)
    connection.abort()
    theirs.close()


async def test_what_nobody_waits_for_goes_with_the_next_message(ends: tuple[Speaking, Peer]) -> None:
    """Before it, and in one piece with it: the peer is woken once."""
    connection, peer = ends
    connection.send_soon(RECEIPT)
    connection.send(STOP)

    assert await peer.next() == [RECEIPT, STOP]


async def test_work_goes_ahead_of_receipts_of_other_jobs(ends: tuple[Speaking, Peer]) -> None:
    """A caller waits for it. The receipts follow together: the peer is woken once for all of them."""
    connection, peer = ends
    connection.send_soon(RECEIPT)
    connection.send(work_on("b"))
    connection.send_soon(Received((JobId("b"),)))

    assert await peer.next() == [work_on("b")]
    assert await peer.next() == [Received((JobId("a"), JobId("b")))]


async def test_the_receipt_of_a_job_goes_before_more_work_on_it(ends: tuple[Speaking, Peer]) -> None:
    """A worker takes no job of which it has a result that it may have to send again."""
    connection, peer = ends
    connection.send_soon(RECEIPT)
    connection.send(work_on("a"))

    assert await peer.next() == [RECEIPT, work_on("a")]


async def test_what_nobody_waits_for_goes_alone_when_nothing_follows(ends: tuple[Speaking, Peer]) -> None:
    """In moments, and so does what comes later."""
    connection, peer = ends
    for _ in range(2):
        connection.send_soon(RECEIPT)
        assert await peer.next() == [RECEIPT]


async def test_what_is_held_is_sent_before_the_end(ends: tuple[Speaking, Peer]) -> None:
    """A connection that is closed says first what it was told to say."""
    connection, peer = ends
    connection.send_soon(RECEIPT)
    connection.close()

    assert await peer.next() == [RECEIPT]
    assert await peer.next() == []
