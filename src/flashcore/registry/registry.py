"""All extension points of one platform, with the plugins behind them. No state is shared between two registries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flashcore.hookspecs import EXTENSION_POINTS, HookKind
from flashcore.model.errors import PluginError, UnknownPart
from flashcore.registry.blame import plugin_error, remedy
from flashcore.registry.calls import Called, call_each, call_one, implementations
from flashcore.registry.known import package_declaring
from flashcore.registry.loader import Loaded
from flashcore.registry.near import near_matches
from flashcore.registry.observers import Observers
from flashcore.registry.points import PartRegistry, Registered
from flashcore.registry.reports import PluginReport, State

if TYPE_CHECKING:
    from flashcore.hookspecs.artifacts import ArtifactStore
    from flashcore.hookspecs.gates import Gate
    from flashcore.hookspecs.handlers import HandlerGenerator
    from flashcore.hookspecs.probes import Probe
    from flashcore.hookspecs.providers import Provider
    from flashcore.hookspecs.resources import ResourceType
    from flashcore.hookspecs.routing import RoutingPolicy
    from flashcore.hookspecs.scalers import Scaler
    from flashcore.hookspecs.serializers import Serializer
    from flashcore.hookspecs.state import Stores
    from flashcore.hookspecs.strategies import Strategy
    from flashcore.model.events import Event
    from flashcore.model.manifest import Manifest
    from flashcore.model.revision import RevisionContent


class Declared(NamedTuple):
    """The part that an import path in user code stands for."""

    point: str
    name: str


class Registry:
    """What the plugins of one platform offer. Made by `registry.opening.open_registry`."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._origins = {report.origin.key: report.origin for report in loaded.reports}
        self._failures: dict[str, list[str]] = {}
        self.resource_types: PartRegistry[ResourceType] = self._point("resource_types")
        self.strategies: PartRegistry[Strategy] = self._point("strategies")
        self.gates: PartRegistry[Gate] = self._point("gates")
        self.probes: PartRegistry[Probe] = self._point("probes")
        self.handler_generators: PartRegistry[HandlerGenerator] = self._point("handler_generators")
        self.state_backends: PartRegistry[Stores] = self._point("state_backends")
        self.providers: PartRegistry[Provider] = self._point("providers")
        self.artifact_stores: PartRegistry[ArtifactStore] = self._point("artifact_stores")
        self.routing_policies: PartRegistry[RoutingPolicy] = self._point("routing_policies")
        self.scalers: PartRegistry[Scaler] = self._point("scalers")
        self.serializers: PartRegistry[Serializer] = self._point("serializers")
        self.commands: PartRegistry[Any] = self._point("commands")
        self._observers = self._observers_of("flashcore_event")

    def _point(self, name: str) -> PartRegistry[Any]:
        return PartRegistry(name, self._loaded, self._note_failure)

    def _note_failure(self, part: Registered, reason: str) -> None:
        known = self._failures.setdefault(part.origin.key, [])
        if reason not in known:
            known.append(reason)

    def point(self, name: str) -> PartRegistry[Any]:
        """The parts of an extension point by its name; raises KeyError for what is none of EXTENSION_POINTS."""
        if EXTENSION_POINTS[name].kind is not HookKind.REGISTRY:
            raise KeyError(name)
        found: PartRegistry[Any] = getattr(self, name)
        return found

    def examine(self) -> tuple[PluginReport, ...]:
        """Resolve everything that plugins refer to, and return their states as they are then."""
        for point in EXTENSION_POINTS.values():
            if point.kind is HookKind.REGISTRY:
                for part in self.point(point.name):
                    self._examine(part)
        return self.reports

    def _examine(self, part: Registered) -> None:
        # What is wrong is noted where it is found, and shows in the plugin's state.
        with contextlib.suppress(PluginError):
            self.point(part.point).examine(part.name)

    @property
    def reports(self) -> tuple[PluginReport, ...]:
        """All plugins with their states; one whose part could not be used since is broken."""
        return tuple(self._present(report) for report in self._loaded.reports)

    def _present(self, report: PluginReport) -> PluginReport:
        failures = self._failures.get(report.origin.key)
        if not failures:
            return report
        return report.turned(State.BROKEN, failures[0], remedy(report.origin)).noted(failures[1:])

    def versions(self) -> Mapping[str, str]:
        """The version of every plugin that this process has loaded, by the plugin's key."""
        loaded = (report.origin for report in self._loaded.reports if report.origin.key in self._loaded.modules)
        return {origin.key: origin.version or "" for origin in loaded}

    def declared(self, path: str) -> Declared:
        """The part that the import path `path` (`flashcore_acme:Canary`) declares. Raises UnknownPart."""
        contest = self._loaded.declarations.get(path)
        if contest is not None and contest.winner is not None:
            return Declared(contest.winner[1].point, contest.winner[1].name)
        raise self._undeclared(path, [str(origin) for origin, _ in contest.losers] if contest is not None else [])

    @property
    def declarations(self) -> Mapping[str, Declared]:
        """All import paths that declare a part."""
        winners = {path: contest.winner for path, contest in self._loaded.declarations.items()}
        return {path: Declared(claim[1].point, claim[1].name) for path, claim in winners.items() if claim is not None}

    def _undeclared(self, path: str, claimants: list[str]) -> UnknownPart:
        near = near_matches(path, self.declarations)
        package = package_declaring(path)
        if claimants:
            why, step = f"{' and '.join(claimants)} both declare it", "uninstall one of them"
        elif package is not None:
            why, step = f"it is in {package}, which is not installed", f"pip install {package}"
        elif near:
            why, step = "no plugin declares it", f"did you mean {near[0]!r}?"
        else:
            why, step = "no plugin declares it", "install the plugin that has it, then: flashcore plugins list"
        return UnknownPart(f"{path} is no part: {why}", next_step=step, path=path, near=near, package=package)

    def call_each(self, hook: str, **arguments: Any) -> Iterator[Called]:
        """Call every implementation of an observing or amending hook, one at a time as the iterator is read."""
        return call_each(self._loaded.table, self._origins, hook, **arguments)

    def amend_manifest(self, manifest: Manifest) -> Manifest:
        """The manifest as plugins leave it. Raises what a plugin raises, with a note of whose it is."""
        from flashcore.model.manifest import Manifest

        amended: Manifest = self._amended("flashcore_manifest", "manifest", manifest, Manifest)
        return amended

    def amend_replica_env(self, revision: RevisionContent, env: Mapping[str, str]) -> Mapping[str, str]:
        """The environment of a revision's replicas as plugins leave it. Raises what a plugin raises, with a note."""
        amended: Mapping[str, str] = self._amended("flashcore_replica_env", "env", env, Mapping, revision=revision)
        return amended

    def _amended(self, hook: str, subject: str, value: Any, kind: type, **others: Any) -> Any:
        for implementation in implementations(self._loaded.table, hook):
            origin = self._origins[implementation.plugin_name]
            called = call_one(implementation, origin, hook, {**others, subject: value})
            if called.failure is not None:
                raise called.failure
            if called.value is None:
                continue
            if not isinstance(called.value, kind):
                returned = type(called.value).__name__
                raise plugin_error(origin, hook, f"it must return a {kind.__name__} or None, not {returned}")
            value = called.value
        return value

    def tell(self, event: Event) -> None:
        """Tell all observers of an event. Returns at once and raises nothing; thread-safe."""
        self._observers.tell(event=event)

    @property
    def observers(self) -> Observers:
        """Those who are told of events."""
        return self._observers

    def close(self) -> None:
        """Let observers finish, for a second at most. Idempotent."""
        self._observers.close()

    def _observers_of(self, hook: str) -> Observers:
        found = implementations(self._loaded.table, hook)
        return Observers(hook, ((self._origins[one.plugin_name], one) for one in found))
