"""What can be asked about deployments beside their state: what a deploy would do, their history, and why."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from flashcore.control.causes import causes
from flashcore.control.controller import Controller
from flashcore.control.history import history
from flashcore.model.codec import to_json
from flashcore.model.manifest import manifest_from_json
from flashcore.server.routes.deployments import DeployRequest, undeclared
from flashcore.server.views import event, summary, waiting

_LOOKED_BACK = 1_000
"""Events of an endpoint, the newest, from which its history and its causes are told."""


def reading_routes(controller: Controller) -> APIRouter:
    """Routes that change nothing."""
    routes = APIRouter(prefix="/api/v1/deployments", tags=["deployments"])

    @routes.post("/plan")
    async def plan(request: DeployRequest) -> dict[str, Any]:
        """What a deploy of the same would do; nothing happens, and no artifact needs to be there."""
        manifest = manifest_from_json(request.manifest)
        plans = await controller.plan(manifest, request.endpoints)
        return {"endpoints": [to_json(one) for one in plans], "undeclared": undeclared(controller, manifest)}

    @routes.get("/{endpoint}/history")
    async def revisions(endpoint: str, limit: Annotated[int, Query(ge=1, le=1_000)] = 20) -> dict[str, Any]:
        """The revisions that are kept, newest first, with the part that each plays and what became of it last."""
        view = controller.view(endpoint)
        log = await controller.last_events(_LOOKED_BACK, endpoint=endpoint)
        return {"endpoint": endpoint, "revisions": [to_json(one) for one in history(view, log, limit)]}

    @routes.get("/{endpoint}/why")
    async def why(endpoint: str) -> dict[str, Any]:
        """Why it is as it is: the events that made it so, what it waits for, and when it looks again."""
        view = controller.view(endpoint)
        log = await controller.last_events(_LOOKED_BACK, endpoint=endpoint)
        return {
            **summary(view),
            **waiting(view, controller.clock.now(), controller.state_trouble),
            "events": [event(one) for one in causes(log)],
        }

    return routes
