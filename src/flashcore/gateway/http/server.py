"""Listening, keeping time, and stopping without dropping anybody."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
from asyncio import AbstractServer, TimerHandle
from collections.abc import Callable, Iterator
from email.utils import formatdate
from itertools import islice
from pathlib import Path

from flashcore.gateway.http.connection import ClientConnection
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.onward import Onward
from flashcore.gateway.http.pool import UpstreamPool
from flashcore.gateway.http.route import Dispatcher
from flashcore.gateway.http.shared import LAST_CALL, Shared

LOOKED_AT_ONCE = 500
"""Connections, whose deadlines take a fifth of a millisecond to look at."""

_BACKLOG = 2048
_ABORT_SECONDS = 5.0
_FAREWELL_SECONDS = 0.5
"""For the last answers to leave."""


class HttpServer:
    """The gateway's HTTP side: any number of listening sockets, one dispatcher, one pool of connections to replicas.

    Made within a running event loop, of uvloop or asyncio. `trusted_peers` are the addresses of proxies in front of the
    gateway whose X-Forwarded-* headers are believed. Bodies that are too large for memory are kept in `folder`.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        limits: Limits | None = None,
        trusted_peers: frozenset[str] = frozenset(),
        folder: Path | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        limits = limits or Limits()
        folder = folder or Path(tempfile.gettempdir())
        self._shared = Shared(loop, limits, dispatcher, UpstreamPool(loop, limits), trusted_peers, folder)
        self._servers: list[AbstractServer] = []
        self._encrypted: list[AbstractServer] = []
        self._timer: TimerHandle | None = None
        self._sweep()

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Accept connections on a TCP port, any free one where `port` is 0; returns the port. Raises OSError."""
        loop = self._shared.loop
        handshake = None if tls is None else self._shared.limits.head_seconds
        server = await loop.create_server(
            self._connection, host, port, backlog=_BACKLOG, ssl=tls, ssl_handshake_timeout=handshake
        )
        if tls is not None:
            self._encrypted.append(server)
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def listen_on(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections on a bound socket, TCP or Unix; from here on it is the server's to close."""
        loop = self._shared.loop
        handshake = None if tls is None else self._shared.limits.head_seconds
        if sock.family == socket.AF_UNIX:
            server: AbstractServer = await loop.create_unix_server(self._connection, sock=sock, backlog=_BACKLOG)
        else:
            server = await loop.create_server(
                self._connection, sock=sock, backlog=_BACKLOG, ssl=tls, ssl_handshake_timeout=handshake
            )
        if tls is not None:
            self._encrypted.append(server)
        self._servers.append(server)

    async def quiesce(self, front: Dispatcher, awaited: Callable[[RequestHead], bool], grace: float) -> int:
        """Have `front` dispatch from now on, each connection ending with its answer, and wait for what is under way.

        Waited for is what `awaited` holds for, `grace` seconds at most; returns how much of it is left. Tunnels are
        closed at once. Idle connections stay, since a request may be on its way that is to have an answer, and new ones
        are accepted: `reopen` undoes it, `close` ends it.
        """
        shared = self._shared
        shared.dispatcher, shared.closing = front, True
        for connection in list(shared.connections):
            connection.shut_tunnel()

        def left() -> int:
            return sum(head is not None and awaited(head) for head in (one.asked for one in shared.connections))

        await self._departed_within(grace, left)
        return left()

    def reopen(self, front: Dispatcher) -> None:
        """Go on as before `quiesce`, with `front`."""
        self._shared.dispatcher, self._shared.closing = front, False

    def give_way(self, onward: Onward) -> None:
        """Accept nothing more, and have all that no replica was sent yet go onward, from now on.

        What replicas are at goes on, tunnels as well; links, and whoever waits for the gateway itself, are the
        gateway's to end: `settle` waits for that. Answers end their connections. An idle one stays for a moment.
        """
        shared = self._shared
        shared.dispatcher = shared.onward = onward
        shared.closing = True
        self._stop_listening()
        until = shared.loop.time() + LAST_CALL
        for connection in list(shared.connections):
            connection.retire(until)

    async def settle(self, grace: float) -> int:
        """Wait until the gateway itself owes nobody anything, `grace` seconds at most; then tell who is left.

        Returns how many those were.
        """

        def left() -> list[ClientConnection]:
            return [connection for connection in self._shared.connections if connection.awaits_gateway]

        await self._departed_within(grace, lambda: len(left()))
        given_up = left()
        for connection in given_up:
            connection.give_up()
        return len(given_up)

    async def retire(self, grace: float) -> None:
        """Accept nothing more, and close what has nothing under way: idle connections, and tunnels (WebSockets).

        Nobody can say when those would end. A request may be on its way over an idle connection, whose client would see
        it lost: for a moment, and no longer than `grace` seconds, they stay, an answer says that it is the connection's
        last, and new ones are accepted. After `quiesce` all have been told already.
        """
        shared = self._shared
        if not shared.closing:
            shared.closing = True
            await self._departed_within(min(grace, shared.limits.parting_seconds), self._idle)
        self._stop_listening()
        for connection in list(shared.connections):
            connection.shut()

    async def emptied_within(self, seconds: float) -> bool:
        """Wait until no connection is left, `seconds` at most; whether that is so."""
        await self._departed_within(seconds, lambda: len(self._shared.connections))
        return not self._shared.connections

    async def close(self, grace: float) -> int:
        """`retire`, let requests under way finish for `grace` seconds, then abort what is left.

        Who waits for an answer at the end of the grace is told 504. Returns how many connections had to be given up.
        """
        shared = self._shared
        await self.retire(grace)
        await self.emptied_within(grace)
        aborted = len(shared.connections)
        for connection in list(shared.connections):
            connection.give_up()
        await self.emptied_within(_FAREWELL_SECONDS)
        for connection in list(shared.connections):
            connection.abort()
        await self.emptied_within(_ABORT_SECONDS)
        if shared.tasks:
            await asyncio.wait(shared.tasks, timeout=_ABORT_SECONDS)
        shared.pool.close()
        if self._timer is not None:
            self._timer.cancel()
        return aborted

    def descriptors(self, *, encrypted: bool) -> tuple[int, ...]:
        """Of the listening sockets on ports, those on which TLS is spoken or the others."""
        return tuple(
            sock.fileno()
            for server in self._servers
            if (server in self._encrypted) is encrypted
            for sock in getattr(server, "sockets", ())
            if sock.family != socket.AF_UNIX
        )

    @property
    def connections(self) -> tuple[ClientConnection, ...]:
        """Of clients, busy or idle, as they are now."""
        return tuple(self._shared.connections)

    @property
    def connection_count(self) -> int:
        """Client connections, busy or idle."""
        return len(self._shared.connections)

    @property
    def busy_count(self) -> int:
        """Client connections with a request under way."""
        return sum(connection.is_busy for connection in self._shared.connections)

    @property
    def refused(self) -> dict[str, int]:
        """Clients' messages that were refused, by the stable name of the reason."""
        return self._shared.refused

    @property
    def pool(self) -> UpstreamPool:
        """The connections to replicas."""
        return self._shared.pool

    def _connection(self) -> ClientConnection:
        return ClientConnection(self._shared)

    def _idle(self) -> int:
        """1 while there is a connection over which another request may come, else 0."""
        return any(connection.is_idle for connection in self._shared.connections)

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()

    async def _departed_within(self, seconds: float, left: Callable[[], int]) -> None:
        """Wait until none of those is left, `seconds` at most."""
        departed = self._shared.departed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while left():
                    departed.clear()
                    await departed.wait()

    def _sweep(self) -> None:
        shared = self._shared
        self._timer = shared.loop.call_later(shared.limits.sweep_seconds, self._sweep)
        shared.date_line = b"date: %b\r\n" % formatdate(usegmt=True).encode()
        now = shared.loop.time()
        shared.pool.sweep(now)
        self._look_at(iter(tuple(shared.connections)), now)

    def _look_at(self, connections: Iterator[ClientConnection], now: float) -> None:
        """A few connections at a time: between them requests are served, which ten thousand would hold up for long."""
        some = list(islice(connections, LOOKED_AT_ONCE))
        for connection in some:
            try:
                connection.sweep(now)
            except Exception as error:  # noqa: BLE001 - one connection's failure is no reason to watch over no other
                connection.crash(error)
        if len(some) == LOOKED_AT_ONCE:
            self._shared.loop.call_soon(self._look_at, connections, now)
