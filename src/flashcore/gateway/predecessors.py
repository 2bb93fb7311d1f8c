"""What replicas are at for gateways that this one has replaced: counted as theirs until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flashcore.gateway.retired import Retired, held_by_all, retired_gateways
from flashcore.gateway.routes import Routes
from flashcore.model.layout import Layout

_LOOK_AGAIN = 0.25
"""Seconds between two looks: so much later a replica has room again for what waits here."""


class Predecessors:
    """Those of one gateway. There is never another one: nobody is replaced but by who comes later."""

    def __init__(self, layout: Layout, routes: Callable[[], Routes]) -> None:
        self.retired: tuple[Retired, ...] = ()
        self._layout = layout
        self._routes = routes

    def look(self) -> None:
        """Have replicas count for as busy as they are."""
        self.retired = retired_gateways(self._layout)
        held = held_by_all(self.retired)
        for service in self._routes().http.values():
            service.hold_elsewhere(held.get(service.name, {}))

    async def watch(self) -> None:
        """Look again and again, until none of them is left."""
        while self.retired:
            await asyncio.sleep(_LOOK_AGAIN)
            self.look()
