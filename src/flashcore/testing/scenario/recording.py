"""What is written down of a run: every event in one line, the shape of each endpoint after each commit, its load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from flashcore.control.readmodel import DeploymentView
from flashcore.model.deployment import Rollout
from flashcore.model.events import Event
from flashcore.model.names import EndpointName, ReplicaId
from flashcore.testing.invariants import Invariants, Moment
from flashcore.testing.scenario.traffic import Tally, Traffic
from flashcore.testing.simulation import World

_ENDS = frozenset({"replica.failed_to_start", "replica.terminated"})
LAST_STEPS = 15
"""Lines of the trace that are shown before a breach."""


@dataclass(frozen=True, slots=True)
class SideSample:
    """One side at one moment."""

    version: int
    role: str
    live: int
    ready: int
    share: float
    """Of the calls, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One endpoint after one commit."""

    at: float
    goal: int
    sides: tuple[SideSample, ...]

    @property
    def live(self) -> int:
        """Replicas that serve or are on their way to it."""
        return sum(side.live for side in self.sides)

    @property
    def serving(self) -> int:
        """Ready replicas of sides that have calls."""
        return sum(side.ready for side in self.sides if side.share > 0)


@dataclass(frozen=True, slots=True)
class LoadSample:
    """Requests so far, at one moment."""

    at: float
    offered: float
    failed: float
    errors: float


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened: an event of the controller, or something from outside in words."""

    at: float
    commit: int
    endpoint: str
    what: Event | str


@dataclass(frozen=True, slots=True)
class Breach:
    """An invariant that did not hold."""

    text: str
    commit: int
    """The number of the commit at which it was seen."""
    at: float
    steps: tuple[str, ...]
    """The last lines of the trace before it."""


@dataclass(slots=True)
class Recording:
    """Attached to a world whose invariants are watched."""

    world: World
    invariants: Invariants
    versions: dict[str, int] = field(default_factory=dict)
    """The number of the version of each revision."""
    steps: list[Step] = field(default_factory=list)
    _failed: set[tuple[str, ReplicaId | None]] = field(default_factory=set)
    _leaving: set[ReplicaId | None] = field(default_factory=set)
    _broken: list[tuple[str, int, float, int]] = field(default_factory=list)
    samples: dict[EndpointName, list[Sample]] = field(default_factory=dict)
    loads: dict[EndpointName, list[LoadSample]] = field(default_factory=dict)
    marks: list[tuple[float, str, str]] = field(default_factory=list)
    """What happened from outside, for the picture: when, to which endpoint, in a few words."""
    codes: Counter[str] = field(default_factory=Counter)
    """Why rollouts waited or were held back, by reason code: how many commits said so."""
    last_of_each_rollout: dict[EndpointName, dict[int, DeploymentView]] = field(default_factory=dict)
    """Each rollout as it was seen last, by generation."""
    ended_at: dict[tuple[EndpointName, int], float] = field(default_factory=dict)
    """When a rollout was first seen finished, or seen last, by the controller's clock."""

    def __post_init__(self) -> None:
        """Begin to listen."""
        told = self.world.told

        def tell(event: Event) -> None:
            self._note(event)
            told(event)

        self.world.told = tell
        self.invariants.seen = self._see
        self.invariants.breached = self._breach

    def since_begin(self) -> float:
        """Seconds from the beginning of the run, by a clock that does not jump."""
        return self.world.elapsed()

    def happen(self, what: str, endpoint: str = "") -> None:
        """Something came from outside."""
        self.marks.append((self.since_begin(), endpoint, what))
        self.steps.append(Step(self.since_begin(), self.invariants.commits, endpoint, what))

    def note_load(self, traffic: Traffic) -> None:
        """How many requests there were so far."""
        for endpoint, tally in traffic.tallies.items():
            self.loads.setdefault(endpoint, []).append(_load_sample(self.since_begin(), tally))

    def failures(self, endpoint: str) -> int:
        """How many replicas of an endpoint failed to start or to go on."""
        return sum(where == endpoint for where, _ in self._failed)

    @property
    def trace(self) -> tuple[str, ...]:
        """The steps, one line each."""
        return tuple(map(self._line, self.steps))

    @property
    def breaches(self) -> tuple[Breach, ...]:
        """What was broken, in the order in which it was seen."""
        return tuple(
            Breach(text, commit, at, tuple(map(self._line, self.steps[max(0, until - LAST_STEPS) : until])))
            for text, commit, at, until in self._broken
        )

    def _note(self, event: Event) -> None:
        if event.kind == "replica.draining":
            self._leaving.add(event.replica)
        # One that was taken out of service failed nobody by ending.
        if event.endpoint and event.kind in _ENDS and event.replica not in self._leaving:
            self._failed.add((event.endpoint, event.replica))
        self.steps.append(Step(self.since_begin(), self.invariants.commits, event.endpoint or "", event))

    def _line(self, step: Step) -> str:
        what, number = step.what, f"{step.commit:4}"
        if isinstance(what, str):
            return f"{step.at:10.3f}   -- {step.endpoint:<12} {what}"
        version = f" v{self.versions[what.revision]}" if what.revision in self.versions else ""
        replica = f" {what.replica.rsplit('-', 1)[-1]}" if what.replica else ""
        status = f" {what.data['status']}" if what.kind == "deployment.status" else ""
        said = f": {what.message}" if what.message else ""
        return f"{step.at:10.3f} {number} {step.endpoint:<12} {what.kind}{version}{replica}{status}{said}"

    def _see(self, moment: Moment) -> None:
        view = moment.view
        for revision in view.revisions:
            self.versions.setdefault(revision.id, int(revision.content.template.env["VERSION"]))
        self._failed |= {(view.endpoint, one.id) for side in view.sides for one in side.replicas if one.failed}
        sample = Sample(self.since_begin(), view.goal, _sides(view, self.versions))
        self.samples.setdefault(view.endpoint, []).append(sample)
        if view.rollout is not None:
            self._note_rollout(view, view.rollout)

    def _note_rollout(self, view: DeploymentView, rollout: Rollout) -> None:
        seen = self.last_of_each_rollout.setdefault(view.endpoint, {})
        before = seen.get(rollout.generation)
        seen[rollout.generation] = view
        if before is None or before.rollout is None or not before.rollout.state.finished:
            self.ended_at[view.endpoint, rollout.generation] = self.world.clock.now()
        if rollout.reason_code and not rollout.state.finished:
            self.codes[rollout.reason_code] += 1

    def _breach(self, text: str) -> None:
        self._broken.append((text, self.invariants.commits, self.since_begin(), len(self.steps)))


def _sides(view: DeploymentView, versions: Mapping[str, int]) -> tuple[SideSample, ...]:
    by_capacity = sum(side.ready for side in view.sides if side.share is None)
    return tuple(
        SideSample(
            versions.get(side.revision, 0),
            side.role,
            side.live,
            side.ready,
            side.share / 100 if side.share is not None else side.ready / by_capacity if by_capacity else 0.0,
        )
        for side in view.sides
    )


def _load_sample(at: float, tally: Tally) -> LoadSample:
    return LoadSample(at, tally.offered, tally.failed, tally.errors)
