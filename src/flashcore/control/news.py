"""News of gateways, on their way to any number of listeners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field

from flashcore.model.names import EndpointName
from flashcore.wire.news import News


@dataclass(slots=True, eq=False)
class _Listener:
    rung: asyncio.Event = field(default_factory=asyncio.Event)
    endpoints: set[EndpointName] = field(default_factory=set)
    gateways: bool = False

    def take(self) -> News:
        news = News(frozenset(self.endpoints), self.gateways)
        self.endpoints.clear()
        self.gateways = False
        self.rung.clear()
        return news


class NewsDesk:
    """Any number of listeners; what comes while one is busy reaches it as one."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()
        self._closed = False

    def tell_of_endpoints(self, endpoints: Iterable[EndpointName]) -> None:
        """Something was said of these."""
        names = tuple(endpoints)
        for listener in self._listeners:
            listener.endpoints.update(names)
            listener.rung.set()

    def tell_of_gateways(self) -> None:
        """Something about a gateway itself is other than it was."""
        for listener in self._listeners:
            listener.gateways = True
            listener.rung.set()

    def close(self) -> None:
        """There will be no more: every listener ends."""
        self._closed = True
        for listener in self._listeners:
            listener.rung.set()

    async def heard(self) -> AsyncGenerator[News, None]:
        """All news from the first look on, until the desk is closed."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while not self._closed:
                await listener.rung.wait()
                if not self._closed:
                    yield listener.take()
        finally:
            self._listeners.discard(listener)
