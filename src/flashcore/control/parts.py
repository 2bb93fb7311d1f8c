"""What the controller needs of the registry, and the parts that one policy names."""

from __future__ import annotations

from typing import Protocol, TypeVar

from flashcore.control.consult import Advisors, gates_of
from flashcore.hookspecs.gates import Gate
from flashcore.hookspecs.probes import Probe
from flashcore.hookspecs.records import Part
from flashcore.hookspecs.resources import ResourceType
from flashcore.hookspecs.scalers import Scaler
from flashcore.hookspecs.strategies import Strategy
from flashcore.model.declaration import Policy
from flashcore.model.parts import PartRef

T_co = TypeVar("T_co", covariant=True)


class Offer(Protocol):
    """A part that can be had."""

    @property
    def part(self) -> Part:
        """Its record."""
        ...


class Point(Protocol[T_co]):
    """The parts of one extension point."""

    def make(self, ref: PartRef) -> T_co:
        """The part, made from its options. Raises UnknownPart, InvalidOptions or PluginError."""
        ...

    def get(self, name: str) -> Offer:
        """The part of that name. Raises UnknownPart."""
        ...


class Parts(Protocol):
    """Every extension point that the controller uses."""

    @property
    def strategies(self) -> Point[Strategy]:
        """Deployment strategies."""
        ...

    @property
    def gates(self) -> Point[Gate]:
        """Gates."""
        ...

    @property
    def scalers(self) -> Point[Scaler]:
        """Scalers."""
        ...

    @property
    def probes(self) -> Point[Probe]:
        """Probes."""
        ...

    @property
    def resource_types(self) -> Point[ResourceType]:
        """Resource types."""
        ...


def advisors_of(parts: Parts, policy: Policy) -> Advisors:
    """The strategy and the gates of a policy. Raises UnknownPart, InvalidOptions or PluginError."""
    strategy = parts.strategies.make(policy.strategy)
    bound = gates_of(strategy, policy.gates)
    gates = {name: tuple((ref.name, parts.gates.make(ref)) for ref in refs) for name, refs in bound.items()}
    return Advisors(strategy, policy.strategy.name, gates)
