"""Parts by name without a registry: the built-in ones, and those that a test puts beside them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from flashcore.builtin import hooks
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


@dataclass(slots=True)
class PartTable(Generic[T]):
    """The parts of one extension point: records as plugins give them, and parts that a test has made."""

    records: Mapping[str, Part]
    made: dict[str, Callable[..., T]] = field(default_factory=dict)
    """By name, what makes a part from the arguments of its declaration."""

    def get(self, name: str) -> Offered:
        """The record of a part."""
        if name in self.made:
            return Offered(Part("test:part", "made by a test"))
        if name not in self.records:
            raise UnknownPart(f"there is no part {name!r}")
        return Offered(self.records[name])

    def make(self, ref: PartRef) -> T:
        """The part, made from its options."""
        if ref.name in self.made:
            return self.made[ref.name](*ref.args, **ref.options)
        record = self.get(ref.name).part
        factory = _resolve(record.ref)
        made: T = factory() if record.options is None else factory(_resolve(record.options)(*ref.args, **ref.options))
        return made


@dataclass(slots=True)
class PartTables:
    """The extension points that a controller uses."""

    strategies: PartTable[Strategy] = field(default_factory=lambda: PartTable(hooks.flashcore_strategies()))
    gates: PartTable[Gate] = field(default_factory=lambda: PartTable(hooks.flashcore_gates()))
    scalers: PartTable[Scaler] = field(default_factory=lambda: PartTable(hooks.flashcore_scalers()))
    probes: PartTable[Probe] = field(default_factory=lambda: PartTable(hooks.flashcore_probes()))
    resource_types: PartTable[ResourceType] = field(default_factory=lambda: PartTable(hooks.flashcore_resource_types()))


def _resolve(ref: str) -> Any:
    module, _, attribute = ref.partition(":")
    return getattr(importlib.import_module(module), attribute)
