"""The composition root: builds what one process of the platform needs, owns it, and takes it down in order.

Nothing here is kept in a module: two platforms can live in one process.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from flashcore.configured import Configured
from flashcore.control.clock import StoreClock
from flashcore.control.controller import Controller
from flashcore.control.kinds import KINDS
from flashcore.control.link import SocketDataPlane
from flashcore.control.manifests.keeping import Manifests
from flashcore.control.manifests.lasting import require_lasting
from flashcore.control.store import Leadership, Ledger
from flashcore.control.tokens import Tokens
from flashcore.control.transitions import Transitions
from flashcore.gateway.retired import said_by_retired
from flashcore.hookspecs.artifacts import ArtifactStore
from flashcore.hookspecs.providers import Provider, ProviderContext
from flashcore.hookspecs.state import StateBackend
from flashcore.model.errors import ConfigurationError
from flashcore.model.events import Event
from flashcore.model.names import EndpointName
from flashcore.model.parts import PartRef
from flashcore.registry.index import setting_of_process
from flashcore.registry.opening import open_registry
from flashcore.registry.registry import Registry
from flashcore.settings import Project
from flashcore.surroundings import ProjectSurroundings

LEASE = 15.0
"""Seconds after which another control plane may lead, where several share one state."""


@dataclass(frozen=True, slots=True)
class Platform:
    """The control plane's parts, wired together and not yet started."""

    project: Project
    configured: Configured
    registry: Registry
    artifacts: ArtifactStore
    ledger: Ledger
    dataplane: SocketDataPlane
    tokens: Tokens
    transitions: Transitions
    controller: Controller
    manifests: Manifests


@asynccontextmanager
async def open_platform(project: Project, observe: Callable[[Event], None]) -> AsyncIterator[Platform]:
    """Open the state, the artifacts and the providers, and build the controller over them.

    `observe` is told of each event after its commit. Raises what the parts raise: errors.StateTooNew,
    errors.StateCorrupt, errors.Refused when another control plane owns the state, errors.UnknownPart for a
    configured part that no plugin offers.
    """
    configured = Configured(project)
    async with AsyncExitStack() as stack:
        registry = open_registry(setting_of_process(sys.argv[1:], os.environ, project.root))
        stack.callback(registry.close)
        _require_sound_mothership(registry, project)
        state = await _open_state(registry, project.state_url)
        stack.push_async_callback(state.close)
        ledger = Ledger(state, project.settings.scope, KINDS)
        artifacts = _open_artifacts(registry, project.artifacts_url)
        dataplane = SocketDataPlane(project.layout.dataplane_socket, beside=partial(said_by_retired, project.layout))
        stack.push_async_callback(dataplane.close)
        leadership = await _lead(registry, ledger, project.state_url)
        tokens = Tokens(ledger, leadership, dataplane.grant, time.time)
        await tokens.load()
        transitions = Transitions()
        context = ProviderContext(project.settings.scope, project.layout, artifacts, StoreClock(state.now))
        controller = Controller(
            ledger=ledger,
            leadership=leadership,
            parts=registry,
            providers=dict(_providers(registry, project, context)),
            default_provider=project.settings.provider,
            dataplane=dataplane,
            artifacts=artifacts,
            surroundings=ProjectSurroundings(project),
            amend_env=registry.amend_replica_env,
            observers=(registry.tell, transitions.note, observe),
        )
        manifests = Manifests(controller, ledger, leadership, own_endpoint(project))
        yield Platform(
            project, configured, registry, artifacts, ledger, dataplane, tokens, transitions, controller, manifests
        )


def own_endpoint(project: Project) -> frozenset[EndpointName]:
    """The endpoint that this process is a replica of, in this very environment: it must not provision itself."""
    settings = project.settings
    here = (os.environ.get("FLASHCORE_APP"), os.environ.get("FLASHCORE_ENV")) == (settings.app, settings.environment)
    name = os.environ.get("FLASHCORE_ENDPOINT")
    return frozenset({EndpointName(name)}) if here and name else frozenset()


@asynccontextmanager
async def open_state(project: Project) -> AsyncIterator[StateBackend]:
    """The state alone, for who looks after it while no control plane runs. Raises as open_platform."""
    async with AsyncExitStack() as stack:
        registry = open_registry(setting_of_process(sys.argv[1:], os.environ, project.root))
        stack.callback(registry.close)
        state = await _open_state(registry, project.state_url)
        stack.push_async_callback(state.close)
        yield state


async def _open_state(registry: Registry, url: str) -> StateBackend:
    return await registry.state_backends.make(PartRef(_scheme(url, "state"))).open_state(url)


def _require_sound_mothership(registry: Registry, project: Project) -> None:
    """Raise ConfigurationError for one that is deployed and would lose its memory, or meet itself."""
    settings = project.settings.mothership
    if settings.deployed:
        shared = _is_shared(registry, project.state_url)
        require_lasting(project.settings.scope, shared=shared, instances=settings.instances)


def _is_shared(registry: Registry, url: str) -> bool:
    return "shared" in registry.state_backends.get(_scheme(url, "state")).part.capabilities


async def _lead(registry: Registry, ledger: Ledger, url: str) -> Leadership:
    """Where several machines may open the state, whoever holds the lease leads; else opening it was enough."""
    holder = f"{socket.gethostname()}:{os.getpid()}"
    if _is_shared(registry, url):
        return await ledger.campaign(holder, LEASE)
    return await ledger.take_over(holder, LEASE)


def _open_artifacts(registry: Registry, url: str) -> ArtifactStore:
    """A store on this machine is told its folder, any other one its whole URL."""
    parts = urlsplit(url)
    location = parts.path if parts.path and not parts.netloc else url
    return registry.artifact_stores.factory(_scheme(url, "artifacts"))(location)


def _providers(registry: Registry, project: Project, context: ProviderContext) -> Iterator[tuple[str, Provider]]:
    """The platform's own provider, and every other one that the settings have a table of options for."""
    tables = project.settings.plugins
    configured = [name for name in registry.providers.names() if isinstance(tables.get(name), Mapping)]
    for name in dict.fromkeys([project.settings.provider, *configured]):
        options = registry.providers.options(PartRef(name, options=tables.get(name, {})))
        yield name, registry.providers.target(name)(context, options)


def _scheme(url: str, setting: str) -> str:
    """The scheme of a store's URL is the name of the part that opens it."""
    scheme = urlsplit(url).scheme
    if not scheme:
        raise ConfigurationError(f"{setting} must be a URL, not {url!r}", next_step="as in postgres://host/database")
    return scheme
