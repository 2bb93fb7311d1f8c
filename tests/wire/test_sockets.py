"""Connections that large bodies go over."""

import socket

from flashcore.wire.memory import memory_for
from flashcore.wire.sockets import give_room


class Transport:
    """What is asked of an event loop's transport."""

    def __init__(self, sock: socket.socket | None) -> None:
        self.sock = sock

    def get_extra_info(self, name: str) -> socket.socket | None:
        """The socket."""
        assert name == "socket"
        return self.sock


def test_a_unix_socket_gets_room_for_large_pieces() -> None:
    """More than it has by itself, wherever the machine lets it have more."""
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        before = one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        give_room(Transport(one))

        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= before
    give_room(Transport(one))  # closed: nothing to do
    give_room(Transport(None))


def test_other_sockets_are_left_as_they_are() -> None:
    """TCP finds its own measure."""
    with socket.socket(socket.AF_INET) as sock:
        before = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        give_room(Transport(sock))

        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == before


def test_memory_is_as_large_as_was_asked_and_can_be_written_to() -> None:
    """Small and large."""
    for size in (0, 10, 5 << 20):
        memory = memory_for(size)
        memory[: size // 2] = b"x" * (size // 2)

        assert (len(memory), memory.readonly) == (size, False)
