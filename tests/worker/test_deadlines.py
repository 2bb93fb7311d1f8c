"""Jobs that are late are told of when they are, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from flashcore.model.names import JobId
from flashcore.testing.virtual_time import run_virtual
from flashcore.worker.deadlines import Deadlines

A, B, C = JobId("a"), JobId("b"), JobId("c")


class Watch:
    """Deadlines, and when which jobs were late, in seconds from the beginning."""

    def __init__(self) -> None:
        self.late: list[tuple[float, list[JobId]]] = []
        self.deadlines = Deadlines(self._over)
        self._began = asyncio.get_running_loop().time()

    def _over(self, late: Collection[JobId]) -> None:
        passed = asyncio.get_running_loop().time() - self._began
        self.late.append((round(passed, 3), sorted(late)))


def test_each_job_is_late_at_its_own_time() -> None:
    """Whatever the order in which they came; those of one moment are told of together."""

    async def scenario() -> Watch:
        watch = Watch()
        for job, seconds in ((A, 5.0), (B, 2.0), (C, 5.0)):
            watch.deadlines.set(job, seconds)
        await asyncio.sleep(60.0)
        return watch

    assert run_virtual(scenario()).late == [(2.0, [B]), (5.0, [A, C])]


def test_a_job_that_has_ended_is_not_late() -> None:
    """Nor is one whose deadline comes after that of a job that ended."""

    async def scenario() -> Watch:
        watch = Watch()
        watch.deadlines.set(A, 2.0)
        watch.deadlines.set(B, 3.0)
        watch.deadlines.drop(A)
        await asyncio.sleep(10.0)
        watch.deadlines.set(C, 1.0)
        watch.deadlines.drop(C)
        watch.deadlines.set(A, 4.0)
        await asyncio.sleep(60.0)
        return watch

    assert run_virtual(scenario()).late == [(3.0, [B]), (14.0, [A])]
