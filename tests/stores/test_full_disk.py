"""What the SQLite stores do when there is no room: refuse with a reason, half-write nothing, go on later."""

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest
from tests.full_disk import fill, no_file_grows_beyond, read_only, small_disk_at
from tests.stores.wal import used

from flashcore.builtin.sqlite.faults import fault
from flashcore.builtin.sqlite_jobs import SqliteJobs
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import Claim, Finish
from flashcore.hookspecs.state import Check, Put, StaleWrite, StateBackend, Transaction
from flashcore.model.errors import StorageFull
from flashcore.model.job import Job, JobStatus, NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

ENDPOINT, WORKER, REVISION = EndpointName("e"), WorkerId("w/1"), RevisionId("1" * 64)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    with small_disk_at(tmp_path / "disk") as place:
        yield place


async def open_state(folder: Path) -> StateBackend:
    """The state in a folder."""
    return await SqliteStores().open_state(f"sqlite:///{folder}/state.db")


async def open_jobs(folder: Path) -> SqliteJobs:
    """The jobs in a folder."""
    return await SqliteStores().open_jobs(f"sqlite:///{folder}/jobs.db")


def journal_end(jobs: SqliteJobs) -> int:
    """Where its next promise goes."""
    return jobs._desk._journal._tail.place  # noqa: SLF001 - the disk is full from there on


def new_job(name: object, size: int = 10) -> NewJob:
    """A job with an input of that size."""
    return NewJob(JobId(str(name)), ENDPOINT, Payload(b"x" * size), lane=0)


async def refusal_of(asked: Awaitable[object]) -> StorageFull | None:
    """How a call was refused for want of room, None if it was not."""
    try:
        await asked
    except StorageFull as refusal:
        return refusal
    return None


async def fill_state(state: StateBackend) -> int:
    """Commit pairs until there is no room; returns how many were acknowledged."""
    for n in range(10_000):
        pair = Transaction(puts=(Put(f"k/{n}/a", b"x" * 9000), Put(f"k/{n}/b", b"y" * 9000)))
        refusal = await refusal_of(state.commit(pair))
        if refusal is not None:
            assert "state.db" in str(refusal)
            assert "make room" in (refusal.next_step or "")
            return n
    raise AssertionError("the disk never filled up")


async def require_pairs(state: StateBackend, count: int) -> None:
    """Exactly so many pairs are there, whole."""
    keys, after, more = [], "", True
    while more:
        page = await state.read("k/", after=after)
        keys += [entry.key for entry in page.entries]
        after, more = keys[-1], page.more
    assert sorted(keys) == sorted(f"k/{n}/{half}" for n in range(count) for half in "ab")


async def test_a_full_disk_refuses_commits_and_keeps_all_others(tmp_path: Path) -> None:
    """What was acknowledged stays, what was refused left no trace, and with room the store goes on by itself."""
    state = await open_state(tmp_path)
    with no_file_grows_beyond(1 << 20):
        count = await fill_state(state)
        await require_pairs(state, count)
        with pytest.raises(StorageFull):
            await state.commit(Transaction(puts=(Put("big", b"z" * 500_000),)))

    await state.commit(Transaction(puts=(Put("after", b""),)))
    await state.close()
    state = await open_state(tmp_path)
    await require_pairs(state, count)
    assert [entry.key for entry in (await state.read("a")).entries] == ["after"]
    await state.close()


async def test_a_commit_too_large_for_the_disk_harms_no_other(tmp_path: Path) -> None:
    """In one instant: those that fit are written, those that do not are refused, those that are outdated too."""
    state = await open_state(tmp_path)
    with no_file_grows_beyond(1 << 20):
        answers = await asyncio.gather(
            state.commit(Transaction(puts=(Put("small/1", b""),))),
            state.commit(Transaction(puts=tuple(Put(f"huge/{n}", b"x" * 900_000) for n in range(3)))),
            state.commit(Transaction(checks=(Check("nothing", 5),), puts=(Put("stale", b""),))),
            state.commit(Transaction(puts=(Put("small/2", b""),))),
            return_exceptions=True,
        )

        kinds = [type(answer) for answer in answers]
        assert kinds == [int, StorageFull, StaleWrite, int]
        assert [entry.key for entry in (await state.read("")).entries] == ["small/1", "small/2"]
    await state.close()


async def test_a_store_can_be_closed_while_the_disk_is_full(tmp_path: Path) -> None:
    """It lets go of its file, and everything is there when it is opened again."""
    state = await open_state(tmp_path)
    with no_file_grows_beyond(1 << 20):
        count = await fill_state(state)
        await state.close()

    state = await open_state(tmp_path)
    await require_pairs(state, count)
    await state.close()


async def test_a_full_disk_refuses_jobs_and_keeps_all_others(tmp_path: Path) -> None:
    """Submissions are refused; what was accepted is queued, handed out and finished when there is room."""
    jobs = await open_jobs(tmp_path)
    accepted: list[str] = []
    with no_file_grows_beyond(1 << 20):
        while await refusal_of(jobs.submit([new_job(len(accepted), 5000)])) is None:
            accepted.append(str(len(accepted)))
        refused = await asyncio.gather(
            *(jobs.submit([new_job(f"r{n}", 5000)]) for n in range(5)), return_exceptions=True
        )
        refused = [answer for answer in refused if not isinstance(answer, StorageFull)]
        assert (await jobs.counts(ENDPOINT)).by_status[JobStatus.IN_QUEUE] == len(accepted) + len(refused)
        assert await jobs.get(JobId("r4")) is None

    claimed = await jobs.claim(Claim(ENDPOINT, WORKER, REVISION, count=10_000, lease=60.0))
    assert [c.id for c in claimed][: len(accepted)] == accepted
    assert all(await jobs.finish([Finish(c.id, WORKER, Payload(b"ok")) for c in claimed]))
    await jobs.close()
    jobs = await open_jobs(tmp_path)
    assert (await jobs.counts(ENDPOINT)).by_status[JobStatus.COMPLETED] == len(claimed)
    await jobs.close()


async def test_a_job_and_its_claim_that_do_not_fit_leave_nothing(tmp_path: Path) -> None:
    """They are one transaction: there is no job, nobody has it, and the same worker may have it another time."""
    jobs = await open_jobs(tmp_path)
    claim = Claim(ENDPOINT, WORKER, REVISION, count=1, lease=60.0)
    await jobs.submit([new_job("before")])
    await jobs.claim(claim)
    with no_file_grows_beyond(journal_end(jobs)):
        refusals = await asyncio.gather(refusal_of(jobs.submit([new_job("a")])), refusal_of(jobs.claim(claim)))

        assert None not in refusals
        assert await jobs.get(JobId("a")) is None
        assert [job.id for job in await jobs.held()] == ["before"]

    await jobs.submit([new_job("a")])
    assert [(claimed.id, claimed.attempt) for claimed in await jobs.claim(claim)] == [("a", 1)]
    await jobs.close()


async def test_a_result_that_does_not_fit_can_be_reported_again(tmp_path: Path) -> None:
    """The job goes on being the worker's, so that it can hold its result and repeat it."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("a"), new_job("b")])
    await jobs.claim(Claim(ENDPOINT, WORKER, REVISION, count=2, lease=60.0))
    with no_file_grows_beyond(1 << 19):
        result = Finish(JobId("a"), WORKER, Payload(b"r" * 900_000))
        with pytest.raises(StorageFull):
            await jobs.finish([result])

        job = await jobs.get(JobId("a"))
        assert job is not None
        assert (job.status, job.worker, job.output) == (JobStatus.IN_PROGRESS, WORKER, None)
        assert [held.id for held in await jobs.held()] == ["a", "b"]
        assert (await jobs.counts(ENDPOINT)).by_status[JobStatus.IN_PROGRESS] == 2

    assert await jobs.finish([result]) == (True,)
    await jobs.close()


@pytest.mark.parametrize("turns", range(4))
async def test_nobody_sees_what_could_not_be_written(turns: int, tmp_path: Path) -> None:
    """While a result is being written that will not fit: not in the job, and not as a reason to ignore a repetition."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("a")])
    await jobs.claim(Claim(ENDPOINT, WORKER, REVISION, count=1, lease=60.0))
    result = Finish(JobId("a"), WORKER, Payload(b"r" * 900_000))
    with no_file_grows_beyond(1 << 19):
        first = asyncio.ensure_future(jobs.finish([result]))
        for _ in range(turns):
            await asyncio.sleep(0)
        job, second, known = await asyncio.gather(
            jobs.get(JobId("a")), jobs.finish([result]), jobs.submit([new_job("a")]), return_exceptions=True
        )
        with pytest.raises(StorageFull):
            await first

    assert isinstance(job, Job)
    assert job.status is JobStatus.IN_PROGRESS
    assert isinstance(second, StorageFull)
    assert isinstance(known, StorageFull) or known[0].status is JobStatus.IN_PROGRESS  # type: ignore[index]  # a tuple
    await jobs.close()


async def test_a_purge_that_could_not_be_written_did_not_happen(tmp_path: Path) -> None:
    """Also in memory: all jobs are queued as before, in order."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job(n) for n in range(300)])
    with no_file_grows_beyond(min(used(tmp_path / "jobs.db-wal"), journal_end(jobs))):
        with pytest.raises(StorageFull):
            await jobs.purge(ENDPOINT)
        with pytest.raises(StorageFull):
            await jobs.forget(ENDPOINT)
        with pytest.raises(StorageFull):
            await jobs.cancel(JobId("5"))

    assert (await jobs.counts(ENDPOINT)).by_status[JobStatus.IN_QUEUE] == 300
    claimed = await jobs.claim(Claim(ENDPOINT, WORKER, REVISION, count=1000, lease=60.0))
    assert [c.id for c in claimed] == [str(n) for n in range(300)]
    await jobs.close()


async def test_a_large_payload_that_does_not_fit_leaves_no_file(tmp_path: Path) -> None:
    """Neither half a file nor a job."""
    jobs = await open_jobs(tmp_path)
    with no_file_grows_beyond(2 << 20):
        with pytest.raises(StorageFull, match=r"jobs\.db\.blobs"):
            await jobs.submit([new_job("a", 3 << 20)])

        assert list((tmp_path / "jobs.db.blobs").iterdir()) == []
        assert await jobs.get(JobId("a")) is None

    await jobs.submit([new_job("a", 3 << 20)])
    await jobs.close()


async def test_a_real_file_system_that_is_full(small_disk: Path) -> None:
    """State and jobs on one disk: both refuse, lose nothing, and go on when a file is removed."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"b" * (1 << 20))
    state, jobs = await open_state(small_disk), await open_jobs(small_disk)
    await jobs.submit([new_job("a")])
    count = await fill_state(state)
    with contextlib.suppress(StorageFull):
        for n in range(1000):
            await jobs.submit([new_job(n, 3000)])
    with pytest.raises(StorageFull):
        await jobs.submit([new_job("large", 2 << 20)])

    ballast.unlink()

    await state.commit(Transaction(puts=(Put("after", b""),)))
    await jobs.submit([new_job("after")])
    await require_pairs(state, count)
    claimed = await jobs.claim(Claim(ENDPOINT, WORKER, REVISION, count=10_000, lease=60.0))
    assert (claimed[0].id, claimed[-1].id) == ("a", "after")
    await state.close()
    await jobs.close()


async def test_a_store_that_was_killed_is_not_called_damaged_because_the_disk_is_full(small_disk: Path) -> None:
    """To look into what it left takes a little room; nobody is told to put the state away for want of it."""
    whole, killed = small_disk / "whole", small_disk / "killed"
    whole.mkdir()
    state = await open_state(whole)
    await state.commit(Transaction(puts=(Put("k", b"v"),)))
    # What a process that is killed leaves: the log, and no file of shared memory.
    shutil.copytree(whole, killed, ignore=shutil.ignore_patterns("*-shm"))
    await state.close()
    filler = fill(small_disk)

    with pytest.raises(StorageFull):
        await open_state(killed)

    filler.unlink()
    state = await open_state(killed)
    assert [entry.key for entry in (await state.read("k")).entries] == ["k"]
    await state.close()


def test_a_disk_that_went_read_only_is_not_said_to_be_full(small_disk: Path) -> None:
    """SQLite tells the two alike; who reads that there is no room looks for what to remove."""
    failed = sqlite3.OperationalError("disk I/O error")
    failed.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE

    with read_only(small_disk):
        told = fault(failed, small_disk / "state.db")

    assert not isinstance(told, StorageFull)
    assert "state.db cannot be written: Read-only file system" in str(told)
    assert isinstance(fault(failed, small_disk / "state.db"), StorageFull)
