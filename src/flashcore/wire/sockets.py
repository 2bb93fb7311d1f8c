"""Sockets between processes of one machine."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

ROOM = 1 << 20
"""Bytes that may be on their way in a Unix socket.

As it comes from the kernel it holds 200 kB: writer and reader take turns 400 times over 100 MB, and each turn waits for
a processor. The kernel gives less where the machine's `net.core.wmem_max` says so, and memory only for what is inside.
"""


def give_room(transport: Any) -> None:
    """Let a connection over a Unix socket take large bodies in large pieces; nothing else is changed."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family == socket.AF_UNIX:
        with contextlib.suppress(OSError):  # it is gone already, which is soon seen
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
