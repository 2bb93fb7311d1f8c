"""Large payloads are files beside the store: they go when nobody needs them, though their job goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flashcore.builtin.sqlite_jobs import SqliteJobs
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import BLOB_THRESHOLD, Claim, Finish, JobStore, Return
from flashcore.model.job import NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

E, A, B, WORKER = EndpointName("e"), JobId("a"), JobId("b"), WorkerId("w/1")


def large(text: bytes) -> Payload:
    """One that is in a file, another for each text."""
    return Payload(text * (BLOB_THRESHOLD + 1))


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[JobStore]:
    """A store in which a worker has two jobs."""
    store = await SqliteStores().open_jobs(f"sqlite:///{tmp_path}/jobs.db")
    await store.submit([NewJob(job, E, Payload(b"1"), 7) for job in (A, B)])
    await store.claim(Claim(E, WORKER, RevisionId("r"), 2, 60.0))
    yield store
    await store.close()


def files(folder: Path) -> int:
    """How many there are."""
    return len([*(folder / "jobs.db.blobs").iterdir()])


async def test_what_was_taken_of_a_stream_is_on_disk_no_more(jobs: JobStore, tmp_path: Path) -> None:
    """Q11: it was there until the job's results were forgotten: who streamed much filled the disk, whoever read it."""
    for text in (b"1", b"2", b"3"):
        await jobs.append_stream(WORKER, A, large(text))
    assert files(tmp_path) == 3

    items = await jobs.read_stream(A)

    assert [bytes(item.value.data[:1]) for item in items] == [b"1", b"2", b"3"]
    assert bytes(items[2].value.data) == large(b"3").data  # though the file has no name any more
    assert files(tmp_path) == 0


async def test_what_was_passed_of_a_stream_is_on_disk_no_more(jobs: JobStore, tmp_path: Path) -> None:
    """Q11: what the reader did not say that it has stays."""
    for text in (b"1", b"2", b"3"):
        await jobs.append_stream(WORKER, A, large(text))
    await jobs.read_stream(A, 0)
    assert files(tmp_path) == 3

    left = await jobs.read_stream(A, 2)

    assert [item.number for item in left] == [2]
    assert files(tmp_path) == 1
    assert await jobs.read_stream(A, 2) == left


async def test_what_an_attempt_had_streamed_goes_with_it(jobs: JobStore, tmp_path: Path) -> None:
    """Q11: each attempt left its own there."""
    await jobs.append_stream(WORKER, A, large(b"1"))

    await jobs.give_back([Return(A, WORKER, "it drains", charged=False)])

    assert files(tmp_path) == 0


async def test_progress_that_was_followed_by_other_is_on_disk_no_more(jobs: JobStore, tmp_path: Path) -> None:
    """Q11: a function that says much of its progress, and often, filled the disk."""
    for text in (b"1", b"2", b"3", b"3"):
        await jobs.progress(WORKER, A, large(text))

    job = await jobs.get(A)

    assert job is not None
    assert job.progress == large(b"3")
    assert files(tmp_path) == 1
    await jobs.progress(WORKER, A, Payload(b"small"))
    assert files(tmp_path) == 0


async def test_a_file_that_is_needed_elsewhere_stays(jobs: JobStore, tmp_path: Path) -> None:
    """The same bytes are one file: of another job, of the job's own result, of a chunk that nobody has read."""
    same = large(b"7")
    await jobs.append_stream(WORKER, A, same)
    await jobs.append_stream(WORKER, A, same)
    await jobs.append_stream(WORKER, B, same)
    await jobs.read_stream(A, 1)
    assert files(tmp_path) == 1
    await jobs.progress(WORKER, A, same)
    await jobs.read_stream(A)
    await jobs.progress(WORKER, A, Payload(b"small"))
    assert files(tmp_path) == 1
    await jobs.finish([Finish(A, WORKER, same)])

    await jobs.read_stream(B)

    job = await jobs.get(A)
    assert job is not None
    assert job.output == same
    assert files(tmp_path) == 1


async def test_what_is_taken_while_the_same_is_added_is_there(jobs: JobStore, tmp_path: Path) -> None:
    """Whoever adds it finds the file there, and does not write it again."""
    same = large(b"7")
    await jobs.append_stream(WORKER, A, same)

    for _ in range(20):
        reading, _ = await asyncio.gather(jobs.read_stream(A), jobs.append_stream(WORKER, A, same))
        assert all(item.value == same for item in reading)

    left = await jobs.read_stream(A)
    assert all(item.value == same for item in left)
    assert isinstance(jobs, SqliteJobs)
    assert files(tmp_path) == 0
