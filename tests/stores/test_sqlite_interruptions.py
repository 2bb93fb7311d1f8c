"""Whoever is interrupted, gives up, or finds the store in no state to be opened leaves it as it should be."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from flashcore.builtin.sqlite.jobs import journal
from flashcore.builtin.sqlite.jobs.synced import SyncedFile
from flashcore.builtin.sqlite_jobs import SqliteJobs
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import BLOB_THRESHOLD, Claim
from flashcore.model.errors import StateError
from flashcore.model.job import NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

ENDPOINT = EndpointName("e")

T = TypeVar("T")


async def open_jobs(folder: Path) -> SqliteJobs:
    """The jobs in a folder."""
    return await SqliteStores().open_jobs(f"sqlite:///{folder}/jobs.db")


def new_job(name: str, data: bytes = b"x") -> NewJob:
    """A job."""
    return NewJob(JobId(name), ENDPOINT, Payload(data), lane=0)


async def queued(jobs: SqliteJobs) -> list[str]:
    """The ids of all that can be claimed, which they are now."""
    claim = Claim(ENDPOINT, WorkerId("w/1"), RevisionId("1" * 64), 99, lease=60.0)
    return [one.id for one in await jobs.claim(claim)]


async def until(true: Callable[[], bool]) -> None:
    """Wait for what happens in other tasks and threads."""
    for _ in range(60_000):
        if true():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it never happened")


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that a test may interrupt; it commits itself after the first commit."""
    monkeypatch.setattr(journal, "QUICK", 60.0)
    monkeypatch.setattr(journal, "QUICK_IN_A_ROW", 1)
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def soon(loop: asyncio.AbstractEventLoop, what: Awaitable[T]) -> T:
    """What it gives, or an error where it would never give anything."""
    return loop.run_until_complete(asyncio.wait_for(what, 60))


@pytest.mark.parametrize("written", [False, True], ids=["before it is written", "when it is written"])
def test_an_interrupted_commit_has_not_happened(
    written: bool,  # noqa: FBT001 - one of the two cases
    loop: asyncio.AbstractEventLoop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its caller hears so; the store goes on, can be closed, and has all else when it is opened again."""
    write = SyncedFile.write

    def interrupt(file: SyncedFile, data: bytes, place: int) -> None:
        write(file, data if written else data[:-1], place)
        raise KeyboardInterrupt

    jobs = soon(loop, open_jobs(tmp_path))
    soon(loop, jobs.submit([new_job("before")]))
    with monkeypatch.context() as patched:
        patched.setattr(SyncedFile, "write", interrupt)
        submitting = loop.create_task(jobs.submit([new_job("interrupted")]))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(submitting)

    with pytest.raises(StateError, match="interrupted"):
        soon(loop, submitting)
    soon(loop, jobs.submit([new_job("after")]))
    soon(loop, jobs.close())

    jobs = soon(loop, open_jobs(tmp_path))
    assert soon(loop, queued(jobs)) == ["before", "after"]
    soon(loop, jobs.close())


async def test_a_payload_is_kept_whose_submitter_gives_up_while_it_is_stored(tmp_path: Path) -> None:
    """Although the last job that had the same one is removed at that moment."""
    content = b"l" * (BLOB_THRESHOLD + 1)
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("purged", content)])
    writer, desk = jobs._writer, jobs._desk  # noqa: SLF001 - what happens when is theirs alone
    batches, go_on = desk.handed_over, threading.Event()

    holding = writer.write(lambda _: go_on.wait(60))
    purging = asyncio.create_task(jobs.purge(ENDPOINT))
    await until(lambda: desk.handed_over > batches)
    submitting = asyncio.create_task(jobs.submit([new_job("given up", content)]))
    await until(lambda: bool(desk.book.batch.moves))
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    go_on.set()
    assert await purging == 1
    await holding

    kept = await jobs.get(JobId("given up"))
    assert kept is not None
    assert kept.new.input.data == content
    await jobs.purge(ENDPOINT)
    await jobs.sweep()
    assert list((tmp_path / "jobs.db.blobs").iterdir()) == []
    await jobs.close()


async def test_jobs_that_cannot_be_opened_are_let_go_of(tmp_path: Path) -> None:
    """Whoever clears up opens them again, in the same process too."""
    await (await open_jobs(tmp_path)).close()
    strange = tmp_path / "jobs.db.blobs" / "somebody's folder"
    strange.mkdir(parents=True)

    with pytest.raises(StateError, match=r"jobs\.db\.blobs"):
        await open_jobs(tmp_path)

    strange.rmdir()
    await (await open_jobs(tmp_path)).close()
