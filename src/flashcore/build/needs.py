"""What an endpoint's replicas need to have installed."""

from __future__ import annotations

from flashcore.hookspecs.resources import ResourceType
from flashcore.model.declaration import Declaration
from flashcore.model.parts import PartRef
from flashcore.registry.registry import Registry


def requirements_of(declaration: Declaration, resource: ResourceType, registry: Registry) -> tuple[str, ...]:
    """The author's dependencies and those of the handler, sorted."""
    handler = registry.handler_generators.make(PartRef(resource.defaults.handler))
    return tuple(sorted({*declaration.template.dependencies, *handler.requirements()}))
