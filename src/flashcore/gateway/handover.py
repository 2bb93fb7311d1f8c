"""Giving a gateway's listening sockets to the process that will start the next one.

Connections that come while no gateway runs then wait in the sockets' queues, and are not refused. The socket on which
they are given away lies in a folder that only this user can look into.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)

_MOST = 16
_ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Listeners:
    """Listening sockets, by descriptor; whoever has them closes them."""

    host: str
    """What the gateway was told to listen at."""
    encrypted: tuple[int, ...] = ()
    """Those on which TLS is spoken."""
    plain: tuple[int, ...] = ()

    @property
    def all(self) -> tuple[int, ...]:
        """All of them."""
        return (*self.encrypted, *self.plain)


class Handover:
    """A gateway's side: gives `listeners` to everybody who connects at `path`."""

    def __init__(self, path: Path, listeners: Callable[[], Listeners]) -> None:
        self._path = path
        self._listeners = listeners
        self._socket = socket.socket(socket.AF_UNIX)

    def start(self) -> None:
        """Begin, in place of a socket that another gateway left. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._socket.bind(str(self._path))
        self._path.chmod(0o600)
        self._socket.setblocking(False)
        self._socket.listen(8)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._give)

    def close(self) -> None:
        """Give nothing away any more."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    def _give(self) -> None:
        given = self._listeners()
        try:
            connection, _ = self._socket.accept()
            with connection:
                shown = {"host": given.host, "encrypted": len(given.encrypted), "plain": len(given.plain)}
                socket.send_fds(connection, [json.dumps(shown).encode()], list(given.all))
        except OSError as error:
            _log.warning("the listening sockets could not be given away: %s", error)


def ask_for_listeners(path: Path) -> Listeners | None:
    """The sockets of the gateway that gives them away at `path`; None where none does. Blocks for 2 s at most."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(str(path))
            data, descriptors, _, _ = socket.recv_fds(connection, 4096, _MOST)
        except OSError:
            return None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    given = _read(data, descriptors)
    if given is None:
        for descriptor in descriptors:  # nobody would close them
            os.close(descriptor)
    return given


def _read(data: bytes, descriptors: list[int]) -> Listeners | None:
    """None where what is said does not fit what came: a process may have too many descriptors to be given more."""
    try:
        said = json.loads(data)
        host, encrypted, plain = str(said["host"]), int(said["encrypted"]), int(said["plain"])
    except (ValueError, KeyError, TypeError):
        return None
    if len(descriptors) != encrypted + plain:
        return None
    return Listeners(host, tuple(descriptors[:encrypted]), tuple(descriptors[encrypted:]))
