"""Large bodies: into their own memory and out of it, and what happens when the other side stops half-way."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from flashcore.client.exchange import Request, Response
from flashcore.client.transport import Transport
from flashcore.model.errors import DeadlineExceeded, Unavailable
from flashcore.wire import seal

SIZE = 6 << 20
BODY = bytes(range(256)) * (SIZE // 256)

Send = Callable[[str, Request], Response]


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server on loopback that does this with its only connection; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def read_request(connection: socket.socket, size: int) -> bytes:
    """The body of a request of so many bytes."""
    reader = connection.makefile("rb")
    while reader.readline().strip():
        pass
    return reader.read(size)


def head(size: int) -> bytes:
    """The head of an answer that holds a sealed body."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: {seal.MEDIA}\r\nContent-Length: {size}\r\n\r\n".encode()


def blocking(url: str, request: Request) -> Response:
    """Send it in this thread."""
    return Transport().send(url, request)


def awaited(url: str, request: Request) -> Response:
    """Send it on an event loop."""
    return asyncio.run(Transport().send_async(url, request))


both = pytest.mark.parametrize("send", [blocking, awaited])


@both
def test_large_bodies_go_and_come_whole(send: Send) -> None:
    """In pieces or in one, and again over the same connection when it is blocking."""

    def answer(connection: socket.socket) -> None:
        body = read_request(connection, SIZE + 5)
        connection.sendall(head(len(body)) + body)

    with serving(answer) as url:
        response = send(url, Request("POST", "/x", [b"small", memoryview(BODY)]))

    assert response.memory is not None
    assert response.memory == b"small" + BODY
    assert not response.memory.readonly


@both
def test_an_answer_that_is_cut_off_is_an_error(send: Send) -> None:
    """The caller never gets half of an array."""

    def answer(connection: socket.socket) -> None:
        read_request(connection, 0)
        connection.sendall(head(SIZE) + BODY[:-1])

    with serving(answer) as url, pytest.raises(Unavailable, match=r"broke during GET /x"):
        send(url, Request("GET", "/x"))


@both
@pytest.mark.parametrize("reads", [False, True])
def test_somebody_who_stands_still_is_not_waited_for_longer_than_was_said(send: Send, *, reads: bool) -> None:
    """While a large body goes out, and while one comes in."""
    done = threading.Event()

    def answer(connection: socket.socket) -> None:
        if reads:
            read_request(connection, SIZE)
            connection.sendall(head(SIZE) + BODY[: SIZE // 2])
        done.wait(20)

    with serving(answer) as url:
        try:
            with pytest.raises(DeadlineExceeded, match="did not answer POST /x within"):
                send(url, Request("POST", "/x", memoryview(BODY * (1 if reads else 4)), timeout=0.3))
        finally:
            done.set()


async def test_a_refusal_ends_the_sending() -> None:
    """A server that says no, and hangs up without reading the rest, is heard."""

    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")

    with serving(answer) as url:
        try:
            response = await Transport().send_async(url, Request("POST", "/x", memoryview(BODY)))
        except Unavailable:
            return  # the system may drop what was received when it sees the reset

    assert (response.status, response.body) == (413, b"no")


@pytest.mark.parametrize("way", ["sending", "receiving"])
def test_signals_do_not_make_a_call_wait_for_longer(way: str) -> None:
    """As those of a profiler, of which one comes before each wait is over."""
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        if way == "receiving":
            read_request(connection, 0)
            connection.sendall(head(SIZE) + BODY[: SIZE // 2])
        over.wait(60)

    before = signal.signal(signal.SIGALRM, lambda *_: None)
    body = [memoryview(BODY * 8)] if way == "sending" else None
    with serving(answer) as url:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        try:
            with pytest.raises(DeadlineExceeded):
                blocking(url, Request("POST", "/x", body, timeout=1.0))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            over.set()
