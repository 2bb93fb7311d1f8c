"""What keeps replicas from being started, told while it lasts: no event says so, as nothing happens."""

from __future__ import annotations

import asyncio

from flashcore.control.controller import Controller
from flashcore.dev.told import Noted, Tell
from flashcore.model.replica import Phase

_INTERVAL = 2.0
"""Seconds between two looks. What is over by the next one is not worth a line."""


async def tell_what_is_waited_for(controller: Controller, tell: Tell) -> None:
    """Tell of each obstacle once for as long as it lasts, until cancelled."""
    before: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    while True:
        await asyncio.sleep(_INTERVAL)
        now = frozenset(_obstacles(controller))
        for obstacle in sorted((now & before) - told):
            tell(Noted(obstacle))
        before, told = now, now & before


def _obstacles(controller: Controller) -> list[str]:
    return [
        f"{view.endpoint} cannot be started yet: {replica.reason}"
        for view in controller.views()
        for side in view.sides
        for replica in side.replicas
        if replica.phase is Phase.PENDING and replica.reason
    ]
