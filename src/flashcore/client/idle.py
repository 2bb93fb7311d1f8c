"""Connections for awaited requests, kept per event loop while it runs, and the requests over them."""

from __future__ import annotations

import asyncio
import os
import select

from flashcore.client.address import Address
from flashcore.client.exchange import Request, Response
from flashcore.client.loop_end import LoopEnd
from flashcore.client.streams import Connection
from flashcore.client.transport import broken, connect_async, too_slow
from flashcore.model.errors import Unavailable

MOST_IDLE = 64
"""Connections to one address that are kept for the next requests."""


class LoopConnections:
    """Those of one event loop, in one process."""

    def __init__(self) -> None:
        self._idle: dict[Address, list[tuple[Connection, asyncio.BaseTransport]]] = {}
        self._pid = os.getpid()
        self._end = LoopEnd(self._close)

    async def exchange(self, address: Address, request: Request) -> Response:
        """Send a request and read its answer. Raises Unavailable or DeadlineExceeded."""
        try:
            async with asyncio.timeout(request.timeout):
                return await self._exchange(address, request)
        except TimeoutError as error:
            raise too_slow(address, request) from error

    async def _exchange(self, address: Address, request: Request) -> Response:
        kept = self._take(address)
        if kept is not None:
            try:
                return await self._over(*kept, address, request)
            except Unavailable:
                # A server closes what was idle for long just as a request comes.
                if not request.repeatable:
                    raise
        return await self._over(*await self._connect(address), address, request)

    async def _over(
        self, connection: Connection, transport: asyncio.BaseTransport, address: Address, request: Request
    ) -> Response:
        try:
            response = await connection.exchange(address, request)
        except (OSError, EOFError, ValueError) as error:
            raise broken(address, request, error) from error
        idle = self._idle.setdefault(address, [])
        if connection.reusable and len(idle) < MOST_IDLE:
            idle.append((connection, transport))
        else:
            connection.close()
        return response

    def _take(self, address: Address) -> tuple[Connection, asyncio.BaseTransport] | None:
        if os.getpid() != self._pid:
            # A forked child shares the parent's sockets: what one sends, the other's answers would be mixed with.
            self._idle, self._pid = {}, os.getpid()
        idle = self._idle.get(address, [])
        while idle:
            connection, transport = idle.pop()
            if connection.reusable and not _readable(transport):
                return connection, transport
            connection.close()
        return None

    async def _connect(self, address: Address) -> tuple[Connection, asyncio.BaseTransport]:
        await self._end.watch()
        transport, connection = await connect_async(address, Connection)
        return connection, transport

    def _close(self) -> None:
        for connections in self._idle.values():
            for connection, _ in connections:
                connection.close()
        self._idle.clear()


def _readable(transport: asyncio.BaseTransport) -> bool:
    """Whether there is something to read on an idle connection: its end, or bytes that belong to no request."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
