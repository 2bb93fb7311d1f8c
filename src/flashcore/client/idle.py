"""Connections for awaited requests, kept per event loop while it runs, and the requests over them."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncGenerator

from flashcore.client.address import Address
from flashcore.client.exchange import Request, Response
from flashcore.client.streams import Connection
from flashcore.client.transport import CONNECT_PAUSES, broken, too_slow, unreachable
from flashcore.model.errors import Unavailable

MOST_IDLE = 64
"""Connections to one address that are kept for the next requests."""


class LoopConnections:
    """Those of one event loop, in one process."""

    def __init__(self) -> None:
        self._idle: dict[Address, list[tuple[Connection, asyncio.BaseTransport]]] = {}
        self._pid = os.getpid()
        self._ending: AsyncGenerator[None, None] | None = None

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
        if self._ending is None:
            self._ending = self._until_the_loop_ends()
            await anext(self._ending)
        loop = asyncio.get_running_loop()
        for pause in (*CONNECT_PAUSES, None):
            try:
                transport, connection = await loop.create_connection(
                    Connection, address.host, address.port, ssl=address.secure or None
                )
            except OSError as error:
                if pause is None or not isinstance(error, ConnectionError):
                    raise unreachable(address, error) from error
            else:
                return connection, transport
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        # A loop that ends closes its asynchronous generators, and says so to nobody else.
        try:
            yield
        finally:
            for connections in self._idle.values():
                for connection, _ in connections:
                    connection.close()
            self._idle.clear()
            await asyncio.sleep(0)


def _readable(transport: asyncio.BaseTransport) -> bool:
    """Whether there is something to read on an idle connection: its end, or bytes that belong to no request."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
