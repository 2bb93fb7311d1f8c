"""Connecting to a replica's address for a probe, and what it means when that fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from flashcore.builtin.heartbeat_probe import WARMING
from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget


@contextlib.asynccontextmanager
async def connection_to(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to `unix:PATH` or `tcp:HOST:PORT`. Raises OSError; ValueError for an address of another kind."""
    kind, _, where = address.partition(":")
    if kind == "unix":
        reader, writer = await asyncio.open_unix_connection(where)
    elif kind == "tcp":
        host, _, port = where.rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    else:
        raise ValueError(f"{address!r} is neither unix:PATH nor tcp:HOST:PORT")
    try:
        yield reader, writer
    finally:
        # At once: whoever does not answer would not take a farewell either.
        writer.transport.abort()


def unreached(target: ProbeTarget, problem: object) -> Finding:
    """Nobody answered: neutral while it warms up, failing afterwards."""
    warming = target.running.stage in WARMING
    return Finding(Answer.NEUTRAL if warming else Answer.FAILING, str(problem) or type(problem).__name__)
