"""How often the SQLite job store waits for the disk, and that nothing is lost by waiting for several things at once."""

import asyncio
from pathlib import Path

from flashcore.builtin.sqlite_jobs import SqliteJobs
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import Claim, Finish
from flashcore.model.job import JobStatus, NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

ENDPOINT, WORKER, REVISION = EndpointName("e"), WorkerId("w/1"), RevisionId("1" * 64)


async def open_jobs(folder: Path) -> SqliteJobs:
    """The jobs in a folder."""
    return await SqliteStores().open_jobs(f"sqlite:///{folder}/jobs.db")


def new_job(name: object, lane: int = 0) -> NewJob:
    """A job."""
    return NewJob(JobId(str(name)), ENDPOINT, Payload(b"x"), lane)


def claim_of(count: int) -> Claim:
    """A claim from all lanes."""
    return Claim(ENDPOINT, WORKER, REVISION, count, lease=60.0)


def transactions(jobs: SqliteJobs) -> int:
    """How many it has written so far."""
    return jobs._desk.handed_over  # noqa: SLF001 - how often the disk is waited for is seen nowhere else


async def claim_when_rung(jobs: SqliteJobs, got: asyncio.Queue[list[str]]) -> None:
    """Claim whenever there is something to claim, as a gateway does."""
    async for _ in jobs.enqueued():
        got.put_nowait([claimed.id for claimed in await jobs.claim(claim_of(5))])


async def test_a_job_and_its_claim_are_written_together(tmp_path: Path) -> None:
    """Whoever waits for work has its claim in the transaction of the job: two for a job that is alone, not three."""
    jobs = await open_jobs(tmp_path)
    got: asyncio.Queue[list[str]] = asyncio.Queue()
    working = asyncio.create_task(claim_when_rung(jobs, got))
    await asyncio.sleep(0)
    before = transactions(jobs)

    for number in range(10):
        (submitted,) = await jobs.submit([new_job(number)])
        assert submitted.status is JobStatus.IN_QUEUE
        assert await asyncio.wait_for(got.get(), 10) == [str(number)]
        assert await jobs.finish([Finish(JobId(str(number)), WORKER, Payload(b"1"))]) == (True,)

    assert transactions(jobs) - before == 20
    assert got.empty(), "nobody is rung for a second time"
    await jobs.close()
    await working


async def test_a_result_and_the_next_claim_are_written_together(tmp_path: Path) -> None:
    """A worker that is never idle costs one transaction for each job."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job(number) for number in range(10)])
    held = await jobs.claim(claim_of(1))
    before = transactions(jobs)

    while held:
        _, held = await asyncio.gather(jobs.finish([Finish(held[0].id, WORKER)]), jobs.claim(claim_of(1)))

    assert transactions(jobs) - before == 10
    await jobs.close()


async def test_a_job_that_was_handed_out_at_once_is_so_when_the_store_is_opened_again(tmp_path: Path) -> None:
    """Who has it, since when, and that it was there before: nothing of it is lost for being written in one go."""
    jobs = await open_jobs(tmp_path)
    got: asyncio.Queue[list[str]] = asyncio.Queue()
    working = asyncio.create_task(claim_when_rung(jobs, got))
    await jobs.submit([new_job("a", lane=7)])
    assert await asyncio.wait_for(got.get(), 10) == ["a"]
    held = await jobs.held()
    await jobs.close()
    await working

    jobs = await open_jobs(tmp_path)
    assert await jobs.held() == held
    assert [(job.id, job.worker, job.attempt) for job in held] == [("a", WORKER, 1)]
    assert await jobs.claim(claim_of(5)) == ()
    await jobs.close()
