"""A process that may open no more files: what is stored in files of their own is not taken for lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.descriptors import no_file_can_be_opened

from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import Claim
from flashcore.model.errors import StateCorrupt, StateError
from flashcore.model.job import JobStatus, NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

ENDPOINT, WORKER, REVISION = EndpointName("e"), WorkerId("w/1"), RevisionId("1" * 64)
LARGE = Payload(b"x" * (3 << 20))


async def test_a_job_whose_input_cannot_be_opened_now_waits_for_it(tmp_path: Path) -> None:
    """Q26: it is not failed as one whose input is lost; its lease does not run out, and it is handed out at last."""
    jobs = await SqliteStores().open_jobs(f"sqlite:///{tmp_path}/jobs.db")
    await jobs.submit([NewJob(JobId("large"), ENDPOINT, LARGE, lane=0)])
    with no_file_can_be_opened():
        claiming = asyncio.create_task(jobs.claim(Claim(ENDPOINT, WORKER, REVISION, count=1, lease=0.6)))
        await asyncio.sleep(1.0)
        swept = await jobs.sweep()
        waits = not claiming.done()

    (claimed,) = await claiming
    assert (waits, swept) == (True, ())
    assert (claimed.id, claimed.attempt, bytes(claimed.input.data)) == ("large", 1, LARGE.data)
    await jobs.close()


async def test_a_job_that_is_cancelled_while_it_waits_for_its_input_is_not_handed_out(tmp_path: Path) -> None:
    """Nor is anything else that was done to it undone."""
    jobs = await SqliteStores().open_jobs(f"sqlite:///{tmp_path}/jobs.db")
    await jobs.submit([NewJob(JobId("large"), ENDPOINT, LARGE, lane=0)])
    with no_file_can_be_opened():
        claiming = asyncio.create_task(jobs.claim(Claim(ENDPOINT, WORKER, REVISION, count=1, lease=60.0)))
        while (await jobs.counts(ENDPOINT)).by_status[JobStatus.IN_PROGRESS] == 0:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        cancelled = await jobs.cancel(JobId("large"))
        claimed = await claiming

    assert cancelled is not None
    assert (cancelled.status, claimed) == (JobStatus.CANCELLED, ())
    await jobs.close()


async def test_who_asks_for_a_job_whose_input_cannot_be_opened_now_may_ask_again(tmp_path: Path) -> None:
    """It is not called damaged, and nobody is told to put a backup in its place."""
    jobs = await SqliteStores().open_jobs(f"sqlite:///{tmp_path}/jobs.db")
    await jobs.submit([NewJob(JobId("large"), ENDPOINT, LARGE, lane=0)])
    with no_file_can_be_opened(), pytest.raises(StateError, match="Too many open files") as refused:
        await jobs.get(JobId("large"))

    job = await jobs.get(JobId("large"))
    assert not isinstance(refused.value, StateCorrupt)
    assert job is not None
    assert job.new.input == LARGE
    await jobs.close()
