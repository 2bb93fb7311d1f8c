"""Ports for tests that have to name one beforehand."""

import random
import socket

_CANDIDATES = range(10_000, 30_000)
"""Below those that the system gives by itself to whoever connects or listens, which might come between."""


def free_port(count: int = 1) -> int:
    """One of this machine's own that nobody listens at, nor at the `count - 1` that follow it."""
    while True:
        port = random.choice(_CANDIDATES)
        if all(map(_is_free, range(port, port + count))):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0
