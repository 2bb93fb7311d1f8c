"""Giving a gateway's listening sockets to the process that will start the next one, and its place to that one.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from flashcore.gateway.security import is_loopback
from flashcore.model.errors import Refused

_log = logging.getLogger(__name__)

_MOST = 16
_LONGEST = 4096
_ANSWER_SECONDS = 2.0
_RETIRE = b"retire"
_DOES = b"retires"


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

    @property
    def from_outside(self) -> str | None:
        """The address for programs of other machines; None where none is listened at."""
        descriptors = self.encrypted or self.plain
        if not descriptors or is_loopback(self.host):
            return None
        with socket.socket(fileno=os.dup(descriptors[0])) as listening:
            port = listening.getsockname()[1]
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.encrypted else 'http'}://{shown}:{port}"


class Handover:
    """A gateway's side: gives `listeners` to everybody who connects at `path`; calls `retire` where one asks for it.

    Where that raises OSError or Refused the gateway goes on, and who asks is told why.
    """

    def __init__(self, path: Path, listeners: Callable[[], Listeners], retire: Callable[[], None]) -> None:
        self._path = path
        self._listeners = listeners
        self._retire = retire
        self._socket = socket.socket(socket.AF_UNIX)
        self._hearing: set[asyncio.Task[None]] = set()

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
            for task in self._hearing:
                task.cancel()
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    def _give(self) -> None:
        given = self._listeners()
        try:
            connection, _ = self._socket.accept()
            try:
                connection.setblocking(False)
                shown = {"host": given.host, "encrypted": len(given.encrypted), "plain": len(given.plain)}
                socket.send_fds(connection, [json.dumps({**shown, "retires": True}).encode()], list(given.all))
            except OSError:
                connection.close()
                raise
        except OSError as error:
            _log.warning("the listening sockets could not be given away: %s", error)
        else:
            task = asyncio.get_running_loop().create_task(self._hear(connection))
            self._hearing.add(task)
            task.add_done_callback(self._hearing.discard)

    async def _hear(self, connection: socket.socket) -> None:
        """Who takes the sockets may want more than those."""
        with connection, contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                said = await asyncio.get_running_loop().sock_recv(connection, len(_RETIRE))
            if said == _RETIRE:
                connection.send(self._answer_to_wish())

    def _answer_to_wish(self) -> bytes:
        try:
            self._retire()
        except (OSError, Refused) as error:
            _log.error("this gateway goes on: it cannot say that it retires (%s)", error)
            return str(error).encode()[:_LONGEST]
        return _DOES


def ask_for_listeners(path: Path) -> Listeners | None:
    """The sockets of the gateway that gives them away at `path`; None where none does. Blocks for 2 s at most."""
    with _connected(path) as connection:
        answer = None if connection is None else _answer(connection)
    return None if answer is None else answer[0]


class Heard(Enum):
    """What became of the wish that a gateway retires."""

    YES = "yes"
    """It does: it has given up its place once the environment's lock is free."""
    NOT_UNDERSTOOD = "not understood"
    """It is of a version that cannot."""
    NOT = "not"
    """There is none, or it hangs, or ends already."""


def ask_to_retire(path: Path) -> Heard:
    """Ask the gateway at `path` for its place. Blocks for some seconds at most. Raises Refused where it cannot."""
    with _connected(path) as connection:
        answer = None if connection is None else _answer(connection)
        if connection is None or answer is None:
            return Heard.NOT
        given, retires = answer
        for descriptor in given.all:  # whoever starts a gateway has them already
            os.close(descriptor)
        if not retires:
            return Heard.NOT_UNDERSTOOD
        try:
            connection.sendall(_RETIRE)
            said = connection.recv(_LONGEST)
        except OSError:
            return Heard.NOT
    if said not in (_DOES, b""):
        raise Refused(
            f"the gateway that runs cannot retire, and goes on: {said.decode(errors='replace')}",
            next_step="mend that, then replace it again",
        )
    return Heard.YES


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[socket.socket | None]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(str(path))
        except OSError:
            yield None
        else:
            yield connection


def _answer(connection: socket.socket) -> tuple[Listeners, bool] | None:
    """The sockets, which are the caller's to close, and whether the gateway can be asked to retire."""
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, _LONGEST, _MOST)
    except OSError:
        return None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    answer = _read(data, descriptors)
    if answer is None:
        for descriptor in descriptors:  # nobody would close them
            os.close(descriptor)
    return answer


def _read(data: bytes, descriptors: list[int]) -> tuple[Listeners, bool] | None:
    """None where what is said does not fit what came: a process may have too many descriptors to be given more."""
    try:
        said = json.loads(data)
        host, encrypted, plain = str(said["host"]), int(said["encrypted"]), int(said["plain"])
        retires = said.get("retires") is True
    except (ValueError, KeyError, TypeError):
        return None
    if len(descriptors) != encrypted + plain:
        return None
    return Listeners(host, tuple(descriptors[:encrypted]), tuple(descriptors[encrypted:])), retires
