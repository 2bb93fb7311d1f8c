"""Tells whoever listens that something changed: what the fakes' `changes()` are made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator


class Bell:
    """Rings that come while a listener is busy are heard as one."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Event] = set()

    def ring(self) -> None:
        """Wake all listeners."""
        for listener in self._listeners:
            listener.set()

    async def heard(self) -> AsyncGenerator[None, None]:
        """A turn for each ring, for ever."""
        rung = asyncio.Event()
        self._listeners.add(rung)
        try:
            while True:
                await rung.wait()
                rung.clear()
                yield None
        finally:
            self._listeners.discard(rung)
