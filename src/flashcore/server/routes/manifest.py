"""The manifest that the environment is kept by, and how far that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from flashcore.composition import Platform
from flashcore.model.codec import to_json
from flashcore.server.mothership import Mothership


class KeepRequest(BaseModel):
    """Which file; with `test`, its endpoints run beside the real ones under names of their own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    path: str
    test: bool = False


def manifest_routes(platform: Platform, mothership: Mothership) -> APIRouter:
    """Routes over what a mothership does."""
    routes = APIRouter(prefix="/api/v1/manifest", tags=["manifest"])

    def progress() -> dict[str, Any]:
        shown: dict[str, Any] = to_json(platform.manifests.progress())
        return shown

    @routes.get("")
    async def ready_so_far() -> dict[str, Any]:
        """Each endpoint of the manifest: whether it is ready, or why not."""
        return progress()

    @routes.put("", status_code=202)
    async def keep(request: KeepRequest) -> dict[str, Any]:
        """Keep the environment by this file from now on, or test it."""
        if request.test:
            await mothership.test(Path(request.path))
        else:
            await mothership.keep(Path(request.path))
        await mothership.look()
        return progress()

    @routes.delete("", status_code=202)
    async def stop(*, test: bool = False) -> dict[str, Any]:
        """Keep it no more: what is deployed stays. With `test`: end the test, and remove all of it."""
        if test:
            await mothership.end_test()
        else:
            await mothership.stop_keeping()
        return progress()

    return routes
