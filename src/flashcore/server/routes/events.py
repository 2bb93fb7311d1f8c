"""The log of what happened, read from a cursor on, with a wait for what is to come."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query

from flashcore.control.store import Journal
from flashcore.model.names import endpoint_name
from flashcore.server.bell import Bell, rung_within
from flashcore.server.views import event

_LONGEST_WAIT = 60.0


def event_routes(journal: Journal, bell: Bell) -> APIRouter:
    """Routes over the log; `bell` rings after each commit that wrote to it."""
    routes = APIRouter(prefix="/api/v1/events", tags=["events"])

    @routes.get("/last")
    async def last(count: Annotated[int, Query(ge=0, le=10_000)] = 1, endpoint: str | None = None) -> dict[str, Any]:
        """The newest events, oldest first, and the cursor behind them."""
        name = None if endpoint is None else endpoint_name(endpoint)
        found = await journal.tail(max(count, 1), endpoint=name)
        return {
            "cursor": found[-1].cursor if found else "",
            "events": [event(one) for one in found[len(found) - count :]],
        }

    @routes.get("")
    async def after(
        cursor: str = "",
        endpoint: str | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        wait: Annotated[float, Query(ge=0, le=_LONGEST_WAIT)] = 0.0,
    ) -> dict[str, Any]:
        """Events after a cursor; with `wait`, the answer comes with the first one or after so many seconds."""
        name = None if endpoint is None else endpoint_name(endpoint)
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            ring = bell.listen()
            found = await journal.read(after=cursor, endpoint=name, limit=limit)
            left = deadline - asyncio.get_running_loop().time()
            if found or left <= 0:
                return {"cursor": found[-1].cursor if found else cursor, "events": [event(one) for one in found]}
            await rung_within(ring, left)

    return routes
