"""How runs of a scenario are shown: one in full, many as a summary with the first that went wrong."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import click

from flashcore.cli import output
from flashcore.testing.scenario.outcome import EndpointResult, RunResult


@dataclass(slots=True)
class Spread:
    """Durations of one kind."""

    seconds: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """The duration that this share of all does not exceed."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def as_json(self) -> dict[str, float]:
        """For programs."""
        return {"count": len(self.seconds), "p50": self.at(0.5), "p99": self.at(0.99), "max": self.at(1.0)}


@dataclass(slots=True)
class Summary:
    """Many runs."""

    runs: int = 0
    real_seconds: float = 0.0
    digests: set[str] = field(default_factory=set)
    durations: dict[tuple[str, str], Spread] = field(default_factory=dict)
    """By endpoint and how the rollout ended; first deployments are left out."""
    peaks: dict[str, int] = field(default_factory=dict)
    floors: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    offered: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    bad: list[RunResult] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether all went well."""
        return not self.bad

    def add(self, result: RunResult) -> None:
        """One more."""
        self.runs += 1
        self.digests.add(result.digest)
        if not result.good:
            self.bad.append(result)
        for code, count in result.codes.items():
            self.codes[code] = self.codes.get(code, 0) + count
        for one in result.endpoints:
            self._add_endpoint(one)

    def _add_endpoint(self, one: EndpointResult) -> None:
        name = one.endpoint
        for rollout in one.rollouts:
            if not rollout.initial:
                self.durations.setdefault((name, rollout.state), Spread()).seconds.append(rollout.seconds)
        self.peaks[name] = max(self.peaks.get(name, 0), one.max_existing)
        if one.min_ready is not None:
            self.floors[name] = min(self.floors.get(name, one.min_ready), one.min_ready)
        for counted, number in ((self.failures, one.failures), (self.offered, one.offered), (self.failed, one.failed)):
            counted[name] = counted.get(name, 0) + number


def summary_of(results: Iterable[RunResult]) -> Summary:
    """All of them together."""
    summary, began = Summary(), time.perf_counter()
    for result in results:
        summary.add(result)
    summary.real_seconds = time.perf_counter() - began
    return summary


def show_run(result: RunResult, *, as_json: bool, trace: bool) -> None:
    """One run in full."""
    if as_json:
        output.show_json({**dataclasses.asdict(result), "good": result.good})
        return
    if trace:
        for line in result.trace:
            click.echo(line)
    for one in result.endpoints:
        _show_endpoint(one)
    for refused in result.refused:
        output.say(f"refused: {refused}")
    _show_problems(result)
    word = click.style("good", fg="green") if result.good else click.style("not good", fg="red", bold=True)
    which = f", seed {result.seed}" if result.digest else ""
    digest = f", trace {result.digest}" if result.digest else ""
    click.echo(f"{word}: {result.scenario}{which}, {result.seconds:g} s, {result.commits} commits{digest}")


def show_runs(summary: Summary, *, as_json: bool) -> None:
    """Many runs."""
    if as_json:
        output.show_json(_as_json(summary))
        return
    rows = [
        [name, state, str(len(spread.seconds)), *(f"{spread.at(share):.1f} s" for share in (0.5, 0.99, 1.0))]
        for (name, state), spread in sorted(summary.durations.items())
    ]
    if rows:
        output.show_table(["ENDPOINT", "ROLLOUTS", "COUNT", "P50", "P99", "MAX"], rows)
    for name in sorted(summary.peaks):
        click.echo(
            f"{name}: {summary.floors.get(name, 0)} replicas served at the lowest, {summary.peaks[name]} existed at the"
            f" most, {summary.failures[name]} failed; {summary.failed[name]} of {summary.offered[name]} requests failed"
        )
    if summary.codes:
        click.echo("waits and clamps: " + ", ".join(f"{code} {count}" for code, count in sorted(summary.codes.items())))
    for result in summary.bad[:3]:
        _show_problems(result)
    word = click.style("good", fg="green") if summary.good else click.style("not good", fg="red", bold=True)
    click.echo(
        f"{word}: {summary.runs - len(summary.bad)} of {summary.runs} runs as expected,"
        f" {len(summary.digests)} different, in {summary.real_seconds:.1f} s"
    )


def _show_endpoint(one: EndpointResult) -> None:
    why = f": {one.reason}" if one.reason else ""
    version = f", v{one.version}" if one.version else ""
    click.echo(f"{one.endpoint}: {one.status}{version}, {one.ready} of {one.goal} ready{why}")
    for rollout in one.rollouts:
        reason = f": {rollout.reason}" if rollout.reason else ""
        click.echo(f"  v{rollout.version} {rollout.state} after {rollout.seconds:g} s{reason}")
    floor = "-" if one.min_ready is None else str(one.min_ready)
    click.echo(
        f"  replicas: {floor} served at the lowest, {one.max_existing} existed at the most, {one.failures} failed"
    )
    if one.offered:
        click.echo(
            f"  requests: {one.offered} offered, {one.answered} answered, {one.failed} failed,"
            f" {one.errors} answered with an error by the app"
        )


def _show_problems(result: RunResult) -> None:
    for breach in result.breaches:
        output.say(
            f"{click.style('invariant broken', fg='red', bold=True)} with seed {result.seed}, commit {breach.commit},"
            f" {breach.at:.3f} s: {breach.text}"
        )
        for step in breach.steps:
            output.say(f"    {step}")
    for text in result.unmet:
        output.say(f"not as expected with seed {result.seed}: {text}")
    for text in result.stuck:
        output.say(f"stuck with seed {result.seed}: {text}")


def _as_json(summary: Summary) -> dict[str, object]:
    return {
        "good": summary.good,
        "runs": summary.runs,
        "different": len(summary.digests),
        "durations": [
            {"endpoint": name, "state": state, **spread.as_json()}
            for (name, state), spread in sorted(summary.durations.items())
        ],
        "max_existing": summary.peaks,
        "min_ready": summary.floors,
        "failures": summary.failures,
        "offered": summary.offered,
        "failed": summary.failed,
        "codes": summary.codes,
        "bad": [dataclasses.asdict(result) for result in summary.bad],
    }
