"""What people ask of a rollout, of the traffic and of single replicas: one route for each; all may be repeated."""

from __future__ import annotations

import contextlib
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from flashcore.control.controller import Controller
from flashcore.control.readmodel import DeploymentView
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.errors import DeadlineExceeded
from flashcore.server.views import summary

_PROMOTION_PATIENCE = 1.0
"""Seconds that a promoted rollout may take to leave its checkpoint before the answer says that it waits on."""


class PromoteRequest(BaseModel):
    """Whether to pass this checkpoint alone or, with `full`, all to come, whatever their gates say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    full: bool = False


class UndoRequest(BaseModel):
    """Where to go back to: a revision's id or the start of it; null for the one before."""

    model_config = ConfigDict(extra="forbid", strict=True)

    revision: str | None = None


class RestartRequest(BaseModel):
    """Replicas made before `at` (seconds since 1970, null for now) are replaced; a time to come is waited for."""

    model_config = ConfigDict(extra="forbid")

    at: float | None = None


def rollout_routes(controller: Controller) -> APIRouter:
    """Routes over the controller's operations."""
    routes = APIRouter(prefix="/api/v1/deployments", tags=["rollouts"])

    @routes.post("/{endpoint}/promote", status_code=202)
    async def promote(endpoint: str, request: PromoteRequest | None = None) -> dict[str, Any]:
        """Let the rollout pass the checkpoint at which it waits; it stays there while another gate holds."""
        full = request is not None and request.full
        await (controller.promote_fully(endpoint) if full else controller.promote(endpoint))
        with contextlib.suppress(DeadlineExceeded):
            await controller.wait_until(endpoint, _moves_on, _PROMOTION_PATIENCE)
        return summary(controller.view(endpoint))

    @routes.post("/{endpoint}/abort", status_code=202)
    async def abort(endpoint: str) -> dict[str, Any]:
        """Take back the rollout that is under way."""
        await controller.abort(endpoint)
        return summary(controller.view(endpoint))

    @routes.post("/{endpoint}/retry", status_code=202)
    async def retry(endpoint: str) -> dict[str, Any]:
        """Begin the rollout again that failed or was taken back, from its first step."""
        await controller.retry(endpoint)
        return summary(controller.view(endpoint))

    @routes.post("/{endpoint}/pause", status_code=202)
    async def pause(endpoint: str) -> dict[str, Any]:
        """Stop the rollout where it is."""
        await controller.pause(endpoint)
        return summary(controller.view(endpoint))

    @routes.post("/{endpoint}/resume", status_code=202)
    async def resume(endpoint: str) -> dict[str, Any]:
        """Let a paused rollout go on."""
        await controller.resume(endpoint)
        return summary(controller.view(endpoint))

    @routes.post("/{endpoint}/undo", status_code=202)
    async def undo(endpoint: str, request: UndoRequest | None = None) -> dict[str, Any]:
        """Go back to the revision before, or to another that is kept; at once where it is still warm."""
        await controller.undo(endpoint, request.revision if request is not None else None)
        return summary(controller.view(endpoint))

    @routes.post("/{endpoint}/restart", status_code=202)
    async def restart(endpoint: str, request: RestartRequest | None = None) -> dict[str, Any]:
        """Replace every replica by a new one of the same revision, one at a time, with one more than usual."""
        await controller.restart(endpoint, request.at if request is not None else None)
        return summary(controller.view(endpoint))

    _add_traffic_routes(routes, controller)
    return routes


def _add_traffic_routes(routes: APIRouter, controller: Controller) -> None:
    @routes.post("/{endpoint}/hold-traffic", status_code=202)
    async def hold_traffic(endpoint: str) -> dict[str, Any]:
        """Let gateways keep new calls waiting."""
        await controller.hold_traffic(endpoint)
        return summary(controller.view(endpoint))

    @routes.post("/{endpoint}/release-traffic", status_code=202)
    async def release_traffic(endpoint: str) -> dict[str, Any]:
        """Let calls through again."""
        await controller.release_traffic(endpoint)
        return summary(controller.view(endpoint))

    @routes.post("/{endpoint}/replicas/{replica}/cordon", status_code=202)
    async def cordon(endpoint: str, replica: str) -> dict[str, Any]:
        """Take a replica out of the traffic; it finishes what it has and lives on."""
        await controller.cordon(endpoint, replica)
        return summary(controller.view(endpoint))

    @routes.post("/{endpoint}/replicas/{replica}/uncordon", status_code=202)
    async def uncordon(endpoint: str, replica: str) -> dict[str, Any]:
        """Put a replica back into the traffic."""
        await controller.uncordon(endpoint, replica)
        return summary(controller.view(endpoint))


def _moves_on(view: DeploymentView) -> bool:
    return view.status is not DeploymentStatus.AWAITING_PROMOTION
