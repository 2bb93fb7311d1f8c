"""The gateway, as the control plane keeps it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from flashcore.server.gateways import GatewayKeeper


def gateway_routes(keeper: GatewayKeeper) -> APIRouter:
    """Routes about the gateway."""
    routes = APIRouter(prefix="/api/v1/server/gateway", tags=["server"])

    @routes.post("/restart")
    async def restart() -> dict[str, Any]:
        """Replace the gateway; answers when the next one listens, on the same sockets."""
        present = await keeper.restart()
        return {"gateway": present.url, "gateway_pid": present.pid}

    return routes
