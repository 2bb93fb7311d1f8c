"""What the gateway serves by, and when it serves by new code alone."""

from __future__ import annotations

import asyncio

from flashcore.gateway.routes import Routes, Swap
from flashcore.model.names import EndpointName, RevisionId


class Tables:
    """Told of each new table by the gateway."""

    def __init__(self) -> None:
        self._routes: Routes | None = None
        self._swapped = asyncio.Event()

    def swapped(self, swap: Swap) -> None:
        """The gateway serves by another table."""
        self._routes = swap.new
        self._swapped.set()
        self._swapped = asyncio.Event()

    async def until_alone(self, endpoint: EndpointName, revision: RevisionId | None) -> None:
        """Return when every call of the endpoint goes to that revision."""
        while True:
            swapped = self._swapped
            if self._served(endpoint) == {revision}:
                return
            await swapped.wait()

    def _served(self, endpoint: EndpointName) -> set[RevisionId | None]:
        if self._routes is None:
            return set()
        sides = (side for route in self._routes.table.endpoints if route.name == endpoint for side in route.sides)
        return {side.revision for side in sides if side.replicas}
