"""Deployments: what there is, and what can be asked of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from flashcore.composition import Platform
from flashcore.control.controller import Controller
from flashcore.control.readmodel import DeploymentView
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.errors import DeadlineExceeded, NotFound
from flashcore.model.manifest import Manifest, manifest_from_json
from flashcore.server.gateways import GatewayKeeper
from flashcore.server.notes import platform_notes
from flashcore.server.views import details, summary

_PROMOTION_PATIENCE = 1.0
"""Seconds that a promoted rollout may take to leave its checkpoint before the answer says that it waits on."""


class DeployRequest(BaseModel):
    """What to deploy: a manifest, whose artifacts were uploaded before, and which of its endpoints (default: all)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    manifest: dict[str, Any]
    endpoints: list[str] | None = None


class ScaleRequest(BaseModel):
    """How many replicas; null gives the number back to the policy and its scaler."""

    model_config = ConfigDict(extra="forbid", strict=True)

    replicas: int | None


def deployment_routes(platform: Platform, keeper: GatewayKeeper) -> APIRouter:
    """Routes over the controller's operations and read models."""
    routes = APIRouter(prefix="/api/v1/deployments", tags=["deployments"])
    controller = platform.controller

    def gateway() -> str:
        return keeper.present.url if keeper.present is not None else ""

    @routes.get("")
    async def everything() -> dict[str, Any]:
        """All deployments, one line each."""
        return {
            "deployments": [summary(view) for view in controller.views()],
            "gateway": gateway(),
            "notes": platform_notes(platform, keeper),
        }

    @routes.post("", status_code=202)
    async def deploy(request: DeployRequest) -> dict[str, Any]:
        """Take over a manifest; answers when the rollouts have begun."""
        manifest = manifest_from_json(request.manifest)
        before = {view.endpoint: view for view in controller.views()}
        deployed = await controller.deploy(manifest, request.endpoints)
        return {
            "endpoints": [
                {
                    "endpoint": one.endpoint,
                    "change": _change(before.get(one.endpoint), controller.view(one.endpoint)),
                    "generation": one.generation,
                }
                for one in deployed
            ],
            "undeclared": _undeclared(controller, manifest),
            "gateway": gateway(),
        }

    @routes.get("/{endpoint}")
    async def one(endpoint: str) -> dict[str, Any]:
        """One deployment with its sides, replicas and revisions."""
        return {**details(controller.view(endpoint)), "gateway": gateway()}

    @routes.post("/{endpoint}/scale", status_code=202)
    async def scale(endpoint: str, request: ScaleRequest) -> dict[str, Any]:
        """Set the number of replicas."""
        if request.replicas is None:
            await controller.scale_by_policy(endpoint)
        else:
            await controller.scale(endpoint, request.replicas)
        return summary(controller.view(endpoint))

    @routes.delete("/{endpoint}", status_code=202)
    async def undeploy(endpoint: str, *, force: bool = False) -> dict[str, str]:
        """Begin to drain and remove an endpoint; with `force`, without waiting for what it works on."""
        await controller.undeploy(endpoint, grace=0.0 if force else None)
        return {"undeploying": endpoint}

    @routes.get("/{endpoint}/logs")
    async def logs(
        endpoint: str,
        replica: str | None = None,
        tail: Annotated[int, Query(ge=0, le=100_000)] = 100,
        *,
        follow: bool = False,
    ) -> StreamingResponse:
        """Lines of the replicas' output, each with its replica in front; with `follow`, what comes too."""
        names = _replicas_of(controller.view(endpoint), replica)
        return StreamingResponse(
            _merged(controller, names, tail, follow=follow), media_type="text/plain; charset=utf-8"
        )

    _add_rollout_routes(routes, controller)
    return routes


def _add_rollout_routes(routes: APIRouter, controller: Controller) -> None:
    """One route for each thing that a person may ask of a rollout."""

    @routes.post("/{endpoint}/promote", status_code=202)
    async def promote(endpoint: str) -> dict[str, Any]:
        """Let the rollout pass the checkpoint at which it waits; it stays there while another gate holds."""
        await controller.promote(endpoint)
        with contextlib.suppress(DeadlineExceeded):
            await controller.wait_until(endpoint, _moves_on, _PROMOTION_PATIENCE)
        return summary(controller.view(endpoint))

    @routes.post("/{endpoint}/abort", status_code=202)
    async def abort(endpoint: str) -> dict[str, Any]:
        """Take back the rollout that is under way."""
        await controller.abort(endpoint)
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


def _moves_on(view: DeploymentView) -> bool:
    return view.status is not DeploymentStatus.AWAITING_PROMOTION


def _change(before: DeploymentView | None, after: DeploymentView) -> str:
    """What a deploy did to an endpoint, in one word."""
    if before is None:
        return "new"
    if before.deployment.generation != after.deployment.generation:
        return "rolling out"
    same = before.deployment.policy_digest == after.deployment.policy_digest
    return "unchanged" if same else "policy changed"


def _undeclared(controller: Controller, manifest: Manifest) -> list[str]:
    return [name for name in controller.endpoints() if manifest.endpoint(name) is None]


def _replicas_of(view: DeploymentView, wanted: str | None) -> list[str]:
    names = [replica.id for side in view.sides for replica in side.replicas]
    if wanted is None:
        return list(names)
    if wanted not in names:
        raise NotFound(f"{view.endpoint} has no replica {wanted!r}", next_step=f"it has {', '.join(names) or 'none'}")
    return [wanted]


async def _merged(controller: Controller, replicas: list[str], tail: int, *, follow: bool) -> AsyncIterator[str]:
    """The lines of several replicas as they come; without `follow`, one replica after the other."""
    if not follow:
        for replica in replicas:
            async for line in controller.logs(replica, tail=tail, follow=False):
                yield f"{replica}  {line}\n"
        return
    lines: asyncio.Queue[str] = asyncio.Queue(maxsize=1000)

    async def pump(replica: str) -> None:
        async for line in controller.logs(replica, tail=tail, follow=True):
            await lines.put(f"{replica}  {line}\n")

    pumps = [asyncio.create_task(pump(replica)) for replica in replicas]
    try:
        while not (lines.empty() and all(one.done() for one in pumps)):
            yield await lines.get()
    finally:
        for one in pumps:
            one.cancel()
