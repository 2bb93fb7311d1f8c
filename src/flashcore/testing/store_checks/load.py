"""The other process: `python -m flashcore.testing.store_checks.load REF URL WORK`.

Prints one line for each thing that the store has acknowledged, at once, so that whoever kills this process knows
what must be there afterwards. WORK is `state` or `jobs` (until killed), or `counter` (ends by itself).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from flashcore.hookspecs.jobs import Claim, Finish, JobStore
from flashcore.hookspecs.state import Put, Transaction
from flashcore.model.errors import Refused
from flashcore.model.job import NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId
from flashcore.testing.store_checks.state_entries import count_up
from flashcore.testing.store_checks.subject import Subject

TASKS = 8


async def commit_for_ever(subject: Subject) -> None:
    """Commit pairs of keys from several tasks; a line is `NUMBER REVISION TIME`."""
    numbers = itertools.count()
    async with subject.state() as state:

        async def run() -> None:
            for number in numbers:
                pair = Transaction(puts=(Put(f"k/{number}/a", b"x"), Put(f"k/{number}/b", b"y" * 500)))
                revision = await state.commit(pair)
                say(f"{number} {revision} {state.now()}")

        await asyncio.gather(*(run() for _ in range(TASKS)))


async def count(subject: Subject) -> None:
    """Count by compare-and-set from several tasks, then end."""
    async with subject.state() as state:
        await asyncio.gather(*(count_up(state, 25) for _ in range(TASKS)))


LATER, AT_ONCE = EndpointName("killed-later"), EndpointName("killed-at-once")
"""Jobs of the one are claimed when their submission was answered, those of the other as soon as a store rings."""

KILLED_REVISION = RevisionId("0" * 64)


async def work_for_ever(subject: Subject) -> None:
    """Submit, claim and finish jobs from several tasks; a line is `submitted|claimed|finished ID`, then the worker."""
    workers = [WorkerId(f"worker/{n}") for n in range(TASKS + 2)]
    async with subject.jobs() as jobs:
        crowd = _Crowd(jobs)
        await asyncio.gather(
            *map(crowd.submit_and_claim, workers[:TASKS]), *map(crowd.claim_when_rung, workers[TASKS:])
        )


class _Crowd:
    """Those who use a job store, and say what they have heard of it."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._numbers = itertools.count()

    async def submit_and_claim(self, worker: WorkerId) -> None:
        """Submit for ever; claim every now and then, when the answer to a submission was heard."""
        for number in self._numbers:
            await self._submit(number, LATER if number % 3 else AT_ONCE)
            if number % 2:
                await self._take(LATER, worker, every=4)

    async def claim_when_rung(self, worker: WorkerId) -> None:
        """Claim for ever, as soon as there is something to claim."""
        async for rung in self._jobs.enqueued():
            if AT_ONCE in rung:
                await self._take(AT_ONCE, worker, every=2)

    async def _submit(self, number: int, endpoint: EndpointName) -> None:
        identity = JobId(f"job-{number}")
        await self._jobs.submit([NewJob(identity, endpoint, Payload(b'{"n": %d}' % number), lane=number % 100)])
        say(f"submitted {identity}")

    async def _take(self, endpoint: EndpointName, worker: WorkerId, *, every: int) -> None:
        """Claim a job; one in so many is finished."""
        for job in await self._jobs.claim(Claim(endpoint, worker, KILLED_REVISION, count=1, lease=600.0)):
            say(f"claimed {job.id} {worker}")
            if int(job.id.removeprefix("job-")) % every == 0:
                await self._jobs.finish([Finish(job.id, worker, job.input)])
                say(f"finished {job.id} {worker}")


WORK: Mapping[str, Callable[[Subject], Coroutine[Any, Any, None]]] = {
    "state": commit_for_ever,
    "counter": count,
    "jobs": work_for_ever,
}


def say(line: str) -> None:
    """Print a line past every buffer of this process."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def main(ref: str, url: str, work: str) -> None:
    """Run until killed or done; a store that somebody else owns is reported on a line that begins with `refused`."""
    try:
        asyncio.run(WORK[work](Subject(ref, url)))
    except Refused as refusal:
        say(f"refused {refusal.message}")


if __name__ == "__main__":
    main(*sys.argv[1:])
