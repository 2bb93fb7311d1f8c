"""Large bodies over a plain socket, in as few calls as it takes.

A socket of Python's that has a timeout asks before each piece whether it would block, and gets a piece at a time. Here
the kernel keeps the time, and fills or empties all of the memory in one call.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flashcore.wire.memory import memory_for
from flashcore.wire.seal import Bytes

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

LARGE = 1 << 20


def send_pieces(connection: HTTPConnection, pieces: tuple[Bytes, ...], timeout: float) -> None:
    """Send a request's body. `timeout` in seconds holds for each wait. Raises TimeoutError, OSError."""
    for piece in pieces:
        if len(piece) < LARGE or not _is_plain(connection.sock):
            connection.send(piece)
        else:
            with _kernel_keeps_time(connection.sock, socket.SO_SNDTIMEO, timeout):
                connection.sock.sendall(piece)


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
    with _kernel_keeps_time(sock, socket.SO_RCVTIMEO, timeout):
        while ahead < size:
            count = sock.recv_into(body[ahead:])
            if not count:
                raise _cut_off(size - ahead)
            ahead += count
    answer.length = 0
    answer.read()  # there is nothing left: this is how the connection becomes free for the next request
    return body


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
def _kernel_keeps_time(sock: socket.socket, option: int, seconds: float) -> Iterator[None]:
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), int(seconds % 1 * 1e6)))
    try:
        yield
    except BlockingIOError as error:
        raise TimeoutError("timed out") from error
    finally:
        sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 0, 0))
        sock.settimeout(seconds)
