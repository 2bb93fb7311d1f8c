"""How much of what workers report is held until it is stored, and who is not read from because of that.

Whoever has much of it there waits: a generator whose chunks come faster than they are stored. A worker that only has a
result to tell is not made to wait for the generators of others, unless results are all that there is.
"""

from __future__ import annotations

import asyncio

from flashcore.gateway.books import WorkerLink

WEIGHT = 512
"""About how many bytes a report takes beside its payload: a million small ones are no small matter."""

_PARTS = 4
"""A worker that holds less than one part in so many of its share of the limit is read from in any case."""


class Load:
    """Bytes by worker, `limit` for all of them together, and a fourth more at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = self._count = 0
        self._by_link: dict[WorkerLink, int] = {}
        self._paused: set[WorkerLink] = set()
        self._none = asyncio.Event()
        self._none.set()

    def add(self, size: int, link: WorkerLink | None) -> None:
        """One more report of so many bytes; its worker is paused where there is too much."""
        self._count += 1
        self._bytes += size + WEIGHT
        self._none.clear()
        if link is None:
            return
        held = self._by_link[link] = self._by_link.get(link, 0) + size + WEIGHT
        if self._bytes > self._limit and link not in self._paused and held * _PARTS * len(self._by_link) > self._limit:
            self._paused.add(link)
            link.pause()

    def remove(self, size: int, link: WorkerLink | None) -> None:
        """It is stored."""
        self._count -= 1
        self._bytes -= size + WEIGHT
        if not self._count:
            self._none.set()
        if link is not None:
            self._let_go(link, size + WEIGHT)
        if self._paused and self._bytes <= self._limit // 2:
            paused, self._paused = self._paused, set()
            for each in paused:
                each.resume()

    async def gone(self) -> None:
        """Return once there is nothing."""
        await self._none.wait()

    def _let_go(self, link: WorkerLink, size: int) -> None:
        self._by_link[link] -= size
        if self._by_link[link]:
            return
        del self._by_link[link]
        if link in self._paused:
            self._paused.discard(link)
            link.resume()
