"""Parts by name: those of a registry, or without one the built-in ones, and those that a test puts beside them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from flashcore.builtin import hooks
from flashcore.control.parts import Offer, Parts, Point
from flashcore.hookspecs.gates import Gate
from flashcore.hookspecs.probes import Probe
from flashcore.hookspecs.records import Part
from flashcore.hookspecs.resources import ResourceType
from flashcore.hookspecs.scalers import Scaler
from flashcore.hookspecs.strategies import Strategy
from flashcore.model.errors import UnknownPart
from flashcore.model.parts import PartRef

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Offered:
    """A part that can be had."""

    part: Part


@dataclass(frozen=True, slots=True)
class BuiltIn(Generic[T]):
    """The built-in parts of one extension point, without a registry."""

    records: Mapping[str, Part]

    def get(self, name: str) -> Offered:
        """The record of a part."""
        if name not in self.records:
            raise UnknownPart(f"there is no part {name!r}")
        return Offered(self.records[name])

    def make(self, ref: PartRef) -> T:
        """The part, made from its options."""
        made: T = made_by(self.get(ref.name).part, ref)
        return made


@dataclass(slots=True)
class PartTable(Generic[T]):
    """The parts of one extension point: those of somebody else, and parts that a test has made."""

    others: Point[T]
    made: dict[str, Callable[..., T]] = field(default_factory=dict)
    """By name, what makes a part from the arguments of its declaration."""
    around: Callable[[PartRef, T], T] | None = None
    """What stands between every part and who asks for it."""

    def get(self, name: str) -> Offer:
        """The record of a part."""
        return Offered(Part("test:part", "made by a test")) if name in self.made else self.others.get(name)

    def make(self, ref: PartRef) -> T:
        """The part, made from its options."""
        made = self.made[ref.name](*ref.args, **ref.options) if ref.name in self.made else self.others.make(ref)
        return made if self.around is None else self.around(ref, made)


class PartTables:
    """The extension points that a controller uses, with the parts of a registry; the built-in ones without one."""

    def __init__(self, others: Parts | None = None) -> None:
        parts = others or _BuiltInParts()
        self.strategies: PartTable[Strategy] = PartTable(parts.strategies)
        self.gates: PartTable[Gate] = PartTable(parts.gates)
        self.scalers: PartTable[Scaler] = PartTable(parts.scalers)
        self.probes: PartTable[Probe] = PartTable(parts.probes)
        self.resource_types: PartTable[ResourceType] = PartTable(parts.resource_types)


@dataclass(frozen=True, slots=True)
class _BuiltInParts:
    strategies: BuiltIn[Strategy] = field(default_factory=lambda: BuiltIn(hooks.flashcore_strategies()))
    gates: BuiltIn[Gate] = field(default_factory=lambda: BuiltIn(hooks.flashcore_gates()))
    scalers: BuiltIn[Scaler] = field(default_factory=lambda: BuiltIn(hooks.flashcore_scalers()))
    probes: BuiltIn[Probe] = field(default_factory=lambda: BuiltIn(hooks.flashcore_probes()))
    resource_types: BuiltIn[ResourceType] = field(default_factory=lambda: BuiltIn(hooks.flashcore_resource_types()))


def made_by(record: Part, ref: PartRef) -> Any:
    """The part that a record is about, made from its options."""
    factory = resolve(record.ref)
    return factory() if record.options is None else factory(resolve(record.options)(*ref.args, **ref.options))


def resolve(ref: str) -> Any:
    """What `package.module:Attribute` is."""
    module, _, attribute = ref.partition(":")
    return getattr(importlib.import_module(module), attribute)
