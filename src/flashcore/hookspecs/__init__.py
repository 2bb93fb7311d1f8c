"""The contracts that third parties implement: one file per extension point, with its hook, Protocol, values and errors.

`EXTENSION_POINTS` is the list of them as plain strings: nothing is imported to read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class HookKind(Enum):
    """How the platform uses a hook."""

    REGISTRY = "registry"
    """Returns named records; the user chooses by name."""
    OBSERVE = "observe"
    """Is told, and can change nothing."""
    AMEND = "amend"
    """Changes what passes; its failure stops the operation."""


@dataclass(frozen=True, slots=True)
class ExtensionPoint:
    """One place where plugins come in."""

    name: str
    hook: str
    kind: HookKind
    module: str
    """Where the hook, the Protocol and the range `API` of contract numbers are."""
    protocol: str = ""
    """Name of the Protocol in that module."""


def _registry(name: str, module: str, protocol: str) -> ExtensionPoint:
    return ExtensionPoint(name, f"flashcore_{name}", HookKind.REGISTRY, f"flashcore.hookspecs.{module}", protocol)


EXTENSION_POINTS: Mapping[str, ExtensionPoint] = {
    point.name: point
    for point in (
        _registry("resource_types", "resources", "ResourceType"),
        _registry("strategies", "strategies", "Strategy"),
        _registry("gates", "gates", "Gate"),
        _registry("probes", "probes", "Probe"),
        _registry("handler_generators", "handlers", "HandlerGenerator"),
        _registry("state_backends", "state", "Stores"),
        _registry("providers", "providers", "ProviderFactory"),
        _registry("artifact_stores", "artifacts", "ArtifactStore"),
        _registry("routing_policies", "routing", "RoutingPolicy"),
        _registry("scalers", "scalers", "Scaler"),
        _registry("serializers", "serializers", "Serializer"),
        _registry("commands", "commands", ""),
        ExtensionPoint("event", "flashcore_event", HookKind.OBSERVE, "flashcore.hookspecs.observers"),
        ExtensionPoint("manifest", "flashcore_manifest", HookKind.AMEND, "flashcore.hookspecs.amendments"),
        ExtensionPoint("replica_env", "flashcore_replica_env", HookKind.AMEND, "flashcore.hookspecs.amendments"),
    )
}
