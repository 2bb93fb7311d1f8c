"""The output of several replicas as one stream of lines, each with its replica in front."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from flashcore.model.errors import FlashcoreError

log = logging.getLogger(__name__)

Read = Callable[[str], AsyncIterator[str]]
"""The lines of one replica."""

_AHEAD = 1000
"""Lines that wait for a reader, at most."""


async def one_after_the_other(replicas: Sequence[str], read: Read) -> AsyncGenerator[str, None]:
    """All lines of each."""
    for replica in replicas:
        async for line in _lines(replica, read):
            yield line


async def side_by_side(replicas: Sequence[str], read: Read) -> AsyncGenerator[str, None]:
    """The lines as they come, until there will be none of any."""
    lines: asyncio.Queue[str | None] = asyncio.Queue(_AHEAD)

    async def follow(replica: str) -> None:
        async for line in _lines(replica, read):
            await lines.put(line)

    async def follow_all() -> None:
        for result in await asyncio.gather(*map(follow, replicas), return_exceptions=True):
            if isinstance(result, Exception):
                log.error("a replica's output cannot be followed", exc_info=result)
        await lines.put(None)

    following = asyncio.create_task(follow_all())
    try:
        while (line := await lines.get()) is not None:
            yield line
    finally:
        following.cancel()
        await asyncio.wait({following})


async def _lines(replica: str, read: Read) -> AsyncIterator[str]:
    try:
        async for line in read(replica):
            yield f"{replica}  {line}\n"
    except (FlashcoreError, OSError) as error:
        # It has written nothing yet, or has just gone. The answer has begun by then, and the others are to be in it.
        yield f"{replica}  ({error.message if isinstance(error, FlashcoreError) else error})\n"
