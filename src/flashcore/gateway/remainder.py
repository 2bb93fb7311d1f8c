"""What is left for a gateway that was replaced, told whenever it changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from flashcore.gateway.retired import Rest
from flashcore.gateway.routes import Routes
from flashcore.gateway.signals import ChangedEndpoints, http_signals

_log = logging.getLogger(__name__)

_TELL_AGAIN = 0.1
"""Seconds between two times, at least."""


class Remainder:
    """Of the endpoints of whose replicas any were at something as it retired. `tell` may raise OSError."""

    def __init__(self, gateway: str, routes: Routes, tell: Callable[[Rest], None]) -> None:
        busy = [service for service in routes.http.values() if any(one.in_flight for one in service.counts.values())]
        self._services = tuple(busy)
        self._gateway = gateway
        self._tell = tell

    def look(self) -> bool:
        """Tell what is left now, where there was anything; whether there was.

        A disk that refuses is logged: what was told before stands, and counts for more.
        """
        rest = Rest(
            {service.name: http_signals(service, self._gateway) for service in self._services},
            tuple(held for service in self._services for held in service.held),
        )
        try:
            self._tell(rest)
        except OSError as error:
            _log.warning("what is left to do here cannot be told: %s", error)
        return bool(self._services)

    async def watch(self, changed: ChangedEndpoints) -> None:
        """Tell it whenever something has changed, until cancelled."""
        while True:
            await changed.take()
            self.look()
            await asyncio.sleep(_TELL_AGAIN)
