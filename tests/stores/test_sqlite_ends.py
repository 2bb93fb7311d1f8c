"""Somebody ends the program, as with Ctrl-C, in the middle of what the event loop does for a store.

The loop is then run again until all is closed. Nobody waits for ever, and what each caller heard is true.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from flashcore.builtin.sqlite import writer
from flashcore.builtin.sqlite.jobs import desk, journal
from flashcore.builtin.sqlite.jobs.applier import Applier
from flashcore.builtin.sqlite.jobs.backlog import Backlog
from flashcore.builtin.sqlite.jobs.batch import Batch
from flashcore.builtin.sqlite.jobs.desk import Desk
from flashcore.builtin.sqlite.jobs.entry import KEPT_INLINE
from flashcore.builtin.sqlite.jobs.journal import Journal
from flashcore.builtin.sqlite.jobs.queues import Queues
from flashcore.builtin.sqlite.jobs.settling import Settler
from flashcore.builtin.sqlite.writer import Writer
from flashcore.builtin.sqlite_jobs import SqliteJobs
from flashcore.builtin.sqlite_state import SCHEMA, SqliteState, SqliteStores
from flashcore.hookspecs.state import Put, Transaction
from flashcore.model.errors import StateError
from flashcore.model.job import JobStatus, NewJob, Payload
from flashcore.model.names import EndpointName, JobId

ENDPOINT = EndpointName("e")
T = TypeVar("T")
Submitted = Mapping[str, asyncio.Task[Any]]

ANYWHERE = [
    (Queues, "append"),
    (Batch, "stage"),
    (Batch, "account_rows"),
    (Batch, "may_be_claimed"),
    (Journal, "takes"),
    (Backlog, "all"),
    (Backlog, "add"),
    (Applier, "look_at_backlog"),
    (Settler, "callers_are_told"),
    (Desk, "_write_through"),
    (Desk, "_promised"),
    (Desk, "_landed"),
    (Desk, "_ended"),
    (desk, "_release"),
    (writer, "_tell"),
    (writer, "_settle"),
]
"""What is called on the way of a batch to the disk and back."""


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that a test may interrupt."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(params=["loop", "thread"])
def promising(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes the journal."""
    monkeypatch.setattr(journal, "QUICK", 60.0)
    monkeypatch.setattr(journal, "QUICK_IN_A_ROW", 1)
    if request.param == "thread":
        monkeypatch.setattr(desk, "_MOST_HERE", 0)


def soon(loop: asyncio.AbstractEventLoop, what: Awaitable[T]) -> T:
    """What it gives, or an error where it would never give anything."""
    return loop.run_until_complete(asyncio.wait_for(what, 60))


def new_job(name: str, size: int = 1) -> NewJob:
    """A job."""
    return NewJob(JobId(name), ENDPOINT, Payload(bytes(size)), lane=0)


def open_jobs(loop: asyncio.AbstractEventLoop, folder: Path) -> SqliteJobs:
    """The jobs in a folder; the thread has promised one, so that the loop may."""
    jobs = soon(loop, SqliteStores().open_jobs(f"sqlite:///{folder}/jobs.db"))
    soon(loop, jobs.submit([new_job("before")]))
    return jobs


def submit(loop: asyncio.AbstractEventLoop, jobs: SqliteJobs) -> Submitted:
    """Two jobs that go into the journal, then one that goes to the tables."""
    tasks = {name: loop.create_task(jobs.submit([new_job(name)])) for name in ("small", "other")}
    large = new_job("large", KEPT_INLINE + 1)
    tasks["large"] = loop.create_task(after(tasks["small"], lambda: jobs.submit([large])))
    return tasks


async def after(first: Awaitable[object], then: Callable[[], Awaitable[T]]) -> T:
    """Do one thing after another, whatever became of that."""
    await asyncio.wait([asyncio.ensure_future(first)])
    return await then()


def interrupt(room: Any, name: str, monkeypatch: pytest.MonkeyPatch, *, at_the_end: bool) -> list[str]:
    """Have the loop be interrupted when it first calls something; the list has its name from then on."""
    original = room.__dict__[name]
    work: Callable[..., Any] = original.__get__ if isinstance(original, property) else original
    interrupted: list[str] = []

    def instead(*given: Any) -> Any:
        ends = not interrupted and threading.current_thread() is threading.main_thread()
        if ends and not at_the_end:
            interrupted.append(name)
            raise KeyboardInterrupt
        result = work(*given)
        if ends:
            interrupted.append(name)
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(room, name, property(instead) if isinstance(original, property) else instead)
    return interrupted


def run_interrupted(loop: asyncio.AbstractEventLoop, submitted: Submitted, interrupted: list[str]) -> None:
    """Run until that happens."""
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.wait(submitted.values()))
    assert interrupted


def require_true(submitted: Submitted, loop: asyncio.AbstractEventLoop, folder: Path) -> None:
    """Everybody has heard something, and it is so when the store is opened again."""
    jobs = open_jobs(loop, folder)
    found = 1  # the one that was there before
    for name, task in submitted.items():
        there = soon(loop, jobs.get(JobId(name))) is not None
        refused = task.exception()
        found += there
        assert there is (refused is None)
        assert refused is None or isinstance(refused, StateError | KeyboardInterrupt)
    assert soon(loop, jobs.counts(ENDPOINT)).by_status[JobStatus.IN_QUEUE] == found
    soon(loop, jobs.close())


@pytest.mark.usefixtures("promising")
@pytest.mark.parametrize("at_the_end", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("room", "name"), ANYWHERE, ids=[name for _, name in ANYWHERE])
def test_whoever_is_interrupted_leaves_nobody_waiting(  # fixtures
    room: Any,
    name: str,
    at_the_end: bool,  # noqa: FBT001 - whether what is called has done its work by then
    loop: asyncio.AbstractEventLoop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All callers hear, although nobody asks for anything else; then the store can be closed."""
    jobs = open_jobs(loop, tmp_path)
    with monkeypatch.context() as patched:
        interrupted = interrupt(room, name, patched, at_the_end=at_the_end)
        submitted = submit(loop, jobs)
        run_interrupted(loop, submitted, interrupted)
        soon(loop, asyncio.wait(submitted.values()))

    soon(loop, jobs.close())
    require_true(submitted, loop, tmp_path)


@pytest.mark.usefixtures("promising")
@pytest.mark.parametrize(("room", "name"), [(Desk, "_hand_over_or_wait"), (Desk, "_hand_over"), (Writer, "_listen")])
def test_what_was_interrupted_before_it_began_goes_on_when_the_store_is_closed(
    room: Any, name: str, loop: asyncio.AbstractEventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the store was run that could have noticed."""
    jobs = open_jobs(loop, tmp_path)
    with monkeypatch.context() as patched:
        interrupted = interrupt(room, name, patched, at_the_end=False)
        submitted = submit(loop, jobs)
        run_interrupted(loop, submitted, interrupted)
    soon(loop, jobs.close())

    soon(loop, asyncio.wait(submitted.values()))
    require_true(submitted, loop, tmp_path)


def test_a_watch_misses_no_commit_of_which_its_store_was_not_told(
    loop: asyncio.AbstractEventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads it from disk."""

    async def watched() -> list[tuple[str, ...]]:
        watch = state.watch("", 1)
        seen = [tuple(change.key for change in (await anext(watch)).changes) for _ in range(2)]
        await watch.aclose()
        return seen

    state = soon(loop, SqliteStores().open_state(f"sqlite:///{tmp_path}/state.db"))
    soon(loop, state.commit(Transaction(puts=(Put("first", b""),))))
    with monkeypatch.context() as patched:
        interrupted = interrupt(SqliteState, "_remember", patched, at_the_end=False)
        run_interrupted(
            loop, {"": loop.create_task(state.commit(Transaction(puts=(Put("second", b""),))))}, interrupted
        )
    soon(loop, state.commit(Transaction(puts=(Put("third", b""),))))

    assert soon(loop, watched()) == [("second",), ("third",)]
    soon(loop, state.close())


def give(result: int, _: sqlite3.Connection) -> int:
    """A call that only has a result."""
    return result


def test_calls_of_one_commit_are_all_answered_though_one_of_them_interrupts_the_rest(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    """The one whose hearer was interrupted too: what became of it is true nevertheless."""

    def end(_: object) -> None:
        raise KeyboardInterrupt

    async def ask() -> None:
        database.read(lambda _: all_asked.wait(60))
        asked.extend(database.write(partial(give, n), end if n == 1 else None) for n in range(3))
        all_asked.set()
        await asyncio.wait(asked)

    asked: list[asyncio.Future[int]] = []
    all_asked = threading.Event()
    database = soon(loop, Writer.open(tmp_path / "x.db", SCHEMA))
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(ask())

    soon(loop, asyncio.wait(asked))
    assert [one.result() for one in asked] == [0, 1, 2]
    soon(loop, database.close())
