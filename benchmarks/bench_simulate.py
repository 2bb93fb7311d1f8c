"""How many rollouts a minute the simulator does, and how long a rollout of 1,000 replicas takes.

    python benchmarks/bench_simulate.py [--runs 400] [--processes 2]

Small rollouts: each run deploys three replicas and updates them three times; a tenth of all starts fails, probes are
on, the invariants are checked at every commit. Updates are counted, first deployments are not. Runs are told apart by
the digests of their traces. What they cost is CPU time; on a machine that has something else to do it takes longer, so
both are shown, and what the processors could do in a minute if they had nothing else to do.

The limit is the virtual clock alone: a loop that wakes as many sleepers as such a run has steps, and does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from typing import Any

from flashcore.control.parts import Parts
from flashcore.testing.parts import PartTables
from flashcore.testing.scenario import RunResult, Scenario, run, run_many, scenario_from
from flashcore.testing.virtual_time import run_virtual

UPDATES = 9
WANTED_A_MINUTE = 10_000
WANTED_SECONDS = 2.0


def small() -> Scenario:
    """Three replicas, updated nine times."""
    behaviour = {"runs": {"uniform": [0.05, 0.2]}, "ready": {"uniform": [0.3, 0.9]}, "fails": 0.1}
    versions = {str(version): behaviour for version in range(1, UPDATES + 2)}
    deploys = [{"do": "deploy", "version": 1}]
    deploys += [{"do": "deploy", "version": version, "when": "settled"} for version in range(2, UPDATES + 2)]
    return scenario_from(
        {
            "name": "small",
            "rest": 5.0,
            "endpoints": {"web": {"replicas": 3, "versions": versions}},
            "actions": deploys,
        }
    )


def large(replicas: int, updates: int) -> Scenario:
    """Many replicas that start when they start."""
    slow = {"ready": {"uniform": [0.5, 3.0]}}
    deploys: list[dict[str, Any]] = [{"do": "deploy", "version": 1}]
    deploys += [{"do": "deploy", "version": 2, "when": "settled"}] * updates
    return scenario_from(
        {
            "name": "large",
            "rest": 1.0,
            "endpoints": {"web": {"replicas": replicas, "versions": {"2": slow}}},
            "actions": deploys,
            "expect": [{"status": "ready", "version": 1 + updates}],
        }
    )


def open_parts() -> Parts:
    """In each process."""
    return PartTables()


def clock_alone(steps: int) -> float:
    """CPU seconds of so many wake-ups."""

    async def sleep() -> None:
        for _ in range(steps):
            await asyncio.sleep(0.1)

    began = time.process_time()
    run_virtual(sleep())
    return time.process_time() - began


def updates_of(result: RunResult) -> int:
    """Rollouts that came to an end, first deployments left out."""
    return sum(not rollout.initial for endpoint in result.endpoints for rollout in endpoint.rollouts)


def measure_small(runs: int, processes: int) -> None:
    """Print how many rollouts there are in a minute."""
    scenario = small()
    run(scenario, 0)
    began = time.process_time()
    sample = [run(scenario, seed) for seed in range(40)]
    each = (time.process_time() - began) / sum(map(updates_of, sample))
    steps = sum(len(result.trace) for result in sample) // len(sample)
    limit = clock_alone(100 * steps) / 100 / UPDATES

    began = time.perf_counter()
    results = list(run_many(scenario, range(1, runs + 1), open_parts, processes))
    took = time.perf_counter() - began

    done, different = sum(map(updates_of, results)), len({result.digest for result in results})
    bad = sum(not result.good for result in results)
    possible = 60 / each * (os.cpu_count() or 1)
    print("small rollouts: 3 replicas, a tenth of the starts fails, probes on, invariants at every commit")
    print(f"  {done} rollouts in {runs} runs, {different} different, {bad} not good, in {took:.1f} s")
    print(f"  {60 * done / took:,.0f} a minute with {processes} processes as they had the processors")
    print(f"  {1000 * each:.1f} ms of CPU each, {each / limit:.0f} x the clock alone ({1000 * limit:.2f} ms)")
    share = possible / WANTED_A_MINUTE
    print(f"  so {possible:,.0f} a minute on {os.cpu_count()} idle processors, {share:.2f} of {WANTED_A_MINUTE:,}")


def measure_large(replicas: int) -> None:
    """Print what a rolling update of many replicas costs."""
    costs: list[float] = []
    for updates in (0, 1):
        began = time.process_time()
        result = run(large(replicas, updates))
        costs.append(time.process_time() - began)
        if not result.good:
            raise SystemExit(f"{result.breaches} {result.unmet} {result.stuck}")
    update = costs[1] - costs[0]
    print(f"rolling update of {replicas} replicas that are ready after 0.5 to 3 s, by 25 % each")
    print(f"  {update:.2f} s of CPU, {update / WANTED_SECONDS:.2f} of {WANTED_SECONDS:g} s; {costs[0]:.2f} s to begin")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    measure_small(arguments.runs, arguments.processes)
    measure_large(1000)


if __name__ == "__main__":
    main()
