"""What the SQLite job store has promised is found again, whenever the tables get it."""

import asyncio
import contextlib
import shutil
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.full_disk import no_file_grows_beyond
from tests.stores.wal import used

from flashcore.builtin.sqlite.committer import PAGE
from flashcore.builtin.sqlite.jobs import applier, backlog, journal, settling
from flashcore.builtin.sqlite.jobs import flush as writing
from flashcore.builtin.sqlite.jobs.applying import apply, see, write_through
from flashcore.builtin.sqlite.jobs.batch import Batch
from flashcore.builtin.sqlite.jobs.changes import Changes
from flashcore.builtin.sqlite.jobs.entry import KEPT_INLINE, Account, Entry
from flashcore.builtin.sqlite.jobs.records import Unreadable, decode, encode
from flashcore.builtin.sqlite.jobs.synced import BLOCK
from flashcore.builtin.sqlite.writer import Writer
from flashcore.builtin.sqlite_jobs import SCHEMA, SqliteJobs
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import Claim, Finish
from flashcore.model.errors import StateCorrupt, StateError, StorageFull
from flashcore.model.job import Job, JobStatus, NewJob, Payload, Unfit
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId
from flashcore.testing.store_checks import jobs_lives
from flashcore.testing.store_checks.subject import Subject

ENDPOINT, WORKER, REVISION = EndpointName("e"), WorkerId("w/1"), RevisionId("1" * 64)
WAL_HEAD, WAL_FRAME = 32, 24 + PAGE


@pytest.fixture(autouse=True)
def nothing_is_applied_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test says when the tables get something."""
    monkeypatch.setattr(applier, "SOON", 3600.0)


async def open_jobs(folder: Path) -> SqliteJobs:
    """The jobs in a folder."""
    return await SqliteStores().open_jobs(f"sqlite:///{folder}/jobs.db")


def new_job(name: object, size: int = 10, **settings: object) -> NewJob:
    """A job with an input of that size."""
    return NewJob(JobId(str(name)), ENDPOINT, Payload(b"x" * size), lane=0, **settings)  # type: ignore[arg-type]  # as given


def claim_of(count: int, worker: WorkerId = WORKER) -> Claim:
    """A claim from all lanes."""
    return Claim(ENDPOINT, worker, REVISION, count, lease=600.0)


def copy(folder: Path, to: Path) -> Path:
    """What a process that is killed at this moment leaves."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*-shm"))
    return to


async def rows(jobs: SqliteJobs, table: str) -> int:
    """How many rows a table has."""
    query = f"select count(*) from {table}"  # noqa: S608 - a name of this file
    count: int = await jobs._writer.read(lambda file: file.execute(query).fetchone()[0])  # noqa: SLF001 - the file is the store's alone
    return count


async def waiting(jobs: SqliteJobs) -> int:
    """How many batches are promised that the tables do not have."""
    applied: int = await jobs._writer.read(lambda file: file.execute("select applied from standing").fetchone()[0])  # noqa: SLF001 - as above
    return jobs._desk.book.promised - applied  # noqa: SLF001 - seen nowhere else


async def work(jobs: SqliteJobs) -> None:
    """Ten jobs: three done, one failed, two running, one back in the queue, the others untouched."""
    await jobs.submit([new_job(n, idempotency_key=f"k{n}") for n in range(10)])
    claimed = await jobs.claim(claim_of(7))
    await jobs.finish([Finish(one.id, WORKER, Payload(b"done")) for one in claimed[:3]])
    await jobs.finish([Finish(claimed[3].id, WORKER, None, "it broke")])
    await jobs.progress(WORKER, claimed[4].id, Payload(b"half"))


async def all_of(jobs: SqliteJobs) -> list[Job | None]:
    """What became of the ten."""
    return [await jobs.get(JobId(str(n))) for n in range(10)]


async def reopened(folder: Path) -> list[Job | None]:
    """What a store in that folder has, opened, closed and opened again."""
    found = []
    for _ in range(2):
        jobs = await open_jobs(folder)
        found.append(await all_of(jobs))
        await jobs.close()
    assert found[0] == found[1]
    return found[0]


async def test_what_is_promised_is_not_in_the_tables_and_not_lost(tmp_path: Path) -> None:
    """Before it is applied, after a crash, after it was applied, after the store was closed."""
    jobs = await open_jobs(tmp_path / "a")
    await work(jobs)
    done = await all_of(jobs)
    assert (await rows(jobs, "job"), await waiting(jobs)) == (0, 5)
    assert [job.status for job in done if job] == [
        *[JobStatus.COMPLETED] * 3,
        JobStatus.FAILED,
        *[JobStatus.IN_PROGRESS] * 3,
        *[JobStatus.IN_QUEUE] * 3,
    ]

    assert await reopened(copy(tmp_path / "a", tmp_path / "b")) == done
    await jobs.sweep()
    assert (await rows(jobs, "job"), await waiting(jobs)) == (10, 0)
    assert await all_of(jobs) == done
    assert await reopened(copy(tmp_path / "a", tmp_path / "c")) == done
    await jobs.close()
    assert await reopened(tmp_path / "a") == done


async def test_a_power_failure_at_any_page_of_an_application_undoes_it_alone(tmp_path: Path) -> None:
    """It is not synced: what follows the last promise may be missing from any page on, or have holes."""
    jobs = await open_jobs(tmp_path / "a")
    await work(jobs)
    done = await all_of(jobs)
    promised = used(wal_of(tmp_path / "a"))
    await jobs.sweep()
    applied = used(wal_of(tmp_path / "a"))
    assert await jobs._writer.read(lambda file: file.execute("PRAGMA synchronous").fetchone()) == (2,)  # noqa: SLF001 - promises are synced again
    copy(tmp_path / "a", tmp_path / "left")
    await jobs.close()

    pages = range(promised, applied, WAL_FRAME)
    assert len(pages) > 5
    assert (promised - WAL_HEAD) % WAL_FRAME == 0
    for end in pages:
        for cut in (0, 100, WAL_FRAME // 2):
            await require(done, tmp_path, lambda wal, at=end + cut: truncate(wal, at))
        await require(done, tmp_path, lambda wal, at=end: blank(wal, at))


def wal_of(folder: Path) -> Path:
    """SQLite's own log."""
    return folder / "jobs.db-wal"


def truncate(path: Path, size: int) -> None:
    """Cut the end of a file off."""
    with path.open("r+b") as file:
        file.truncate(size)


def blank(path: Path, at: int) -> None:
    """Make zeros of a page that never came to the disk."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(WAL_FRAME))


async def require(done: list[Job | None], folder: Path, harm: object) -> None:
    """The store that is left has all jobs after its file was harmed."""
    shutil.rmtree(folder / "harmed", ignore_errors=True)
    harmed = copy(folder / "left", folder / "harmed")
    assert callable(harm)
    harm(wal_of(harmed))
    jobs = await open_jobs(harmed)
    assert await all_of(jobs) == done
    await jobs.close()


async def test_a_job_that_ends_before_the_tables_know_it_is_written_once(tmp_path: Path) -> None:
    """Hundreds of them are applied as soon as there are enough."""
    jobs = await open_jobs(tmp_path)
    for first in range(0, backlog.ENOUGH_JOBS, 64):
        await jobs.submit([new_job(first + n) for n in range(64)])
        claimed = await jobs.claim(claim_of(64))
        await jobs.finish([Finish(one.id, WORKER, Payload(b"r")) for one in claimed])

    assert (await rows(jobs, "state"), await waiting(jobs)) == (backlog.ENOUGH_JOBS, 2)
    assert (await jobs.counts(ENDPOINT)).by_status[JobStatus.COMPLETED] == backlog.ENOUGH_JOBS
    await jobs.close()


async def test_a_batch_that_memory_should_not_keep_goes_to_the_tables(tmp_path: Path) -> None:
    """And before it all that was promised, so that nothing overtakes."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("small")])
    await jobs.claim(claim_of(1))
    assert (await rows(jobs, "job"), await waiting(jobs)) == (0, 2)

    await jobs.submit([new_job("large", KEPT_INLINE + 1)])
    assert (await rows(jobs, "job"), await waiting(jobs)) == (2, 0)
    await jobs.claim(claim_of(1))
    assert await waiting(jobs) == 1
    await jobs.append_stream(WORKER, JobId("large"), Payload(b"c"))
    assert await waiting(jobs) == 0
    await jobs.close()


async def test_memory_lets_go_of_jobs_although_nobody_asks_for_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as several steps take, in a store that is left alone."""
    monkeypatch.setattr("flashcore.builtin.sqlite.jobs.resting.MOST_JOBS", 1)
    count = 3 * settling.FEWEST
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job(n) for n in range(count)])
    claimed = await jobs.claim(claim_of(count))
    await jobs.finish([Finish(one.id, WORKER, Payload(b"r")) for one in claimed])
    await jobs.sweep()

    while sum(jobs.recall(JobId(str(n))) is not None for n in range(count)) > 1:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.001)
    await jobs.close()


@pytest.mark.parametrize("applied", [False, True])
async def test_an_id_and_a_key_are_known_wherever_the_job_is(
    applied: bool,  # noqa: FBT001 - a case
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Promised, or in the tables alone: whoever submits it again gets the job that is there."""
    monkeypatch.setattr("flashcore.builtin.sqlite.jobs.resting.MOST_JOBS", 1)
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("a", idempotency_key="k"), new_job("z")])
    await jobs.claim(claim_of(2))
    await jobs.finish([Finish(JobId(name), WORKER, Payload(b"r")) for name in "az"])
    if applied:
        await jobs.sweep()
        while jobs.recall(JobId("a")) is not None:  # noqa: ASYNC110 - memory lets go of it soon, and no event tells of it
            await asyncio.sleep(0.001)

    (by_id,) = await jobs.submit([new_job("a")])
    (by_key,) = await jobs.submit([new_job("b", idempotency_key="k")])

    assert by_id == by_key == await jobs.get(JobId("a"))
    assert by_id.status is JobStatus.COMPLETED
    await jobs.close()


async def test_what_the_version_before_has_promised_is_brought_in(tmp_path: Path) -> None:
    """It kept that in a table of the same file."""
    jobs = await open_jobs(tmp_path)
    await work(jobs)
    done = await all_of(jobs)
    promised = [*records_of(copy(tmp_path, tmp_path.with_name(f"{tmp_path.name}-copy")))]
    await jobs.close()
    (tmp_path / "jobs.db.journal").unlink()
    (tmp_path / "jobs.db").unlink()
    await (await open_jobs(tmp_path)).close()
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        connection.executescript(
            "PRAGMA journal_mode = DELETE; alter table standing drop column life;"
            "alter table standing drop column applied; alter table chunk drop column upto; PRAGMA user_version = 4"
        )
        connection.executemany("insert into log values (?, ?)", promised)
    connection.close()
    assert len(promised) == 5

    assert await reopened(tmp_path) == done


def records_of(folder: Path) -> list[tuple[int, bytes]]:
    """What is in the journal of a store that nobody has open."""
    with contextlib.closing(sqlite3.connect(folder / "jobs.db")) as connection:
        (life,) = connection.execute("select life from standing").fetchone()
    file = journal.Journal(folder / "jobs.db.journal")
    records = file.records(life, 0)
    file.close()
    return records


async def test_a_journal_that_was_changed_is_refused_as_it_is(tmp_path: Path) -> None:
    """Nobody is told that a job never was."""
    jobs = await open_jobs(tmp_path / "a")
    await work(jobs)
    left = copy(tmp_path / "a", tmp_path / "b")
    await jobs.close()
    file = left / "jobs.db.journal"
    whole = file.read_bytes()
    (_, second, *_) = [record for _, record in records_of(copy(left, tmp_path / "c"))]
    file.write_bytes(whole.replace(second, second[:-1] + b"?"))

    for _ in range(2):
        with pytest.raises(StateCorrupt, match="record 2 of its journal"):
            await open_jobs(left)

    file.write_bytes(whole)
    await (await open_jobs(left)).close()


@pytest.mark.parametrize("lost", ["missing", "another"])
async def test_a_journal_that_is_not_there_is_missed(lost: str, tmp_path: Path) -> None:
    """Where it had something; the tables of a store that was closed have it all."""
    jobs = await open_jobs(tmp_path / "a")
    await work(jobs)
    done = await all_of(jobs)
    left = copy(tmp_path / "a", tmp_path / "b")
    await jobs.close()
    other = await open_jobs(tmp_path / "c")
    await other.close()
    for folder in (tmp_path / "a", left):
        (folder / "jobs.db.journal").unlink()
        if lost == "another":
            shutil.copy(tmp_path / "c" / "jobs.db.journal", folder)

    assert await reopened(tmp_path / "a") == done
    for _ in range(2):
        with pytest.raises(StateCorrupt, match=r"jobs\.db\.journal"):
            await open_jobs(left)


async def test_nothing_new_is_taken_once_the_journal_is_deleted(tmp_path: Path) -> None:
    """What is written to it now, nobody would find again."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("before")])
    (tmp_path / "jobs.db.journal").unlink()

    with pytest.raises(StateError, match=r"jobs\.db\.journal was deleted"):
        await jobs.submit([new_job("after")])
    assert "jobs.db.journal" in jobs.trouble
    assert [one.id for one in await jobs.claim(claim_of(1))] == ["before"]
    await jobs.close()


# When something fails


async def test_what_was_promised_survives_a_batch_that_could_not_be(tmp_path: Path) -> None:
    """Memory is filled from tables and log, which cannot be applied as there is no room: all is as it was."""
    jobs = await open_jobs(tmp_path)
    await work(jobs)
    done = await all_of(jobs)
    end = jobs._desk._journal._tail.place  # noqa: SLF001 - where there is no room any more
    with no_file_grows_beyond(min(end, used(wal_of(tmp_path)))):
        for _ in range(2):
            with pytest.raises(StorageFull):
                await jobs.submit([new_job("refused")])
            assert await all_of(jobs) == done
            assert await jobs.get(JobId("refused")) is None
            assert {job.id for job in await jobs.held()} == {"4", "5", "6"}
            counts = await jobs.counts(ENDPOINT)
            assert counts.by_status[JobStatus.IN_QUEUE] == 3
            assert counts.oldest_queued > 0
        assert await rows(jobs, "job") == 0

    assert await reopened(copy(tmp_path, tmp_path.with_name(f"{tmp_path.name}-copy"))) == done
    (known,) = await jobs.submit([new_job("other", idempotency_key="k9")])
    left = await jobs.claim(claim_of(9, WorkerId("w/2")))
    assert known.id == "9"
    assert [one.id for one in left] == ["7", "8", "9"]
    assert await jobs.finish([Finish(JobId("4"), WORKER), Finish(JobId("9"), WorkerId("w/2"))]) == (True, True)
    await jobs.sweep()
    assert (await rows(jobs, "job"), await waiting(jobs)) == (10, 0)
    await jobs.close()


async def test_what_is_applied_on_the_way_is_not_applied_again(tmp_path: Path) -> None:
    """Whoever reads or writes takes the segments that wait when he asks; the thread may have applied them by then."""
    writer = await Writer.open(tmp_path / "jobs.db", SCHEMA)
    one, other = segment_of(1, ["a"]), segment_of(2, ["b"])
    await writer.read(partial(apply, [one], writer.give_way, synced=False))
    seen = await writer.read(partial(see, [one, other], lambda file: file.execute("select id from job").fetchall()))
    again = segment_of(3, [])
    await writer.write(partial(write_through, 3, again.changes, [], [one, other]))

    assert seen.applied
    assert seen.result == [("a",), ("b",)]
    await writer.close()


def segment_of(number: int, ids: list[str]) -> backlog.Segment:
    """New jobs in a batch of that number."""
    batch, account = Batch(number), Account(1, ENDPOINT)
    for place, identity in enumerate(ids):
        job = Job(new_job(identity), JobStatus.IN_QUEUE, 1.0)
        batch.stage(Entry(10 * number + place, account, job, 0), None, job)
    return backlog.Segment(number, Changes.of(batch, batch.account_rows(1.0)), set(batch.moves))


async def test_a_value_that_no_table_holds_is_refused_before_it_is_promised(tmp_path: Path) -> None:
    """It harms its own batch, and not those that follow or whoever opens the file next."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("before")])
    for wrong in (new_job("number", priority=1 << 70), new_job("text \udc80"), new_job("context", context={"a": 1j})):
        with pytest.raises((struct.error, UnicodeEncodeError, TypeError)):
            await jobs.submit([wrong])
    await jobs.submit([new_job("after")])
    await jobs.sweep()

    assert [one.id for one in await jobs.claim(claim_of(9))] == ["before", "after"]
    await jobs.close()


@pytest.fixture
def broken_tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Tables that cannot be written while the list is not empty."""
    broken: list[bool] = []
    flush = writing.flush

    def guarded(changes: Changes, connection: sqlite3.Connection, between: Callable[[], None]) -> tuple[str, ...]:
        if broken:
            raise sqlite3.OperationalError("disk I/O error")
        return flush(changes, connection, between)

    monkeypatch.setattr("flashcore.builtin.sqlite.jobs.applying.flush", guarded)
    return iter([broken])


async def test_tables_that_cannot_be_written_stop_promises_at_a_bound(
    broken_tables: Iterator[list[bool]], tmp_path: Path
) -> None:
    """Nothing promised is lost, callers hear why, and once they can be written again the store goes on by itself."""
    broken = next(broken_tables)
    broken.append(True)
    jobs = await open_jobs(tmp_path / "a")
    promised = 0
    with contextlib.suppress(StateError):
        while promised < 20 * backlog.ENOUGH_JOBS:
            await jobs.submit([new_job(promised + n) for n in range(64)])
            promised += 64
    with pytest.raises(StateError, match="disk I/O error"):
        await jobs.submit([new_job("refused")])
    assert backlog.ENOUGH_JOBS < promised <= (backlog.MOST_SEGMENTS + 2) * backlog.ENOUGH_JOBS
    left = copy(tmp_path / "a", tmp_path / "b")

    broken.clear()
    for folder, store in (("a", jobs), ("b", await open_jobs(left))):
        await store.submit([new_job(folder)])
        claimed = await store.claim(claim_of(promised + 9))
        assert [one.id for one in claimed] == [*map(str, range(promised)), folder]
        await store.close()


async def test_after_a_write_to_the_tables_that_failed_the_next_one_goes_there_too(
    failing_commits: list[bool], tmp_path: Path
) -> None:
    """A commit that fails in its last step is in SQLite's log until another takes its place, if none could at once."""
    jobs = await open_jobs(tmp_path)
    failing_commits.append(True)
    for name, size in (("large", KEPT_INLINE + 1), ("small", 1)):
        with pytest.raises(StateError, match="disk I/O error"):
            await jobs.submit([new_job(name, size)])
    failing_commits.clear()

    await jobs.submit([new_job("next")])
    assert (await rows(jobs, "job"), await waiting(jobs)) == (1, 0)
    await jobs.submit([new_job("the one after")])
    assert (await rows(jobs, "job"), await waiting(jobs)) == (1, 1)
    await jobs.close()


def _one_row(query: str, connection: sqlite3.Connection) -> tuple[int, ...]:
    row: tuple[int, ...] = connection.execute(query).fetchone()
    return row


async def test_an_application_whose_transaction_is_ended_by_another_leaves_nothing(tmp_path: Path) -> None:
    """SQLite does so where a query on the same connection fails in certain ways: nothing is written by halves then."""
    writer = await Writer.open(tmp_path / "jobs.db", SCHEMA)

    def ended(connection: sqlite3.Connection) -> bool:
        return apply([segment_of(1, ["a"])], lambda: connection.execute("ROLLBACK").close(), connection, synced=False)

    with pytest.raises(StateError, match="was ended by a query"):
        await writer.read(ended)
    for query in ("select count(*) from job", "select count(*) from state", "select applied from standing"):
        assert writer.look(partial(_one_row, query)) == (0,)
    await writer.close()


async def test_an_application_with_nothing_to_write_says_so(tmp_path: Path) -> None:
    """Nothing is synced by it, whatever was asked for: the journal still needs what it has."""
    writer = await Writer.open(tmp_path / "jobs.db", SCHEMA)
    work = partial(apply, [segment_of(1, ["a"])], writer.give_way, synced=True)

    assert [await writer.read(work), await writer.read(work)] == [True, False]
    await writer.close()


async def test_the_journal_keeps_what_was_applied_and_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep has the tables written on its way; who was to do that and sync it then finds nothing to do."""
    monkeypatch.setattr(journal, "QUICK", 60.0)
    monkeypatch.setattr(journal, "QUICK_IN_A_ROW", 1)
    monkeypatch.setattr(journal, "HALF", 2 * BLOCK)
    jobs = await open_jobs(tmp_path)
    for number in range(3):
        await jobs.submit([new_job(number)])
    file, go_on = jobs._desk._journal, threading.Event()  # noqa: SLF001 - what it may forget is seen nowhere else

    def hold(_: sqlite3.Connection) -> None:
        while not go_on.is_set():
            jobs._writer.give_way()  # noqa: SLF001 - the loop goes on meanwhile

    assert file.waits_for(3)
    holding = jobs._writer.read(hold)  # noqa: SLF001 - as something that takes long
    sweeping = asyncio.create_task(jobs.sweep())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await jobs.submit([new_job("meanwhile")])
    assert jobs._desk._applier._applying  # noqa: SLF001 - or this test tells nothing
    go_on.set()
    await asyncio.gather(holding, sweeping)
    async with asyncio.timeout(60):
        while jobs._desk._applier._applying:  # noqa: ASYNC110, SLF001 - as above; no event tells of it
            await asyncio.sleep(0)

    assert file.waits_for(3), "it would forget what a power failure takes from the tables"
    assert not file.takes(2 * BLOCK - 100)
    await jobs.close()


async def test_all_that_waits_is_applied_though_nothing_new_comes(
    broken_tables: Iterator[list[bool]], tmp_path: Path
) -> None:
    """Several segments are left by a disk that failed for a while: the first one is not the last one."""
    broken = next(broken_tables)
    jobs = await open_jobs(tmp_path)
    broken.append(True)
    for first in range(0, 3 * backlog.ENOUGH_JOBS, 64):
        await jobs.submit([new_job(first + n) for n in range(64)])
    assert await rows(jobs, "job") == 0

    broken.clear()
    jobs._desk._applier.apply_soon()  # noqa: SLF001 - the clock of a test does not come to it
    async with asyncio.timeout(60):
        while await waiting(jobs):
            pass
    assert await rows(jobs, "job") == 3 * backlog.ENOUGH_JOBS
    await jobs.close()


@pytest.mark.parametrize("acknowledged", [560, 1000])
async def test_a_process_that_is_killed_around_an_application_loses_nothing(
    acknowledged: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q01: as the kit says it, with so many jobs that the tables have some of them and the log the others."""
    monkeypatch.setattr(jobs_lives, "ACKNOWLEDGED_BEFORE_THE_KILL", acknowledged)

    await jobs_lives.check_kill(Subject("flashcore.builtin.sqlite_state:SqliteStores", f"sqlite:///{tmp_path}/jobs.db"))


# Records


NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
TIMES = st.floats(0, 1e12)
PAYLOADS = st.builds(Payload, st.binary(max_size=20), TEXTS)
NEW = st.builds(
    NewJob, TEXTS, st.just(ENDPOINT), PAYLOADS, st.integers(0, 99), TIMES, TIMES, TIMES, NUMBERS, st.none() | TEXTS,
    st.none() | st.just(REVISION), st.none() | TEXTS, st.integers(1, 9), st.dictionaries(TEXTS, TEXTS, max_size=2),
)  # fmt: skip
JOBS = st.builds(
    Job, NEW, st.sampled_from(JobStatus), TIMES, NUMBERS, NUMBERS, st.none() | TEXTS, st.none() | TEXTS,
    st.none() | TIMES, st.none() | TIMES, st.none() | TIMES, st.none() | PAYLOADS, st.none() | TEXTS,
    st.none() | PAYLOADS, st.frozensets(TEXTS, max_size=2), NUMBERS,
    st.lists(st.builds(Unfit, TEXTS, TEXTS), max_size=2).map(tuple), NUMBERS,
)  # fmt: skip


def changes_of(before: list[Job], after: list[Job]) -> Changes:
    """What it takes to have some jobs instead of others."""
    batch, account = Batch(1), Account(3, ENDPOINT)
    for n, (old, new) in enumerate(zip([*before, *[None] * len(after)], after, strict=False)):
        known = None if old is None else replace(old, new=new.new)
        batch.stage(Entry(n, account, new, round=n), known, new)
    return Changes.of(batch, batch.account_rows(12.5))


@given(st.lists(JOBS, max_size=2), st.lists(JOBS, max_size=4))
@settings(deadline=None)
def test_a_record_holds_exactly_what_was_changed(before: list[Job], after: list[Job]) -> None:
    """Every column of every row, None as None."""
    changes = changes_of(before, after)

    read = decode(encode(changes))

    for name in ("jobs", "states", "outcomes", "gone", "accounts", "blobs"):
        assert getattr(read, name) == getattr(changes, name)
    assert {field.name for field in fields(Changes)} == {
        *("jobs", "states", "outcomes", "gone", "accounts", "blobs"),
        *("size", "large", "lost"),
    }
    assert changes.may_wait is not bool(changes.large or changes.blobs or changes.gone or changes.lost)


@given(JOBS, st.data())
@settings(deadline=None)
def test_a_record_that_is_not_whole_is_unreadable(job: Job, data: st.DataObject) -> None:
    """Cut off anywhere, with something behind it, or without the texts that its rows name."""
    record = encode(changes_of([], [job]))
    cut = record[: data.draw(st.integers(0, len(record) - 1))]
    textless = struct.pack("<H6I8q", 1, 1, 0, 0, 0, 0, 0, *[-1] * 8)

    for wrong in (cut, record + b"x", b"\x09" + record[1:], textless):
        with pytest.raises(Unreadable):
            decode(wrong)
