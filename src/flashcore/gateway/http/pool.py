"""Connections to replicas: opened when none is free, kept while they are likely to be needed."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Task
from collections import deque

from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.plain import PlainHeads
from flashcore.gateway.http.route import Address, UnixAddress
from flashcore.gateway.http.upstream import UpstreamConnection


class UpstreamPool:
    """The connections of one server to all replicas, by address."""

    def __init__(self, loop: AbstractEventLoop, limits: Limits) -> None:
        self._loop = loop
        self.limits = limits
        self.plain = PlainHeads()
        self._idle: dict[Address, deque[UpstreamConnection]] = {}
        self._open: set[UpstreamConnection] = set()

    def take(self, address: Address) -> UpstreamConnection | None:
        """The connection that was used last: the least likely to be closed by the other side meanwhile."""
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()
            if not connection.is_closed:
                return connection
        return None

    def connect(self, address: Address) -> Task[UpstreamConnection]:
        """Open another connection. The task raises OSError or TimeoutError."""
        return self._loop.create_task(self._connect(address))

    def keep(self, connection: UpstreamConnection) -> None:
        """Take back a connection that nobody uses."""
        idle = self._idle.get(connection.address)
        if idle is None:
            idle = self._idle[connection.address] = deque()
        connection.idle_since = self._loop.time()
        idle.append(connection)
        if len(idle) > self.limits.upstream_idle_count:
            idle.popleft().drop()

    def sweep(self, now: float) -> None:
        """Close what has not been used for a while, and what does not take what it is sent."""
        for connection in [each for each in self._open if each.outflow.is_stuck(now)]:
            connection.fail(TimeoutError(f"the replica took nothing for {self.limits.write_seconds:g} s"))
        oldest = now - self.limits.upstream_idle_seconds
        for address, idle in list(self._idle.items()):
            while idle and idle[0].idle_since < oldest:
                idle.popleft().drop()
            if not idle:
                del self._idle[address]

    def close(self) -> None:
        """Close every connection, used or not."""
        self._idle.clear()
        for connection in list(self._open):
            connection.drop()

    def remember(self, connection: UpstreamConnection) -> None:
        """Count a connection as open."""
        self._open.add(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """Drop a connection that is closed."""
        self._open.discard(connection)
        idle = self._idle.get(connection.address)
        if idle and connection in idle:
            idle.remove(connection)

    def now(self) -> float:
        """The loop's clock."""
        return self._loop.time()

    def idle_count(self, address: Address) -> int:
        """How many unused connections to `address` are kept."""
        return len(self._idle.get(address, ()))

    @property
    def open_count(self) -> int:
        """How many connections there are, used or not."""
        return len(self._open)

    async def _connect(self, address: Address) -> UpstreamConnection:
        def make() -> UpstreamConnection:
            return UpstreamConnection(address, self)

        async with asyncio.timeout(self.limits.connect_seconds):
            if isinstance(address, UnixAddress):
                _, connection = await self._loop.create_unix_connection(make, address.path)
            else:
                _, connection = await self._loop.create_connection(make, address.host, address.port)
        return connection
