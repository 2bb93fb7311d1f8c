"""From a changed project to code that answers calls: build, compare, roll out what is not as it was."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from flashcore.build.project import BuildResult, build
from flashcore.canonical import digest
from flashcore.composition import Platform
from flashcore.control.controller import Controller
from flashcore.control.heading import heading
from flashcore.control.refusals import BeingDestroyed
from flashcore.dev.local import REMOVAL_GRACE
from flashcore.dev.place import DevProject
from flashcore.dev.tables import Tables
from flashcore.dev.told import Noted, Ready, Refused, Removed, Served, Tell
from flashcore.hookspecs.resources import Ingress
from flashcore.model.deployment import Deployment
from flashcore.model.errors import FlashcoreError, NotFound
from flashcore.model.manifest import EndpointEntry, Manifest
from flashcore.model.names import Digest, EndpointName, RevisionId
from flashcore.model.parts import PartRef

_ARTIFACT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Load:
    """One look at the project."""

    built: BuildResult
    manifest: Manifest
    began: float


class Reloader:
    """Remembers what was rolled out; leaving it ends its waiting, and nothing else."""

    def __init__(
        self,
        project: DevProject,
        platform: Platform,
        adapt: Callable[[Manifest], Manifest],
        tables: Tables,
        url: str,
        tell: Tell,
    ) -> None:
        self._project = project
        self._platform = platform
        self._adapt = adapt
        self._tables = tables
        self._url = url
        self._tell = tell
        self._rolled_out: dict[EndpointName, Digest] = {}
        self._warned: frozenset[str] = frozenset()
        self._waiting: dict[EndpointName, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        """Nothing is done yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for nothing any more."""
        for task in self._waiting.values():
            task.cancel()
        await asyncio.gather(*self._waiting.values(), return_exceptions=True)

    async def load(self) -> None:
        """Build, and roll out what is not as it was. What cannot be built changes nothing."""
        began = monotonic()
        try:
            built = await asyncio.to_thread(self._build)
            manifest = self._adapt(built.manifest)
        except FlashcoreError as error:
            self._tell(Refused(error, serving=bool(self._rolled_out)))
            return
        self._warn(built.warnings)
        load = _Load(built, manifest, began)
        for entry in manifest.endpoints:
            if self._rolled_out.get(entry.name) != digest(entry):
                await self._roll_out(load, entry)
        for name in self._rolled_out.keys() - {entry.name for entry in manifest.endpoints}:
            await self._take_down(name)
        await self._tidy({entry.artifact for entry in manifest.endpoints})

    def _warn(self, warnings: tuple[str, ...]) -> None:
        for warning in warnings:
            if warning not in self._warned:
                self._tell(Noted(warning))
        self._warned = frozenset(warnings)

    def _build(self) -> BuildResult:
        """Build; again where another build of this project, a second session's, has put its own in place meanwhile."""
        while True:
            built = build(self._project.root, app=self._project.settings.app, registry=self._platform.registry)
            if all(path.is_file() for path in built.artifacts.values()):
                return built

    async def _roll_out(self, load: _Load, entry: EndpointEntry) -> None:
        try:
            await self._platform.artifacts.put(entry.artifact, load.built.artifacts[entry.artifact])
            deployment = await _deploy(self._platform.controller, load.manifest, entry.name)
        except FlashcoreError as error:
            self._tell(Refused(error, entry.name, serving=entry.name in self._rolled_out))
            return
        self._rolled_out[entry.name] = digest(entry)
        self._forget_waiting(entry.name)
        waiting = self._until_ready(self._served(entry), heading(deployment.rollout, deployment.stable), load.began)
        self._waiting[entry.name] = asyncio.create_task(waiting, name=f"new code of {entry.name}")

    async def _until_ready(self, served: Served, target: RevisionId | None, began: float) -> None:
        """Tell when the revision answers calls."""
        await self._tables.until_alone(EndpointName(served.endpoint), target)
        self._tell(Ready(served, monotonic() - began))

    async def _take_down(self, name: EndpointName) -> None:
        del self._rolled_out[name]
        self._forget_waiting(name)
        with contextlib.suppress(NotFound):
            await self._platform.controller.undeploy(name, grace=REMOVAL_GRACE)
        self._tell(Removed(name))

    def _forget_waiting(self, name: EndpointName) -> None:
        if (waiting := self._waiting.pop(name, None)) is not None:
            waiting.cancel()

    async def _tidy(self, wanted: set[Digest]) -> None:
        """Each change makes an archive: beside those `wanted` only those stay that somebody runs, or has just run."""
        views = self._platform.controller.views()
        used = wanted | {revision.content.artifact for view in views for revision in view.revisions}
        for unused in await self._platform.artifacts.digests() - used:
            await self._platform.artifacts.delete(unused)
        await asyncio.to_thread(_remove_others, self._project.layout.unpacked, used)

    def _served(self, entry: EndpointEntry) -> Served:
        resource = self._platform.registry.resource_types.make(PartRef(entry.resource))
        prefix = "/v2" if resource.ingress is Ingress.JOBS else ""
        callables = [
            function.name if function.route is None else f"{function.route.method} {function.route.path}"
            for function in entry.functions
        ]
        return Served(entry.name, f"{self._url}{prefix}/{entry.name}", tuple(callables))


async def _deploy(controller: Controller, manifest: Manifest, name: EndpointName) -> Deployment:
    try:
        return (await controller.deploy(manifest, [name]))[0]
    except BeingDestroyed:
        # It was not declared a moment ago, and is again.
        await controller.wait_gone(name, REMOVAL_GRACE + 5.0)
        return (await controller.deploy(manifest, [name]))[0]


def _remove_others(unpacked: Path, used: set[Digest]) -> None:
    for folder in unpacked.iterdir() if unpacked.is_dir() else ():
        if _ARTIFACT.fullmatch(folder.name) and folder.name not in used:
            shutil.rmtree(folder, ignore_errors=True)
