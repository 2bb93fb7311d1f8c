"""Whoever is interrupted, gives up, or finds the store in no state to be opened leaves it as it should be."""

import asyncio
import contextlib
import errno
import gc
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from flashcore.builtin.sqlite.jobs import desk, journal
from flashcore.builtin.sqlite.jobs.journal import Journal
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


@pytest.mark.parametrize("when", ["before it is written", "when it is written", "when that was noted"])
def test_an_interrupted_commit_has_not_happened(
    when: str,
    loop: asyncio.AbstractEventLoop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its caller hears so; the store goes on, can be closed, and has all else when it is opened again."""
    write, append = SyncedFile.write, Journal.append

    def interrupt_writing(file: SyncedFile, data: bytes, place: int) -> None:
        write(file, data[:-1] if when == "before it is written" else data, place)
        raise KeyboardInterrupt

    def interrupt_appending(file: Journal, number: int, record: bytes) -> None:
        append(file, number, record)
        raise KeyboardInterrupt

    jobs = soon(loop, open_jobs(tmp_path))
    soon(loop, jobs.submit([new_job("before")]))
    with monkeypatch.context() as patched:
        if when == "when that was noted":
            patched.setattr(Journal, "append", interrupt_appending)
        else:
            patched.setattr(SyncedFile, "write", interrupt_writing)
        submitting = loop.create_task(jobs.submit([new_job("interrupted")]))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(submitting)

    with pytest.raises(StateError, match="interrupted"):
        soon(loop, submitting)
    soon(loop, jobs.submit([new_job("after")]))
    killed = shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-killed"))
    soon(loop, jobs.close())

    for folder in (tmp_path, killed):
        jobs = soon(loop, open_jobs(folder))
        assert soon(loop, queued(jobs)) == ["before", "after"]
        soon(loop, jobs.close())


def test_who_was_promised_something_hears_of_it_though_the_next_commit_is_interrupted(
    loop: asyncio.AbstractEventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes next is written before callers are told of what is there: they are told nevertheless."""
    write, may_end = SyncedFile.write, threading.Event()

    def interrupt_the_loop(file: SyncedFile, data: bytes, place: int) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        assert may_end.wait(60)
        write(file, data, place)

    monkeypatch.setattr(desk, "_MOST_HERE", 1000)
    jobs = soon(loop, open_jobs(tmp_path))
    soon(loop, jobs.submit([new_job("before")]))
    asked = jobs._desk  # noqa: SLF001 - what is under way is seen nowhere else
    with monkeypatch.context() as patched:
        patched.setattr(SyncedFile, "write", interrupt_the_loop)
        promised = loop.create_task(jobs.submit([new_job("promised", bytes(2000))]))  # the thread writes it
        soon(loop, until(lambda: asked.handed_over == 2))
        interrupted = loop.create_task(jobs.submit([new_job("interrupted")]))
        soon(loop, until(lambda: bool(asked.book.batch.waiting)))
        may_end.set()
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(interrupted)

    (job,) = soon(loop, promised)
    assert job.id == "promised"
    with pytest.raises(StateError, match="interrupted"):
        soon(loop, interrupted)
    soon(loop, jobs.close())


async def test_who_closes_while_memory_is_filled_again_loses_nothing(tmp_path: Path) -> None:
    """A call that waits for that hears that the store is closed, and not that it was done."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([replace(new_job("first"), idempotency_key="k")])
    await jobs.close()
    jobs = await open_jobs(tmp_path)
    again = asyncio.create_task(jobs.submit([replace(new_job("again"), idempotency_key="k")]))
    async with asyncio.timeout(60):
        while not jobs._desk._outdated:  # noqa: ASYNC110, SLF001 - it is so for a few turns, and no event tells of it
            await asyncio.sleep(0)
    late = asyncio.create_task(jobs.submit([new_job("late")]))
    await asyncio.sleep(0)
    await jobs.close()

    for one in (again, late):
        with pytest.raises(StateError, match="closed"):
            await one
    jobs = await open_jobs(tmp_path)
    assert await queued(jobs) == ["first"]
    await jobs.close()


async def test_what_was_refused_is_not_there_though_it_could_not_be_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is closed needs nothing of its journal."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("before")])
    write = SyncedFile.write

    def fail(file: SyncedFile, data: bytes, place: int) -> None:
        if any(data[:32]):
            write(file, data, place)
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patched:
        patched.setattr(SyncedFile, "write", fail)
        with pytest.raises(StateError):
            await jobs.submit([new_job("refused")])
        await jobs.close()

    jobs = await open_jobs(tmp_path)
    assert await queued(jobs) == ["before"]
    await jobs.close()


KILLED = """
import asyncio, errno, os, signal, sys
from flashcore.builtin.sqlite.jobs.synced import SyncedFile
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.model.errors import StateError
from flashcore.model.job import NewJob, Payload
from flashcore.model.names import EndpointName, JobId

async def main(url, troubles):
    jobs = await SqliteStores().open_jobs(url)
    new = lambda name: [NewJob(JobId(name), EndpointName("e"), Payload(b"x"), lane=0)]
    write = SyncedFile.write

    def fail(file, data, place):
        nonlocal troubles
        if any(data) or not troubles:
            write(file, data, place)
        if troubles:
            troubles -= 1
            raise OSError(errno.EIO, "the disk fails")
        if unasked:
            os.kill(os.getpid(), signal.SIGKILL)

    await jobs.submit(new("before"))
    unasked = troubles > 1
    SyncedFile.write = fail
    try:
        await jobs.submit(new("refused"))
    except StateError:
        if not unasked:
            os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.parametrize("troubles", [1, 2])
async def test_a_process_that_is_killed_after_it_refused_a_job_does_not_bring_it_back(
    troubles: int, tmp_path: Path
) -> None:
    """At the moment its caller hears so; or, where it could not be taken back then, once it was, unasked."""
    command = [sys.executable, "-c", KILLED, f"sqlite:///{tmp_path}/jobs.db", str(troubles)]
    killed = subprocess.run(command, timeout=60, check=False)  # noqa: ASYNC221 - nothing else goes on; our own program

    assert killed.returncode == -signal.SIGKILL
    jobs = await open_jobs(tmp_path)
    assert await queued(jobs) == ["before"]
    await jobs.close()


async def test_who_uses_a_store_that_could_not_recover_hears_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else does: it is no error that was forgotten. It is tried again each time, until it works."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("before")])
    unhandled: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    desk = jobs._desk  # noqa: SLF001 - what happens when is seen nowhere else

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patched:
        patched.setattr(SyncedFile, "write", fail)
        with pytest.raises(StateError, match="the disk fails"):
            await jobs.submit([new_job("refused")])
        first = desk._recovery._task  # noqa: SLF001 - as above
        assert first is not None
        await until(first.done)
        with pytest.raises(StateError, match="the disk fails"):
            await jobs.get(JobId("before"))
        assert desk._recovery._task is not first  # noqa: SLF001 - as above
    del first

    assert await jobs.get(JobId("refused")) is None
    assert await queued(jobs) == ["before"]
    await jobs.close()
    gc.collect()
    assert not unhandled


async def test_a_batch_that_nothing_holds_keeps_no_store_from_being_closed(tmp_path: Path) -> None:
    """Its caller hears why; the next process may have the file."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("first")])
    wrong = asyncio.create_task(jobs.submit([new_job("\udc80")]))
    await asyncio.sleep(0)
    await jobs.close()

    with pytest.raises(UnicodeEncodeError):
        await wrong
    jobs = await open_jobs(tmp_path)
    assert await queued(jobs) == ["first"]
    await jobs.close()


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


def open_files(folder: Path) -> set[str]:
    """The files of a folder that this process has open."""
    names = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the list itself
            names.add(str(descriptor.readlink()))
    return {name for name in names if name.startswith(f"{folder}/")}


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the process's own descriptors")
@pytest.mark.parametrize("turns", range(12))
async def test_who_gives_up_closing_a_store_leaves_nothing_open(turns: int, tmp_path: Path) -> None:
    """It is closed nevertheless; who closes it again waits for that."""
    jobs = await open_jobs(tmp_path)
    state = await SqliteStores().open_state(f"sqlite:///{tmp_path}/state.db")
    await jobs.submit([new_job("first")])
    late = asyncio.create_task(jobs.submit([new_job("late")]))
    await asyncio.sleep(0)
    assert open_files(tmp_path) > {f"{tmp_path}/jobs.db", f"{tmp_path}/jobs.db.journal", f"{tmp_path}/state.db"}

    closing = [asyncio.create_task(store.close()) for store in (jobs, state)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for one in closing:
        one.cancel()
    await asyncio.wait(closing)
    if turns:  # or it never began
        await until(lambda: not open_files(tmp_path))
    await jobs.close()
    await state.close()

    assert not open_files(tmp_path)
    await late
    jobs = await open_jobs(tmp_path)
    assert await queued(jobs) == ["first", "late"]
    await jobs.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the process's own descriptors")
@pytest.mark.parametrize("turns", range(1, 12))
def test_a_loop_that_ends_while_a_store_is_closed_leaves_nothing_open(turns: int, tmp_path: Path) -> None:
    """Also the task that closes it is cancelled: what was accepted is there, and its files can be had."""

    async def end_too_early() -> tuple[asyncio.Task[object], ...]:
        jobs = await open_jobs(tmp_path)
        await jobs.submit([new_job("first")])
        late = asyncio.create_task(jobs.submit([new_job("late")]))
        await asyncio.sleep(0)
        closing = asyncio.create_task(jobs.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        return late, closing

    async def found() -> list[str]:
        jobs = await open_jobs(tmp_path)
        left = await queued(jobs)
        await jobs.close()
        return left

    late, closing = asyncio.run(end_too_early())

    assert not open_files(tmp_path)
    assert closing.done()
    accepted = not late.cancelled() and late.exception() is None
    assert asyncio.run(found()) in ([["first", "late"]] if accepted else [["first"], ["first", "late"]])


async def test_jobs_that_cannot_be_opened_are_let_go_of(tmp_path: Path) -> None:
    """Whoever clears up opens them again, in the same process too."""
    await (await open_jobs(tmp_path)).close()
    strange = tmp_path / "jobs.db.blobs" / "somebody's folder"
    strange.mkdir(parents=True)

    with pytest.raises(StateError, match=r"jobs\.db\.blobs"):
        await open_jobs(tmp_path)

    strange.rmdir()
    await (await open_jobs(tmp_path)).close()
