"""Gateways that take each other's places, with a replica that talks as it is told, for the tests of both."""

from __future__ import annotations

import asyncio
import os
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests.gateway.conftest import Answer, fetch, http_route, side
from tests.gateway.test_process import GatewayProcess, listening

from flashcore.gateway.handover import Listeners, ask_for_listeners
from flashcore.model.layout import Layout
from flashcore.model.names import InstanceId, ReplicaId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, ReplicaRoute

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"


class Talker:
    """A replica that streams an answer, piece by piece as it is told, and answers an upgrade with an echo."""

    def __init__(self, path: Path) -> None:
        self.route = ReplicaRoute(ReplicaId("web-1"), InstanceId("i1"), f"unix:{path}", 10)
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, with one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"upgrade: websocket" in head:
            writer.write(SWITCHED)
            while data := await reader.read(1000):
                writer.write(data)
        else:
            writer.write(CHUNKED)
            while piece := await self.pieces.get():
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            writer.write(b"0\r\n\r\n")
        writer.close()


@asynccontextmanager
async def talker(layout: Layout) -> AsyncIterator[Talker]:
    """One that listens."""
    path = layout.root / "talker.sock"
    replica = Talker(path)
    server = await asyncio.start_unix_server(replica.serve, str(path))
    try:
        yield replica
    finally:
        server.close()


@contextmanager
def held_listeners(layout: Layout) -> Iterator[Listeners]:
    """The sockets of the gateway that runs, as a control plane holds them."""
    given = ask_for_listeners(layout.listeners_socket)
    assert given is not None
    try:
        yield given
    finally:
        for descriptor in given.all:
            os.close(descriptor)


@asynccontextmanager
async def successor(layout: Layout, *arguments: str) -> AsyncIterator[GatewayProcess]:
    """A gateway that took the place of the one that ran."""
    with held_listeners(layout) as held:
        async with listening(layout, "--succeed", *arguments, inherited=held.plain) as gateway:
            yield gateway


async def opened(gateway: GatewayProcess, *lines: str) -> tuple[StreamReader, StreamWriter]:
    """A connection on which these lines were asked."""
    host, _, port = gateway.presence.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write("\r\n".join([*lines, "host: localhost", "", ""]).encode())
    return reader, writer


async def call(url: str, method: str, path: str, body: Any = None) -> Answer:
    """One request, whichever gateway is there."""
    return await asyncio.to_thread(fetch, url, method, path, body)


def web(replica: Talker) -> EndpointRoute:
    """The route to it."""
    return http_route("web", side(replica.route), routing=PartRef("p2c"))


async def holds(gateway: GatewayProcess, line: str) -> bool:
    """Whether its numbers have this line."""
    return line in (await gateway.call("GET", "/metrics")).body.decode().splitlines()
