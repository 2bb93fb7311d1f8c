"""The end of an event loop, for what belongs to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable


class LoopEnd:
    """Calls `close` when the loop that it watches ends."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._waiting: AsyncGenerator[None, None] | None = None

    async def watch(self) -> None:
        """Watch the running loop; once is enough."""
        if self._waiting is None:
            self._waiting = self._wait()
            await anext(self._waiting)

    async def _wait(self) -> AsyncGenerator[None, None]:
        # A loop that ends closes its asynchronous generators, and says so to nobody else.
        try:
            yield
        finally:
            self._waiting = None  # it leads to the loop, by which others know this: neither would ever go
            self._close()
            await asyncio.sleep(0)
