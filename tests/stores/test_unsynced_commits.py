"""What SQLite has written and could not sync is in its log, whole: whoever opens that next takes it for promised."""

import platform
import signal
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from tests.stores.wal import used

from flashcore.builtin.sqlite.committer import Committer, Failed
from flashcore.builtin.sqlite.writer import Writer
from flashcore.builtin.sqlite_state import SCHEMA, SqliteStores
from flashcore.hookspecs.jobs import Claim
from flashcore.model.errors import StateError
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

UNSYNCED = """
import asyncio, ctypes, errno, os, signal, struct, sys
from flashcore.builtin.sqlite.jobs.entry import KEPT_INLINE
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import Claim
from flashcore.hookspecs.state import Put, Transaction
from flashcore.model.errors import StateError
from flashcore.model.job import NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

E, W, J = EndpointName("e"), WorkerId("w/1"), JobId("before")

def have_syncs_fail(fsync, fdatasync):
    # A filter of system calls, for the thread of the database alone: these two give EIO, all others are allowed.
    asked = [(0x20, 0, 0, 0), (0x15, 1, 0, fsync), (0x15, 0, 1, fdatasync)]
    lines = [*asked, (6, 0, 0, 0x50000 | errno.EIO), (6, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    given = ctypes.create_string_buffer(struct.pack("HP", len(lines), ctypes.addressof(program)))
    prctl = ctypes.CDLL(None).prctl
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, given, 0, 0):
        os._exit(77)

async def refused(store, calls, asked):
    await store._writer.read(lambda _: have_syncs_fail(*map(int, calls)))
    try:
        await asked()
    except StateError:
        os.kill(os.getpid(), signal.SIGKILL)

async def commit(url, calls):
    state = await SqliteStores().open_state(url)
    put = lambda name: state.commit(Transaction(puts=(Put(name, b"x"),)))
    await put("before")
    await refused(state, calls, lambda: put("refused"))

async def read_stream(url, calls):
    jobs = await SqliteStores().open_jobs(url)
    await jobs.submit([NewJob(J, E, Payload(b"x"), lane=0)])
    await jobs.claim(Claim(E, W, RevisionId("1" * 64), 1, lease=600.0))
    await jobs.append_stream(W, J, Payload(b"chunk"))
    await refused(jobs, calls, lambda: jobs.read_stream(J))

async def submit(url, calls, applied=False):
    jobs = await SqliteStores().open_jobs(url)
    new = lambda name, size: [NewJob(JobId(name), E, Payload(b"x" * size), lane=0)]
    await jobs.submit(new(J, 1))
    if applied:
        await jobs.sweep()
    await refused(jobs, calls, lambda: jobs.submit(new("refused", KEPT_INLINE + 1)))

async def submit_after_an_application(url, calls):
    await submit(url, calls, applied=True)

asyncio.run(globals()[sys.argv[1]](sys.argv[2], sys.argv[3:]))
"""


def kill_when_refused(call: str, url: str) -> None:
    """A process that is killed in the moment in which it hears that a call failed, as nothing could be synced."""
    numbers = {"x86_64": ("74", "75"), "aarch64": ("82", "83")}.get(platform.machine())
    if sys.platform != "linux" or numbers is None:
        pytest.skip("how system calls are filtered here is not known")
    killed = subprocess.run([sys.executable, "-c", UNSYNCED, call, url, *numbers], timeout=60, check=False)
    if killed.returncode == 77:
        pytest.skip("a process may not filter its system calls here")
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.parametrize("call", ["submit", "submit_after_an_application"])
async def test_a_job_that_was_refused_is_not_brought_back_by_a_kill(call: str, tmp_path: Path) -> None:
    """Whether or not something is promised that the tables do not have."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    kill_when_refused(call, url)

    jobs = await SqliteStores().open_jobs(url)
    claimed = await jobs.claim(Claim(EndpointName("e"), WorkerId("w/1"), RevisionId("1" * 64), 9, lease=60.0))
    assert [one.id for one in claimed] == ["before"]
    await jobs.close()


async def test_a_chunk_whose_reader_got_an_error_is_not_taken_by_a_kill(tmp_path: Path) -> None:
    """He reads it the next time."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    kill_when_refused("read_stream", url)

    jobs = await SqliteStores().open_jobs(url)
    assert [item.value.data for item in await jobs.read_stream(JobId("before"))] == [b"chunk"]
    await jobs.close()


async def test_a_commit_of_the_state_that_was_refused_is_not_brought_back_by_a_kill(tmp_path: Path) -> None:
    """Its caller decides anew, by what is there."""
    url = f"sqlite:///{tmp_path}/state.db"
    kill_when_refused("commit", url)

    state = await SqliteStores().open_state(url)
    assert [entry.key for entry in (await state.read("")).entries] == ["before"]
    await state.close()


def move_the_floor(by: int, connection: sqlite3.Connection) -> None:
    """Change something, or nothing."""
    connection.execute("update standing set floor = floor + ?", (by,))


async def test_a_commit_that_failed_is_overwritten_before_its_caller_hears_so(
    failing_commits: list[bool], tmp_path: Path
) -> None:
    """Or as soon as the disk lets it, whatever is asked for next; a commit that changes nothing does not count."""
    log = tmp_path / "x.db-wal"
    writer = await Writer.open(tmp_path / "x.db", SCHEMA)
    await writer.write(partial(move_the_floor, 1))
    failing_commits.append(True)
    with pytest.raises(StateError, match="disk I/O error"):
        await writer.write(partial(move_the_floor, 1))
    assert writer.is_astray
    before = used(log)

    failing_commits.clear()
    await writer.write(partial(move_the_floor, 0))
    assert not writer.is_astray
    overwritten = used(log)
    assert overwritten > before

    await writer.write(partial(move_the_floor, 0))
    assert used(log) == overwritten
    await writer.close()


def test_calls_that_shared_a_commit_that_failed_leave_nothing_either(
    failing_commits: list[bool], tmp_path: Path
) -> None:
    """They are tried one by one, and none of them may come to its commit again."""
    tried: list[int] = []

    def write_once(by: int, connection: sqlite3.Connection) -> None:
        move_the_floor(by, connection)
        tried.append(by)
        if len(tried) > 2:
            failing_commits.clear()
            raise KeyError(by)

    committer = Committer(tmp_path / "x.db", SCHEMA)
    before = used(tmp_path / "x.db-wal")
    failing_commits.append(True)

    outcomes = committer.write([partial(write_once, 1), partial(write_once, 2)])

    assert [type(one.problem) for one in outcomes if isinstance(one, Failed)] == [KeyError, KeyError]
    assert tried == [1, 2, 1, 2]
    assert not committer.is_astray
    assert used(tmp_path / "x.db-wal") > before
    committer.close()
