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

from flashcore.hookspecs.jobs import Claim, Finish
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


async def work_for_ever(subject: Subject) -> None:
    """Submit, claim and finish jobs from several tasks; a line is `submitted|claimed|finished ID`."""
    endpoint, revision = EndpointName("killed"), RevisionId("0" * 64)
    numbers = itertools.count()
    async with subject.jobs() as jobs:

        async def run(worker: WorkerId) -> None:
            for number in numbers:
                identity = JobId(f"job-{number}")
                new = NewJob(identity, endpoint, Payload(b'{"n": %d}' % number), lane=number % 100)
                await jobs.submit([new])
                say(f"submitted {identity}")
                if number % 2:
                    continue
                claimed = await jobs.claim(Claim(endpoint, worker, revision, count=1, lease=600.0))
                for job in claimed:
                    say(f"claimed {job.id}")
                    if number % 4:
                        await jobs.finish([Finish(job.id, worker, job.input)])
                        say(f"finished {job.id}")

        await asyncio.gather(*(run(WorkerId(f"worker/{n}")) for n in range(TASKS)))


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
