"""Running a scenario: once, or many times with one seed after the other, on all processors."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from flashcore.control.parts import Parts
from flashcore.testing.scenario.outcome import Film, RunResult, film_of, result_of
from flashcore.testing.scenario.playing import play
from flashcore.testing.scenario.values import Scenario
from flashcore.testing.simulation import World
from flashcore.testing.virtual_time import run_virtual

PARALLEL_FROM = 20
"""Runs from which another process is worth its start."""
CHUNK = 25
"""Runs that a process is given at a time."""

OpenParts = Callable[[], Parts]
"""Opens the parts that a scenario names, in the process that it is called in. Must be picklable for many runs."""


def run(scenario: Scenario, seed: int | None = None, parts: Parts | None = None) -> RunResult:
    """Run a scenario in virtual time."""
    return filmed(scenario, seed, parts)[0]


def filmed(scenario: Scenario, seed: int | None = None, parts: Parts | None = None) -> tuple[RunResult, Film]:
    """Run a scenario, and keep what a picture of it needs."""
    chosen = scenario.seed if seed is None else seed

    async def whole() -> tuple[RunResult, Film]:
        played = await play(scenario, chosen, World(chosen, parts=parts))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        return result_of(played), film_of(played)

    return run_virtual(whole())


def run_many(
    scenario: Scenario, seeds: range, open_parts: OpenParts, processes: int | None = None
) -> Iterator[RunResult]:
    """Run a scenario once for each seed, in the order of the seeds. Traces are kept of runs that went wrong alone."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    work = partial(_run_chunk, scenario, open_parts)
    if len(seeds) < PARALLEL_FROM or processes == 1:
        for chunk in chunks:
            yield from work(chunk)
        return
    # Not forked: whoever calls may have threads.
    with ProcessPoolExecutor(processes, get_context("spawn"), _collect_seldom) as pool:
        for results in pool.map(work, chunks):
            yield from results


def _run_chunk(scenario: Scenario, open_parts: OpenParts, seeds: range) -> list[RunResult]:
    parts = open_parts()
    return [_small(run(scenario, seed, parts)) for seed in seeds]


def _collect_seldom() -> None:
    """In a process of ours: a run leaves little behind, and looking for it all the time costs a tenth."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _small(result: RunResult) -> RunResult:
    return dataclasses.replace(result, trace=()) if result.good else result
