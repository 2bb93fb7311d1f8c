"""The process itself: what it is, and how to end it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict

import flashcore
from flashcore.composition import Platform
from flashcore.control.shutdown import SLACK
from flashcore.control.store.backup import dump
from flashcore.gateway.retired import retired_gateways
from flashcore.server.gateways import GatewayKeeper
from flashcore.server.notes import platform_notes
from flashcore.server.shutdown import Shutdown

_OWN_END = 20.0
"""Seconds for all that has no grace of its own."""


class StopRequest(BaseModel):
    """How to end."""

    model_config = ConfigDict(extra="forbid", strict=True)

    keep_serving: bool = False


def process_routes(platform: Platform, keeper: GatewayKeeper, stop: Callable[[Shutdown], None]) -> APIRouter:
    """Routes about the process."""
    routes = APIRouter(tags=["server"])

    @routes.get("/ping")
    async def ping() -> dict[str, str]:
        """The process answers; open to anyone who can reach the port."""
        return {"status": "ok"}

    @routes.get("/api/v1/server")
    async def describe(request: Request) -> dict[str, Any]:
        """Who this is, what it has loaded, and what a person should know."""
        settings = platform.project.settings
        present = keeper.present
        return {
            "app": settings.app,
            "environment": settings.environment,
            "version": flashcore.__version__,
            "pid": os.getpid(),
            "dashboard": str(request.base_url),
            "gateway": present.url if present is not None else None,
            "gateway_from_outside": keeper.from_outside,
            "gateway_pid": present.pid if present is not None else None,
            "retired_gateways": [
                {"pid": one.presence.pid, "requests": one.rest.under_way}
                for one in retired_gateways(platform.project.layout)
            ],
            "provider": settings.provider,
            "manifest": platform.manifests.progress().source,
            "plugins": dict(platform.registry.versions()),
            "notes": await platform_notes(platform, keeper),
        }

    @routes.get("/api/v1/server/backup")
    async def back_up() -> PlainTextResponse:
        """The state as of one revision, as lines of JSON that `flashcore server restore` takes in again."""
        lines = await dump(platform.ledger.backend, platform.project.settings.scope, flashcore.__version__)
        return PlainTextResponse("".join(f"{line}\n" for line in lines))

    @routes.post("/api/v1/server/stop", status_code=202)
    async def end(request: StopRequest) -> dict[str, Any]:
        """End this process, and with it everything unless `keep_serving`; answers before it does.

        `seconds`: how long that may take, where calls and jobs under way use all of their graces.
        """
        way = Shutdown.KEEP_SERVING if request.keep_serving else Shutdown.EVERYTHING
        stop(way)
        return {"stopping": way.value, "seconds": _longest(platform) if way is Shutdown.EVERYTHING else _OWN_END}

    return routes


def _longest(platform: Platform) -> float:
    """Calls have the gateway's grace, then replicas have theirs, then the gateway stores what they said."""
    replicas = platform.controller.longest_grace + SLACK
    return 2 * platform.project.settings.gateway_grace + replicas + _OWN_END
