"""Gates: say at a checkpoint of a rollout whether it may go on.

All gates of a checkpoint are asked at every pass; any Fail fails the rollout, all must Pass. Waiting is not failing:
a Hold costs no budget and has no deadline. A gate is pure; what it needs to measure comes in its view.

How unlike gates satisfy it:

* manual: Pass when `promoted`, otherwise Hold without a time: nothing but a person ends it.
* delay: Hold until `since` + seconds, then Pass. A restart of the controller changes nothing, since `since` is stored.
* an error budget for a canary: compares both sides of `warm`; Hold while there are too few requests to tell, Fail when
  the target is worse, Pass when it is not.
* a change calendar or a ticket system: what it asks over the network has to be fetched by something else and handed in
  by a promotion, since a gate does no I/O: it would decide differently when the log is replayed.
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

    note: str = ""
    """What a gate that only watches has to say: written to the log when the rollout passes the checkpoint."""


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
    """What gateways counted of each side since the checkpoint was reached; None while none has said anything."""
    target_signals: SideSignals | None
    stable_cold: SideSignals | None = None
    """Which of these were counted while a replica of the side had only just become ready: first calls are slow, and
    say little of the revision. `warm` leaves them out."""
    target_cold: SideSignals | None = None

    @property
    def warm(self) -> tuple[SideSignals, SideSignals] | None:
        """The counts of the stable side and of the target without those of cold replicas; None while there are none."""
        if self.stable_signals is None or self.target_signals is None:
            return None
        stable, target = self.stable_signals, self.target_signals
        return (
            stable.without(self.stable_cold) if self.stable_cold else stable,
            target.without(self.target_cold) if self.target_cold else target,
        )


class Gate(Protocol):
    """Made by the part's factory from its options."""

    def verdict(self, view: GateView) -> Verdict:
        """Whether the rollout may go on."""
        ...


@hookspec
def flashcore_gates() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer gates."""
