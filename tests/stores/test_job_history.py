"""Many callers at once while the disk fills up and empties: the history of every job is checked at the end."""

import asyncio
import itertools
import random
import resource
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from tests.stores.wal import used

from flashcore.builtin.sqlite.jobs import filling, lanes
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import Claim, Finish, JobStore, Return
from flashcore.model.errors import StorageFull
from flashcore.model.job import Claimed, JobStatus, NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

T = TypeVar("T")

ENDPOINT, REVISION = EndpointName("e"), RevisionId("1" * 64)
JOBS = 1000
SEEDS = (1, 2, 3)


class History:
    """What the store has acknowledged."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # a schedule, no secret
        self.submitted: set[str] = set()
        self.attempts: set[tuple[str, int]] = set()
        self.ended: Counter[str] = Counter()
        self.all_ended = asyncio.Event()
        self.refusals = 0
        self.names = itertools.count()
        self.workers = itertools.count()

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is room."""
        while True:
            try:
                return await ask()
            except StorageFull:
                self.refusals += 1
                await asyncio.sleep(0.001)


async def submit(jobs: JobStore, history: History) -> None:
    """Submit until there are enough."""
    for number in history.names:
        if number >= JOBS:
            return
        new = NewJob(
            JobId(f"job-{number}"),
            ENDPOINT,
            Payload(b"i" * history.random.choice((10, 3000, 30_000))),
            lane=history.random.randrange(100),
            priority=history.random.choice((0, 0, 0, 1)),
            idempotency_key=f"k{number}" if number % 5 == 0 else None,
            max_attempts=1000,
        )
        await history.insist(lambda new=new: jobs.submit([new]))  # type: ignore[misc]  # mypy knows no lambda defaults
        history.submitted.add(new.id)


async def work(jobs: JobStore, history: History, done: asyncio.Event) -> None:
    """Claim, and finish or give back; after a while the worker is another."""
    while not done.is_set():
        worker = WorkerId(f"replica/{next(history.workers)}")
        for _ in range(history.random.randrange(1, 20)):
            claim = Claim(ENDPOINT, worker, REVISION, count=history.random.randrange(1, 9), lease=60.0)
            claimed = await history.insist(lambda claim=claim: jobs.claim(claim))  # type: ignore[misc]  # as above
            if not claimed:
                await asyncio.sleep(0.002)
            for one in claimed:
                assert (one.id, one.attempt) not in history.attempts, "an attempt was handed out twice"
                history.attempts.add((one.id, one.attempt))
                await end(jobs, history, one)


async def end(jobs: JobStore, history: History, claimed: Claimed) -> None:
    """Finish an attempt, mostly; or give it back."""
    if history.random.random() < 0.2:
        gone = Return(claimed.id, claimed.worker, "lost", charged=history.random.random() < 0.5)
        await history.insist(lambda: jobs.give_back([gone]))
        return
    result = Finish(claimed.id, claimed.worker, Payload(claimed.id.encode() + b"o" * history.random.choice((1, 9000))))
    (accepted,) = await history.insist(lambda: jobs.finish([result]))
    history.ended[claimed.id] += accepted
    if len(history.ended) == JOBS:
        history.all_ended.set()


async def disturb(jobs: JobStore, history: History, done: asyncio.Event, place: Path) -> None:
    """Let the disk be full now and then, and ask for this and that meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        while not done.is_set():
            await asyncio.sleep(history.random.random() / 20)
            size = used(place / "jobs.db-wal")
            resource.setrlimit(resource.RLIMIT_FSIZE, (max(size, 4096), hard))
            asked = asyncio.gather(
                jobs.counts(ENDPOINT),
                jobs.get(JobId(f"job-{history.random.randrange(JOBS)}")),
                jobs.sweep(),
                return_exceptions=True,
            )
            await asyncio.sleep(history.random.random() / 50)
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            await asked
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_job_ends_once_whatever_the_disk_does(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No accepted job is lost, no attempt is handed out twice, no result is recorded twice."""
    monkeypatch.setattr(lanes, "AT_HAND", 2)
    monkeypatch.setattr(filling, "FEWEST", 2)
    monkeypatch.setattr(filling, "MOST", 2)
    history, done = History(seed), asyncio.Event()
    jobs = await SqliteStores().open_jobs(f"sqlite:///{tmp_path}/jobs.db")
    submitting = asyncio.gather(*(submit(jobs, history) for _ in range(6)))
    working = asyncio.gather(*(work(jobs, history, done) for _ in range(6)))
    disturbing = asyncio.ensure_future(disturb(jobs, history, done, tmp_path))

    async with asyncio.timeout(90):
        await submitting
        await history.all_ended.wait()
    done.set()
    await working
    await disturbing

    assert history.refusals > 10, "the disk was never full"
    await require_all_ended(jobs, history)
    await jobs.close()
    jobs = await SqliteStores().open_jobs(f"sqlite:///{tmp_path}/jobs.db")
    await require_all_ended(jobs, history)
    await jobs.close()


async def require_all_ended(jobs: JobStore, history: History) -> None:
    """Every job is there with its own result, which was accepted once."""
    assert len(history.submitted) == JOBS
    assert set(history.ended) == history.submitted
    assert set(history.ended.values()) == {1}
    assert (await jobs.counts(ENDPOINT)).by_status[JobStatus.COMPLETED] == JOBS
    for identity in history.submitted:
        job = await jobs.get(JobId(identity))
        assert job is not None
        assert job.output is not None
        assert bytes(job.output.data).startswith(identity.encode() + b"o")
