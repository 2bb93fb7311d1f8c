"""What a run came to: of each endpoint the end, its rollouts, its load; what was breached, what was not as expected."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flashcore.control.readmodel import DeploymentView
from flashcore.model.names import EndpointName
from flashcore.testing.scenario.playing import Play
from flashcore.testing.scenario.recording import Breach, LoadSample, Sample
from flashcore.testing.scenario.traffic import Tally
from flashcore.testing.scenario.values import Expect

_NONE = 1e-6
"""Fractions of a request below this are what is left of rounding."""


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """One rollout, as it ended."""

    generation: int
    version: int
    state: str
    seconds: float
    reason: str
    initial: bool


@dataclass(frozen=True, slots=True)
class EndpointResult:
    """One endpoint at the end of a run."""

    endpoint: str
    status: str
    reason: str
    version: int | None
    """The stable one."""
    goal: int
    ready: int
    min_ready: int | None
    """The fewest replicas that served, from the first time that all were ready; None if they never were."""
    max_existing: int
    failures: int
    """Replicas that failed."""
    offered: int
    answered: int
    errors: int
    """Answered with an error by the app."""
    failed: int
    """Not answered: lost with a replica, or kept waiting for too long."""
    rollouts: tuple[RolloutResult, ...]


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run of a scenario with one seed."""

    scenario: str
    seed: int
    seconds: float
    """Of virtual time."""
    commits: int
    digest: str
    """Of the trace: equal for equal runs."""
    endpoints: tuple[EndpointResult, ...]
    breaches: tuple[Breach, ...]
    unmet: tuple[str, ...]
    """Expectations that were not met."""
    stuck: tuple[str, ...]
    refused: tuple[str, ...]
    codes: Mapping[str, int]
    trace: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether everything is as it should be."""
        return not (self.breaches or self.unmet or self.stuck)


@dataclass(frozen=True, slots=True)
class Film:
    """What a picture is drawn from."""

    scenario: str
    seed: int
    seconds: float
    samples: Mapping[EndpointName, tuple[Sample, ...]]
    loads: Mapping[EndpointName, tuple[LoadSample, ...]]
    marks: tuple[tuple[float, str, str], ...]


def result_of(play: Play) -> RunResult:
    """What a play came to."""
    recording, trace = play.recording, play.recording.trace
    endpoints = tuple(_endpoint(play, one.name) for one in play.scenario.endpoints)
    return RunResult(
        scenario=play.scenario.name,
        seed=play.seed,
        seconds=round(play.world.elapsed(), 3),
        commits=play.invariants.commits,
        digest=hashlib.sha256("\n".join(trace).encode()).hexdigest()[:16],
        endpoints=endpoints,
        breaches=recording.breaches,
        unmet=tuple(unmet(play.scenario.expects, endpoints)),
        stuck=tuple(play.stuck),
        refused=tuple(play.refused),
        codes=dict(sorted(recording.codes.items())),
        trace=trace,
    )


def film_of(play: Play) -> Film:
    """What there is to draw of a play."""
    recording = play.recording
    return Film(
        play.scenario.name,
        play.seed,
        play.world.elapsed(),
        {endpoint: tuple(samples) for endpoint, samples in recording.samples.items()},
        {endpoint: tuple(samples) for endpoint, samples in recording.loads.items()},
        tuple(recording.marks),
    )


def _endpoint(play: Play, name: str) -> EndpointResult:
    recording = play.recording
    samples = recording.samples.get(EndpointName(name), [])
    tally = play.traffic.tallies.get(EndpointName(name), Tally())
    view = play.last_view(name)
    return EndpointResult(
        endpoint=name,
        status=view.status.value if view else "gone",
        reason=view.reason if view else "",
        version=recording.versions.get(view.stable or "") if view else None,
        goal=view.goal if view else 0,
        ready=view.ready if view else 0,
        min_ready=_fewest(samples),
        max_existing=max((sample.live for sample in samples), default=0),
        failures=recording.failures(name),
        offered=round(tally.offered),
        answered=round(tally.answered),
        errors=round(tally.errors),
        failed=math.ceil(tally.failed - _NONE),
        rollouts=tuple(_rollouts(play, name)),
    )


def _fewest(samples: list[Sample]) -> int | None:
    whole = next((i for i, sample in enumerate(samples) if sample.goal and sample.serving >= sample.goal), None)
    return None if whole is None else min(sample.serving for sample in samples[whole:])


def _rollouts(play: Play, name: str) -> Iterator[RolloutResult]:
    for view in play.recording.last_of_each_rollout.get(EndpointName(name), {}).values():
        yield _rollout(view, play)


def _rollout(view: DeploymentView, play: Play) -> RolloutResult:
    rollout = view.rollout
    if rollout is None:
        raise ValueError(f"{view.endpoint} has no rollout")
    return RolloutResult(
        generation=rollout.generation,
        version=play.recording.versions.get(rollout.target, 0),
        state=rollout.state.value,
        seconds=round(play.recording.ended_at[view.endpoint, rollout.generation] - rollout.started_at, 3),
        reason=rollout.reason,
        initial=rollout.initial,
    )


def unmet(expects: tuple[Expect, ...], endpoints: tuple[EndpointResult, ...]) -> Iterator[str]:
    """Every expectation that was not met, in words."""
    by_name = {one.endpoint: one for one in endpoints}
    for expect in expects:
        for what in _differences(expect, by_name[expect.endpoint]):
            yield f"{expect.endpoint}: {what}"


def _differences(expect: Expect, seen: EndpointResult) -> Iterator[str]:
    last = seen.rollouts[-1] if seen.rollouts else None
    for what, wanted, found in (
        ("status", expect.status, seen.status),
        ("outcome", expect.outcome, last.state if last else "no rollout"),
        ("version", expect.version, seen.version),
    ):
        if wanted is not None and wanted != found:
            yield f"{what} is {found}, not {wanted}{_because(seen)}"
    said = f"{last.reason if last else ''} {seen.reason}"
    if expect.reason is not None and expect.reason not in said:
        yield f"the reason does not say {expect.reason!r}, but {said.strip()!r}"
    for rollout in seen.rollouts:
        if expect.within is not None and rollout.seconds > expect.within:
            yield f"rollout {rollout.generation} took {rollout.seconds:g} s, {expect.within:g} s were allowed"
    if expect.failed_requests is not None and seen.failed > expect.failed_requests:
        yield f"{seen.failed} of {seen.offered} requests failed, {expect.failed_requests} were allowed"
    if expect.min_ready is not None and (seen.min_ready or 0) < expect.min_ready:
        yield f"{seen.min_ready or 0} replicas served at the lowest, {expect.min_ready} were expected"
    if expect.max_existing is not None and seen.max_existing > expect.max_existing:
        yield f"{seen.max_existing} replicas existed at the most, {expect.max_existing} were allowed"


def _because(seen: EndpointResult) -> str:
    return f" ({seen.reason})" if seen.reason else ""
