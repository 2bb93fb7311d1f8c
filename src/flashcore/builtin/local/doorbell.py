"""Wake-ups for those who wait for work: which endpoints got a claimable job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable

from flashcore.model.names import EndpointName


class Doorbell:
    """Tells every listener which endpoints got jobs; rings that nobody has heard yet are merged."""

    def __init__(self) -> None:
        self._unheard: list[tuple[set[EndpointName], asyncio.Event]] = []
        self._told: list[Callable[[frozenset[EndpointName]], None]] = []
        self._closed = False

    def tell(self, told: Callable[[frozenset[EndpointName]], None]) -> None:
        """Have `told` called from within each ring."""
        self._told.append(told)

    def ring(self, endpoints: Collection[EndpointName]) -> None:
        """Wake the listeners."""
        if not endpoints:
            return
        for told in self._told:
            told(frozenset(endpoints))
        for unheard, rung in self._unheard:
            unheard.update(endpoints)
            rung.set()

    async def listen(
        self, waiting: Callable[[], Iterable[EndpointName]]
    ) -> AsyncGenerator[frozenset[EndpointName], None]:
        """Rings, for ever; the first are the endpoints of `waiting()`, whose jobs were queued before."""
        listener = (set(waiting()), asyncio.Event())
        unheard, rung = listener
        self._unheard.append(listener)
        try:
            while not self._closed:
                if unheard:
                    heard = frozenset(unheard)
                    unheard.clear()
                    yield heard
                else:
                    rung.clear()
                    await rung.wait()
        finally:
            self._unheard.remove(listener)

    def close(self) -> None:
        """End every listener's iteration."""
        self._closed = True
        for _, rung in self._unheard:
            rung.set()
