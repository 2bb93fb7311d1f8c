"""Large bodies over a plain socket, in as few calls as it takes.

A socket of Python's that has a timeout asks before each piece whether it would block. Here that is asked only once it
would. The kernel could keep the time as well, but begins anew after each signal.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flashcore.wire.memory import memory_for
from flashcore.wire.seal import Bytes

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

LARGE = 1 << 20

_LONGEST_WAIT = (1 << 31) - 1
"""Milliseconds that the kernel can be asked to wait."""


def send_pieces(connection: HTTPConnection, pieces: tuple[Bytes, ...], timeout: float) -> None:
    """Send a request's body. `timeout` in seconds holds for each wait. Raises TimeoutError, OSError."""
    for piece in pieces:
        if len(piece) < LARGE or not _is_plain(connection.sock):
            connection.send(piece)
        else:
            _send(connection.sock, piece, timeout)


def receive_body(connection: HTTPConnection, answer: HTTPResponse, timeout: float) -> memoryview:
    """The body of an answer whose length is known, in its own memory. Raises TimeoutError, OSError, EOFError."""
    size = answer.length or 0
    body = memory_for(size)
    sock = connection.sock
    if size < LARGE or sock is None or not _is_plain(sock):
        _fill(answer, body)
        return body
    # What was read together with the head is still in the reader's buffer; after it, the socket's own.
    ahead = min(size, len(answer.fp.peek()))
    _fill(answer, body[:ahead])
    with _at_once(sock, select.POLLIN, timeout) as wait:
        while ahead < size:
            try:
                count = sock.recv_into(body[ahead:])
            except BlockingIOError:
                wait()
                continue
            if not count:
                raise _cut_off(size - ahead)
            ahead += count
    answer.length = 0
    answer.read()  # there is nothing left: this is how the connection becomes free for the next request
    return body


def _send(sock: socket.socket, piece: Bytes, timeout: float) -> None:
    with memoryview(piece) as view, _at_once(sock, select.POLLOUT, timeout) as wait:
        sent = 0
        while sent < len(view):
            try:
                sent += sock.send(view[sent:])
            except BlockingIOError:
                wait()


def _fill(answer: HTTPResponse, memory: memoryview) -> None:
    filled = 0
    while filled < len(memory):
        count = answer.readinto(memory[filled:])
        if not count:
            raise _cut_off(len(memory) - filled)
        filled += count


def _cut_off(missing: int) -> EOFError:
    return EOFError(f"the answer ended {missing} bytes before its end")


def _is_plain(sock: socket.socket) -> bool:
    """Whether the kernel sends what it is given; not so under TLS."""
    return type(sock) is socket.socket


@contextmanager
def _at_once(sock: socket.socket, event: int, seconds: float) -> Iterator[Callable[[], None]]:
    """Do what can be done without waiting; what is given waits for more, or raises TimeoutError."""
    poll = select.poll()
    poll.register(sock, event)
    patience = min(seconds * 1000, _LONGEST_WAIT)

    def wait() -> None:
        if not poll.poll(patience):  # signals that come meanwhile take nothing from it, and add nothing
            raise TimeoutError("timed out")

    sock.settimeout(0.0)
    try:
        yield wait
    finally:
        sock.settimeout(seconds)
