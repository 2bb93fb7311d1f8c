"""How often the SQLite job store waits for the disk, and that nothing is lost by waiting for several things at once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from flashcore.builtin.sqlite.jobs import journal
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
        assert await asyncio.wait_for(got.get(), 60) == [str(number)]
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
    assert await asyncio.wait_for(got.get(), 60) == ["a"]
    held = await jobs.held()
    await jobs.close()
    await working

    jobs = await open_jobs(tmp_path)
    assert await jobs.held() == held
    assert [(job.id, job.worker, job.attempt) for job in held] == [("a", WORKER, 1)]
    assert await jobs.claim(claim_of(5)) == ()
    await jobs.close()


def keyed(number: int, key: str) -> NewJob:
    """A job with an idempotency key."""
    return NewJob(JobId(f"job-{number}"), ENDPOINT, Payload(b"x"), 0, idempotency_key=key)


async def test_a_new_key_costs_one_transaction_and_no_look_at_the_disk(tmp_path: Path) -> None:
    """Most keys never come a second time: that one of them does is noticed by the table."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([keyed(0, "first")])
    before, loads = transactions(jobs), 0
    load = jobs._desk.load  # noqa: SLF001 - that jobs are read from disk is seen nowhere else

    async def counted(query: Any) -> Any:
        nonlocal loads
        loads += 1
        return await load(query)

    jobs._desk.load = counted  # type: ignore[method-assign]  # noqa: SLF001 - as above; counts and passes on
    for number in range(1, 6):
        await jobs.submit([keyed(number, f"key-{number}")])

    assert (transactions(jobs) - before, loads) == (5, 0)
    await jobs.close()


async def test_keys_that_come_again_after_a_restart_fail_one_batch_and_give_their_jobs(tmp_path: Path) -> None:
    """Q01: each gives the job that has it; all others of the batch are stored; from then on the disk is asked first."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([keyed(number, f"key-{number}") for number in range(20)])
    await jobs.close()
    jobs = await open_jobs(tmp_path)
    books = {id(jobs._desk.book): jobs._desk.book}  # noqa: SLF001 - memory is filled anew when a batch has failed

    together = await asyncio.gather(jobs.submit([keyed(100, "key-0")]), jobs.submit([new_job("beside")]))
    for number in range(1, 20):
        (known,) = await jobs.submit([keyed(100 + number, f"key-{number}")])
        assert known.id == f"job-{number}"
        books[id(jobs._desk.book)] = jobs._desk.book  # noqa: SLF001 - as above

    assert [job.id for (job,) in together] == ["job-0", "beside"]
    assert len(books) == 2
    assert (await jobs.counts(ENDPOINT)).by_status[JobStatus.IN_QUEUE] == 21
    await jobs.close()


async def test_a_key_that_comes_again_harms_nobody_who_asks_meanwhile(tmp_path: Path) -> None:
    """Q01: the batch that has it is made once more, and who waited for that batch gets an answer."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([keyed(0, "key")])
    await jobs.close()
    jobs = await open_jobs(tmp_path)

    (known,), (beside,), held, found = await asyncio.gather(
        jobs.submit([keyed(1, "key")]), jobs.submit([new_job("beside")]), jobs.held(), jobs.get(JobId("beside"))
    )

    assert (known.id, beside.id, held) == ("job-0", "beside", ())
    assert found in (None, beside)
    await jobs.close()


async def test_a_store_whose_last_batch_failed_leaves_nothing_in_the_journal(tmp_path: Path) -> None:
    """All is in the tables once it is closed: they are enough, as of a copy."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([keyed(0, "key")])
    await jobs.close()
    jobs = await open_jobs(tmp_path)
    await jobs.submit([keyed(1, "key")])  # its batch fails
    await jobs.close()
    (tmp_path / "jobs.db.journal").unlink()

    jobs = await open_jobs(tmp_path)
    assert await jobs.get(JobId("job-0")) is not None
    await jobs.close()


async def test_jobs_are_as_durable_where_the_loop_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered is found by whoever opens the file next; a clash there is resolved as ever."""
    monkeypatch.setattr(journal, "QUICK", 60.0)
    monkeypatch.setattr(journal, "QUICK_IN_A_ROW", 1)
    jobs = await open_jobs(tmp_path)
    await jobs.submit([keyed(0, "key")])
    await jobs.close()

    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("warm")])
    (known,) = await jobs.submit([keyed(1, "key")])
    (held,) = await jobs.claim(claim_of(1))
    assert await jobs.finish([Finish(held.id, WORKER, Payload(b"2"))]) == (True,)
    await jobs.close()

    jobs = await open_jobs(tmp_path)
    done = await jobs.get(held.id)
    assert known.id == held.id == "job-0"
    assert done is not None
    assert (done.status, done.output) == (JobStatus.COMPLETED, Payload(b"2"))
    await jobs.close()
