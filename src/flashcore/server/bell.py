"""A bell that rings when something was committed: whoever waits for events need not ask again and again."""

from __future__ import annotations

import asyncio
import contextlib


class Bell:
    """Rung from the controller's loop; any number of waiters hear each ring."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits now."""
        self._next.set()
        self._next = asyncio.Event()

    def listen(self) -> asyncio.Event:
        """The next ring. Taken before one looks, so that nothing is missed between the look and the wait."""
        return self._next


async def rung_within(ring: asyncio.Event, seconds: float) -> None:
    """Return at the ring, or when the time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ring.wait()
