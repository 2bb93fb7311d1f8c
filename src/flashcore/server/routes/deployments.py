"""Deployments: what there is, and what can be asked of it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from flashcore.composition import Platform
from flashcore.control.controller import Controller
from flashcore.control.readmodel import DeploymentView
from flashcore.model.manifest import Manifest, manifest_from_json
from flashcore.server.gateways import GatewayKeeper
from flashcore.server.log_lines import one_after_the_other, side_by_side
from flashcore.server.notes import platform_notes
from flashcore.server.views import details, summary, waiting


class DeployRequest(BaseModel):
    """What to deploy: a manifest, whose artifacts were uploaded before, and which of its endpoints (default: all).

    With `force`, also what there can be no room for.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    manifest: dict[str, Any]
    endpoints: list[str] | None = None
    force: bool = False


class ScaleRequest(BaseModel):
    """How many replicas; null gives the number back to the policy and its scaler.

    With `force`, also more than there is room for.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    replicas: int | None
    force: bool = False


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
            "deployments": [
                {**summary(view), "gateways_behind": _behind(view.endpoint, platform, keeper)}
                for view in controller.views()
            ],
            "gateway": gateway(),
            "notes": await platform_notes(platform, keeper),
        }

    @routes.post("", status_code=202)
    async def deploy(request: DeployRequest) -> dict[str, Any]:
        """Take over a manifest; answers when the rollouts have begun."""
        manifest = manifest_from_json(request.manifest)
        _require_room(controller, manifest, request)
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
            "undeclared": undeclared(controller, manifest),
            "gateway": gateway(),
        }

    @routes.get("/{endpoint}")
    async def one(endpoint: str) -> dict[str, Any]:
        """One deployment with its sides, replicas and revisions."""
        view = controller.view(endpoint)
        return {
            **details(view),
            **waiting(view, controller.clock.now(), controller.state_trouble),
            "gateway": gateway(),
        }

    @routes.post("/{endpoint}/scale", status_code=202)
    async def scale(endpoint: str, request: ScaleRequest) -> dict[str, Any]:
        """Set the number of replicas."""
        if request.replicas is None:
            await controller.scale_by_policy(endpoint)
        else:
            if not request.force:
                controller.require_room(endpoint, request.replicas)
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
        """Lines of the replicas' output, each with its replica in front; with `follow`, what comes too.

        Of a replica that has ended there is its log for as long as its provider keeps it, also where its endpoint was
        undeployed.
        """
        lines = await _log(controller, endpoint, replica, tail=tail, follow=follow)
        return StreamingResponse(lines, media_type="text/plain; charset=utf-8")

    return routes


def _behind(endpoint: str, platform: Platform, keeper: GatewayKeeper) -> list[str]:
    """Who may still answer its calls as before: also the gateway that runs and cannot be told of anything yet."""
    unconnected = keeper.present is not None and not platform.dataplane.gateways()
    return ["gateway"] if unconnected else list(platform.controller.gateways_behind(endpoint))


def _require_room(controller: Controller, manifest: Manifest, request: DeployRequest) -> None:
    if not request.force:
        controller.require_room_for(manifest, request.endpoints)


def _change(before: DeploymentView | None, after: DeploymentView) -> str:
    """What a deploy did to an endpoint, in one word."""
    if before is None:
        return "new"
    if before.deployment.generation != after.deployment.generation:
        return "rolling out"
    same = before.deployment.policy_digest == after.deployment.policy_digest
    return "unchanged" if same else "policy changed"


def undeclared(controller: Controller, manifest: Manifest) -> list[str]:
    """The endpoints that are deployed and not in the manifest."""
    return [name for name in controller.endpoints() if manifest.endpoint(name) is None]


async def _log(
    controller: Controller, endpoint: str, replica: str | None, *, tail: int, follow: bool
) -> Iterable[str] | AsyncIterable[str]:
    if endpoint not in controller.endpoints():
        gone = await controller.logs_of_undeployed(endpoint, replica, tail=tail)
        return [f"{one}  {line}\n" for one, lines in gone for line in lines]
    names = [one.id for side in controller.view(endpoint).sides for one in side.replicas]
    if replica is not None and replica not in names:
        ended = await controller.logs_of_ended(endpoint, replica, tail=tail)
        return [f"{replica}  {line}\n" for line in ended]
    merged = side_by_side if follow else one_after_the_other
    return merged(names if replica is None else [replica], partial(controller.logs, tail=tail, follow=follow))
