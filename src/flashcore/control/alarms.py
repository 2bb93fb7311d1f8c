"""Wake-ups at a time, one per key: one sleeping task for all of them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Hashable
from itertools import count

from flashcore.hookspecs.providers import Clock

_AT_REST = 3600.0
"""Seconds after which an empty book of alarms is looked at again; setting one wakes it at once."""


class Alarms:
    """Calls `ring` with a key when its time has come. `run` must be running."""

    def __init__(self, clock: Clock, ring: Callable[[Hashable], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._times: dict[Hashable, float] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._order = count()
        self._earlier = asyncio.Event()

    def set(self, key: Hashable, when: float | None) -> None:
        """Ring for the key at that time and at no other; None for not at all."""
        if when is None:
            self._times.pop(key, None)
            return
        if self._times.get(key) == when:
            return
        self._times[key] = when
        heapq.heappush(self._heap, (when, next(self._order), key))
        if self._heap[0][2] == key:
            self._earlier.set()

    async def run(self) -> None:
        """Ring for ever."""
        while True:
            self._earlier.clear()
            self._ring_due()
            until = self._heap[0][0] if self._heap else self._clock.now() + _AT_REST
            sleeping = asyncio.ensure_future(self._clock.sleep_until(until))
            earlier = asyncio.ensure_future(self._earlier.wait())
            try:
                await asyncio.wait((sleeping, earlier), return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()
                earlier.cancel()

    def _ring_due(self) -> None:
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._times.get(key) == when:
                del self._times[key]
                self._ring(key)
