"""Deployment strategies: decide the next step of a rollout, and nothing else.

A strategy is a pure function from a view to a decision: how many replicas of the old sides and of the target there
should be now, how traffic is split, and whether that is progress, a wait, the end, or a failure. It sees counts,
not replicas; it has no clock, no memory (beyond its own word `step`, which it gets back) and no I/O. The core
enforces the budget, chooses victims, moves traffic, waits at checkpoints, takes a rollout back, retires sides.

How unlike strategies satisfy it (goal 4):

* rolling, surge 1, unavailable 0: budget (4, 5). Target = what the room under max_existing allows; old = what min_ready
  still needs beside the ready targets. (4,1) (3,2) (2,3) (1,4) (0,4), each step when the last one's replica is ready.
* blue_green: budget (4, 8). (4,4) at Percent(0) until the target has 4 ready, then Wait(at="promotion"); passed:
  Percent(100), Done(keep_old=300). The core moves all traffic in one table and keeps the warm old side until then.
* canary 25 %, then 50 %: budget (4, 8). (4,1) at Percent(25), Wait(at="step 1"); passed: (4,2) at Percent(50), ...
  The step's number is its `step`, so a restart of the controller goes on where it was.
* recreate: budget (0, 4). (0,0) until nothing of the old sides exists, then (0,4); Done when 4 are ready.
* three sides in flight (a third revision in mid-rollout): `old` is (stable, superseded...). The strategy still says
  one number for all of them; the core takes from superseded and unready replicas first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.records import Part
from flashcore.model.deployment import Budget, Traffic
from flashcore.model.names import RevisionId
from flashcore.model.parts import PartRef

API = range(1, 2)
CAPABILITIES = frozenset({"needs_percent_traffic", "needs_individual"})
"""What a strategy needs of a provider; one that cannot give it is refused at deploy, by name."""

PROMOTION = "promotion"
"""The checkpoint before all traffic moves; `auto_promote=False` binds the manual gate to it."""


@dataclass(frozen=True, slots=True)
class SideView:
    """The replicas of one revision, counted. `serving` are ready and carry traffic now; ready <= exists."""

    revision: RevisionId
    exists: int
    ready: int
    serving: int
    leaving: int = 0
    """Of those that exist, how many are draining already; they count no more against what may exist, but are there."""

    @property
    def live(self) -> int:
        """How many serve or are on their way to it."""
        return self.exists - self.leaving


@dataclass(frozen=True, slots=True)
class View:
    """Everything that a strategy may know."""

    goal: int
    now: float
    """Seconds by the store's clock, the same for the whole pass."""
    old: tuple[SideView, ...]
    """Stable first, then superseded sides that still exist."""
    target: SideView
    traffic: Traffic
    step: str
    """What the last decision said, "" at the start."""
    step_since: float
    passed: frozenset[str]
    """Checkpoints whose gates have all passed."""

    @property
    def old_ready(self) -> int:
        """Ready replicas of all old sides together."""
        return sum(side.ready for side in self.old)

    @property
    def old_exists(self) -> int:
        """Replicas of all old sides together that exist."""
        return sum(side.exists for side in self.old)

    @property
    def old_live(self) -> int:
        """Replicas of all old sides together that exist and are not draining."""
        return sum(side.live for side in self.old)


@dataclass(frozen=True, slots=True)
class Progress:
    """Go there, then look again when something changed."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until the checkpoint `at` is passed, or `until` (store's clock), or something changed."""

    reason: str
    until: float | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The target is the new stable revision; old sides are kept warm for `keep_old` seconds."""

    keep_old: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """This cannot succeed: the core takes the rollout back."""

    reason: str


Outcome = Progress | Wait | Done | Failed


@dataclass(frozen=True, slots=True)
class Decision:
    """Where to go from here: totals over all old sides and for the target, as the final state of this step."""

    old: int
    target: int
    outcome: Outcome
    traffic: Traffic = Traffic()
    step: str = ""


class Strategy(Protocol):
    """Made by the part's factory from its options."""

    def budget(self, goal: int) -> Budget:
        """What a rollout to `goal` replicas needs at most. Raises errors.InvalidOptions for options that contradict."""
        ...

    def decide(self, view: View) -> Decision:
        """The next step. Equal views give equal decisions."""
        ...


@runtime_checkable
class BindsGates(Protocol):
    """A strategy some of whose own options are gates, as `auto_promote=False` is `manual` at promotion."""

    def gates(self) -> Mapping[str, tuple[PartRef, ...]]:
        """Gates by checkpoint, asked beside those that the endpoint binds."""
        ...


@hookspec
def flashcore_strategies() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer deployment strategies."""
