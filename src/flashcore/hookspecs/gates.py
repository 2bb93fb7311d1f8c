"""Gates: say at a checkpoint of a rollout whether it may go on.

All gates of a checkpoint are asked at every pass; any Fail fails the rollout, all must Pass. Waiting is not failing:
a Hold costs no budget and has no deadline. A gate is pure; what it needs to measure comes in its view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.records import Part
from flashcore.hookspecs.strategies import SideView
from flashcore.model.names import EndpointName
from flashcore.model.table import SideSignals

API = range(1, 2)
CAPABILITIES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Pass:
    """The rollout may go on."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Not yet; ask again at `until` (store's clock) or when something changed."""

    reason: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The target must not be promoted."""

    reason: str


Verdict = Pass | Hold | Fail


@dataclass(frozen=True, slots=True)
class GateView:
    """What a gate may know."""

    endpoint: EndpointName
    checkpoint: str
    now: float
    since: float
    """When the rollout came to this checkpoint."""
    promoted: bool
    """A person has said to go on."""
    stable: SideView | None
    target: SideView
    stable_signals: SideSignals | None
    """What gateways counted of each side since the checkpoint was reached, cold replicas left out."""
    target_signals: SideSignals | None


class Gate(Protocol):
    """Made by the part's factory from its options."""

    def verdict(self, view: GateView) -> Verdict:
        """Whether the rollout may go on."""
        ...


@hookspec
def flashcore_gates() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer gates."""
