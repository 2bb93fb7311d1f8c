"""Connections to the addresses that replicas listen at: `unix:PATH` and `tcp:HOST:PORT`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, cut off at the end whatever is still on its way. Raises OSError, or ValueError for another form."""
    kind, _, place = address.partition(":")
    if kind == "unix":
        reader, writer = await asyncio.open_unix_connection(place)
    elif kind == "tcp":
        host, _, port = place.rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    else:
        raise ValueError(f"{address!r} is no unix: or tcp: address")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
