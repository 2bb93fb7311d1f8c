"""The composition root: builds what one process of the platform needs, owns it, and takes it down in order.

Nothing here is kept in a module: two platforms can live in one process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from flashcore.control.clock import StoreClock
from flashcore.control.controller import Controller
from flashcore.control.link import SocketDataPlane
from flashcore.hookspecs.artifacts import ArtifactStore
from flashcore.hookspecs.providers import Provider, ProviderContext
from flashcore.hookspecs.state import StateBackend
from flashcore.model.parts import PartRef
from flashcore.registry.index import setting_of_process
from flashcore.registry.opening import open_registry
from flashcore.registry.registry import Registry
from flashcore.settings import Project


@dataclass(frozen=True, slots=True)
class Platform:
    """The control plane's parts, wired together and not yet started."""

    project: Project
    registry: Registry
    state: StateBackend
    artifacts: ArtifactStore
    provider: Provider
    dataplane: SocketDataPlane
    controller: Controller


@asynccontextmanager
async def open_platform(project: Project) -> AsyncIterator[Platform]:
    """Open the state, the artifacts and the provider, and build the controller over them.

    Raises what the parts raise: errors.StateTooNew, errors.StateCorrupt, errors.Refused when another control plane
    owns the state, errors.UnknownPart for a configured part that no plugin offers.
    """
    async with AsyncExitStack() as stack:
        registry = open_registry(setting_of_process(sys.argv[1:], os.environ, project.root))
        stack.callback(registry.close)
        state = await registry.state_backends.make(PartRef(_scheme(project.state_url))).open_state(project.state_url)
        stack.push_async_callback(state.close)
        clock = StoreClock(state)
        artifacts = registry.artifact_stores.factory(_scheme(project.artifacts_url))(_location(project.artifacts_url))
        context = ProviderContext(project.settings.scope, project.layout, artifacts, clock)
        provider = _make_provider(registry, project, context)
        stack.push_async_callback(provider.close)
        dataplane = SocketDataPlane(project.layout.dataplane_socket)
        stack.push_async_callback(dataplane.close)
        controller = Controller(
            scope=project.settings.scope,
            state=state,
            registry=registry,
            provider=provider,
            dataplane=dataplane,
            artifacts=artifacts,
            clock=clock,
            platform_env=_platform_env(project),
        )
        yield Platform(project, registry, state, artifacts, provider, dataplane, controller)


def _make_provider(registry: Registry, project: Project, context: ProviderContext) -> Provider:
    name = project.settings.provider
    given = project.settings.plugins.get(name, {})
    options = registry.providers.options(PartRef(name, options=given if isinstance(given, Mapping) else {}))
    return registry.providers.factory(name)(context, options)


def _platform_env(project: Project) -> Mapping[str, str]:
    return {"FLASHCORE_APP": project.settings.app, "FLASHCORE_ENV": project.settings.environment}


def _scheme(url: str) -> str:
    """The scheme is the part's name: `sqlite:///path`, `memory:`."""
    return urlsplit(url).scheme


def _location(url: str) -> str:
    """What an artifact store is told of its place: a path where it is one, the whole URL otherwise."""
    parts = urlsplit(url)
    return parts.path if not parts.netloc and parts.path else url
