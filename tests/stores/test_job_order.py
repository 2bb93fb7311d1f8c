"""The SQLite job store while its thread is held up: what is on its way to the disk is neither lost nor waited for."""

import asyncio
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from flashcore.builtin.sqlite.jobs.journal import Journal
from flashcore.builtin.sqlite.jobs.lanes import AT_HAND
from flashcore.builtin.sqlite_jobs import SqliteJobs
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import Claim
from flashcore.model.errors import StateError
from flashcore.model.job import JobStatus, NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

ENDPOINT, WORKER, REVISION = EndpointName("e"), WorkerId("w/1"), RevisionId("1" * 64)


async def open_jobs(folder: Path) -> SqliteJobs:
    """The jobs in a folder."""
    return await SqliteStores().open_jobs(f"sqlite:///{folder}/jobs.db")


def new_job(number: int) -> NewJob:
    """A job of the one lane."""
    return NewJob(JobId(str(number)), ENDPOINT, Payload(b"x"), lane=0)


def claim_of(count: int) -> Claim:
    """A claim from all lanes."""
    return Claim(ENDPOINT, WORKER, REVISION, count, lease=600.0)


@contextmanager
def thread_held(jobs: SqliteJobs) -> Generator[None, None, None]:
    """Within the block, nothing that is asked of the database's thread is done."""
    go_on = threading.Event()
    jobs._writer.read(lambda _: go_on.wait())  # noqa: SLF001 - a disk that takes as long as a test wants
    try:
        yield
    finally:
        go_on.set()


async def turns(count: int = 10) -> None:
    """Let all that is ready in the event loop go on, for some turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_jobs_left_on_disk_by_a_batch_on_its_way_to_the_log_are_found(tmp_path: Path) -> None:
    """Their lane runs empty and is filled before the batch is promised: a look at the tables then does not see them."""
    jobs = await open_jobs(tmp_path)
    count = AT_HAND + 30
    with thread_held(jobs):
        submitted = asyncio.create_task(jobs.submit([new_job(number) for number in range(count)]))
        await turns()
        first = asyncio.create_task(jobs.claim(claim_of(AT_HAND)))
        await turns()
        second = asyncio.create_task(jobs.claim(claim_of(count)))
        await turns()

    await submitted
    claimed = [*await first, *await second]
    claimed += await jobs.claim(claim_of(count))
    assert [one.id for one in claimed] == [str(number) for number in range(count)]
    assert (await jobs.counts(ENDPOINT)).by_status[JobStatus.IN_QUEUE] == 0
    await jobs.close()


async def test_a_store_whose_last_batches_failed_can_be_closed(tmp_path: Path) -> None:
    """What was changed after the batch that failed has failed with it: nothing is left to wait for."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job(0)])
    with thread_held(jobs):
        jobs._writer.read(partial(_break_journal, jobs._desk._journal))  # noqa: SLF001 - as a disk does that fails
        submitted = [asyncio.create_task(jobs.submit([new_job(1)]))]
        await turns()
        submitted.append(asyncio.create_task(jobs.submit([new_job(2)])))
        await turns()
    for one in submitted:
        with pytest.raises(StateError):
            await one

    async with asyncio.timeout(60):
        await jobs.close()


def _break_journal(journal: Journal, _: sqlite3.Connection) -> None:
    journal.close()
