"""The SQLite job store against the contract, and what only files have."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from flashcore.builtin.sqlite.blobs import Blobs
from flashcore.builtin.sqlite.jobs import applier, deadlines, journal
from flashcore.builtin.sqlite.jobs.loading import read_standing
from flashcore.builtin.sqlite_jobs import SqliteJobs
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import BLOB_THRESHOLD, Claim, Finish, Return
from flashcore.model.errors import StateCorrupt
from flashcore.model.job import JobStatus, NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId
from flashcore.testing.clock import VirtualClock
from flashcore.testing.jobs_kit import JobsKit, Subject
from flashcore.testing.measure import Instructions, reachable

ENDPOINT, WORKER, REVISION = EndpointName("e"), WorkerId("w/1"), RevisionId("1" * 64)


class TestSqliteJobs(JobsKit):
    """On a virtual clock."""

    ref = "flashcore.builtin.sqlite_state:SqliteStores"

    def url(self, folder: Path) -> str:
        """A new file."""
        return f"sqlite:///{folder}/jobs.db"

    def subject(self, folder: Path) -> Subject:
        """With a clock that the checks move."""
        clock = VirtualClock()
        return Subject(
            self.ref,
            self.url(folder),
            make=lambda: SqliteStores(clock.wall, clock.monotonic),
            advance=clock.advance_soon,
        )


async def open_jobs(folder: Path, clock: VirtualClock | None = None) -> SqliteJobs:
    """The jobs in a folder."""
    stores = SqliteStores(clock.wall, clock.monotonic) if clock is not None else SqliteStores()
    return await stores.open_jobs(f"sqlite:///{folder}/jobs.db")


def new_job(name: object, lane: int = 0, data: bytes = b"x", **settings: float) -> NewJob:
    """A job."""
    return NewJob(JobId(str(name)), ENDPOINT, Payload(data), lane, **settings)  # type: ignore[arg-type]  # times only


def claim_of(count: int, worker: WorkerId = WORKER) -> Claim:
    """A claim from all lanes."""
    return Claim(ENDPOINT, worker, REVISION, count, lease=60.0)


def large(number: int) -> bytes:
    """Half a megabyte, of its own for each number."""
    return bytes([number]) * 500_000


async def bytes_in_memory(jobs: SqliteJobs) -> int:
    """How many bytes of payloads a store holds, once the event loop is through with the last call."""
    await asyncio.sleep(0.01)
    return sum(len(found) for found in reachable(jobs) if isinstance(found, bytes))


async def work_on_one(jobs: SqliteJobs, number: int) -> None:
    """Claim the job of that number, which is the next one; finish it if the number is odd."""
    (claimed,) = await jobs.claim(claim_of(1))
    assert claimed.input.data == large(number)
    if number % 2:
        await jobs.finish([Finish(claimed.id, WORKER, claimed.input)])


async def require_input(jobs: SqliteJobs, number: int) -> None:
    """The job of that number has its input."""
    job = await jobs.get(JobId(str(number)))
    assert job is not None
    assert job.new.input.data == large(number)


@pytest.mark.parametrize("delay", range(6))
async def test_a_job_whose_time_is_over_is_removed_once(delay: int, tmp_path: Path) -> None:
    """Although it is asked for, and its id used again, while it is being removed."""
    clock = VirtualClock()
    jobs = await open_jobs(tmp_path, clock)
    await jobs.submit([new_job("a", retention=1.0)])
    await jobs.claim(claim_of(1))
    await jobs.finish([Finish(JobId("a"), WORKER)])
    clock.advance(2.0)

    async def again() -> None:
        for _ in range(delay):
            await asyncio.sleep(0)
        await asyncio.gather(jobs.get(JobId("a")), jobs.read_stream(JobId("a")), jobs.submit([new_job("a")]))

    await asyncio.gather(jobs.sweep(), again(), jobs.get(JobId("a")), jobs.sweep())

    counts = (await jobs.counts(ENDPOINT)).by_status
    assert {status: count for status, count in counts.items() if count} == {JobStatus.IN_QUEUE: 1}
    assert [claimed.id for claimed in await jobs.claim(claim_of(9))] == ["a"]
    await jobs.close()


async def test_large_payloads_do_not_stay_in_memory(tmp_path: Path) -> None:
    """Neither of queued jobs, nor of running or finished ones, whatever their state of being read."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job(n, n, large(n)) for n in range(40)])
    assert await bytes_in_memory(jobs) < 1_000_000

    for n in range(20):
        await work_on_one(jobs, n)
    for n in (0, 15, 30):
        await require_input(jobs, n)

    assert await bytes_in_memory(jobs) < 1_000_000
    await jobs.close()


async def test_memory_does_not_grow_with_the_queue(tmp_path: Path) -> None:
    """Nor with jobs that are finished: what is not needed is on disk alone."""
    jobs = await open_jobs(tmp_path)
    sizes = []
    for batch in range(4):
        for first in range(0, 8_000, 1_000):
            await jobs.submit([new_job(f"{batch}-{first + n}", n % 100) for n in range(1_000)])
        sizes.append(sum(isinstance(found, NewJob) for found in reachable(jobs)))

    assert sizes[3] <= sizes[0]
    await jobs.close()


async def test_memory_does_not_grow_with_attempts_that_are_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q22: their deadlines are let go of long before they would have come; those of running jobs are kept."""
    monkeypatch.setattr(deadlines, "_FEWEST", 20)
    clock = VirtualClock()
    jobs = await open_jobs(tmp_path, clock)
    await jobs.submit([new_job(f"runs {n}") for n in range(15)])
    held = await jobs.claim(claim_of(15))
    for done in range(100):
        await jobs.submit([new_job(done)])
        (claimed,) = await jobs.claim(claim_of(1, WorkerId("w/2")))
        clock.advance(0.1)
        await jobs.finish([Finish(claimed.id, WorkerId("w/2"))])
        marks = len(jobs._desk.book._deadlines)  # noqa: SLF001 - what is not seen from outside until it is too much
        assert 15 <= marks <= 32

    assert await jobs.sweep() == ()
    clock.advance(60.0)
    lost = await jobs.sweep()
    assert [job.id for job in lost] == [claimed.id for claimed in held]
    assert {job.status for job in lost} == {JobStatus.IN_QUEUE}
    await jobs.close()


async def test_a_job_that_was_given_away_twice_is_lost_once(tmp_path: Path) -> None:
    """Q05: each of its attempts has left a deadline, and both have come; whoever sweeps hears of it once."""
    clock = VirtualClock()
    jobs = await open_jobs(tmp_path, clock)
    await jobs.submit([new_job("a")])
    await jobs.claim(claim_of(1))
    await jobs.give_back([Return(JobId("a"), WORKER, "it drains", charged=False)])
    await jobs.claim(claim_of(1, WorkerId("w/2")))
    clock.advance(61.0)

    lost = await jobs.sweep()

    assert [(job.id, job.status, job.charged) for job in lost] == [("a", JobStatus.IN_QUEUE, 1)]
    await jobs.close()


async def test_what_is_at_hand_stays_however_little_may_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that were read from the disk to be claimed next are no jobs that merely rest in memory."""
    monkeypatch.setattr("flashcore.builtin.sqlite.jobs.resting.MOST_JOBS", 3)
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job(f"{n:02d}") for n in range(40)])
    await jobs.close()

    jobs = await open_jobs(tmp_path)
    await jobs.claim(claim_of(1))
    for n in range(40):
        await jobs.get(JobId(f"{n:02d}"))

    assert [claimed.id for claimed in await jobs.claim(claim_of(99))] == [f"{n:02d}" for n in range(1, 40)]
    await jobs.close()


async def instructions_for_claims(jobs: SqliteJobs, depth: int) -> int:
    """Python instructions on the event loop for 150 single claims in front of so many jobs."""
    for first in range(0, depth, 1_000):
        await jobs.submit([new_job(first + n, n % 100) for n in range(1_000)])
    with Instructions() as counted:
        for _ in range(150):
            await jobs.claim(claim_of(1))
    return counted.count


async def test_a_claim_costs_the_same_however_many_jobs_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in instructions of the event loop; the database looks at a bounded number of rows.

    Both queues are longer than what is at hand in memory, so that both are refilled from the file. All promises are the
    thread's, since how many are not depends on the disk; the tables get nothing meanwhile, since when depends on time.
    """
    monkeypatch.setattr(journal, "QUICK", 0.0)
    monkeypatch.setattr(applier, "SOON", 3600.0)
    shallow, deep = await open_jobs(tmp_path / "shallow"), await open_jobs(tmp_path / "deep")

    few, many = await instructions_for_claims(shallow, 8_000), await instructions_for_claims(deep, 16_000)

    assert many < 1.01 * few
    await shallow.close()
    await deep.close()


def steps_to_begin(connection: sqlite3.Connection) -> int:
    """Tens of the database's instructions for all that memory begins with."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    connection.set_progress_handler(count, 10)
    try:
        read_standing(connection)
    finally:
        connection.set_progress_handler(None, 0)
    return counted


async def test_a_store_is_opened_as_quickly_however_many_jobs_wait(tmp_path: Path) -> None:
    """Whoever calls waits for that where a gateway is replaced: with a million jobs it took half a second."""
    steps = []
    for count in (100, 5_000):
        jobs = await open_jobs(tmp_path)
        await jobs.submit([new_job(f"{count}-{n}", n % 100) for n in range(count)])
        await jobs.close()
        jobs = await open_jobs(tmp_path)
        steps.append(jobs._writer.look(steps_to_begin))  # noqa: SLF001 - nobody else can count them
        await jobs.close()

    assert steps[1] <= steps[0] + 10


async def test_every_queue_is_found_when_a_store_is_opened(tmp_path: Path) -> None:
    """Whatever priorities there are, of jobs for any revision and for certain ones."""
    pins = (None, RevisionId("1" * 64), RevisionId("2" * 64))
    jobs = await open_jobs(tmp_path)
    news = [replace(new_job(f"{pin}{priority}"), pin=pin, priority=priority) for pin in pins for priority in (-1, 0, 7)]
    await jobs.submit([one for new in news for one in (new, replace(new, id=JobId(f"{new.id}'")))])
    await jobs.close()

    jobs = await open_jobs(tmp_path)
    queues = jobs._writer.look(read_standing).queues  # noqa: SLF001 - what is read is seen nowhere else
    await jobs.close()

    assert [queue[1:] for queue in queues] == [(pin, priority) for pin in pins for priority in (-1, 0, 7)]


async def test_files_that_no_job_needs_are_removed(tmp_path: Path) -> None:
    """At once where a job goes; those that a process left when it died, at the next opening. Equal ones are one."""
    folder = tmp_path / "jobs.db.blobs"
    clock = VirtualClock()
    jobs = await open_jobs(tmp_path, clock)
    content = b"l" * (BLOB_THRESHOLD + 1)
    await jobs.submit([new_job("a", data=content, retention=1.0), new_job("b", data=content)])
    await jobs.claim(claim_of(1))
    await jobs.finish([Finish(JobId("a"), WORKER, Payload(b"o" * (BLOB_THRESHOLD + 1)))])
    assert len(list(folder.iterdir())) == 2

    clock.advance(2.0)
    await jobs.sweep()
    assert len(list(folder.iterdir())) == 1
    (folder / "unfinished-1").write_bytes(b"half")
    (folder / ("0" * 64)).write_bytes(b"of a job that was never stored")
    await jobs.close()

    jobs = await open_jobs(tmp_path, clock)
    assert len(list(folder.iterdir())) == 1
    assert (await jobs.claim(claim_of(1)))[0].input.data == content
    await jobs.purge(ENDPOINT)
    await jobs.forget(ENDPOINT)
    await jobs.sweep()
    assert list(folder.iterdir()) == []
    await jobs.close()


async def test_who_submits_a_large_input_is_not_told_that_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q09: the file was read once more for the answer; lost just then, it made an error of a job that was accepted."""

    def lost(_: object, digest: str) -> memoryview:
        raise StateCorrupt(f"{digest} is lost")

    jobs = await open_jobs(tmp_path)
    monkeypatch.setattr(Blobs, "_read", lost)

    inputs = [letter * (BLOB_THRESHOLD + 1) for letter in (b"a", b"b")] + [b"x"]
    submitted = await jobs.submit([new_job(n, data=data) for n, data in enumerate(inputs)])

    assert [job.new.input.data for job in submitted] == inputs
    await jobs.close()


@pytest.mark.parametrize("content", [None, b"something else"])
async def test_a_payload_whose_file_was_lost_is_an_error_by_name(content: bytes | None, tmp_path: Path) -> None:
    """Not an empty payload, and not another's."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("a", data=b"l" * (BLOB_THRESHOLD + 1))])
    (file,) = (tmp_path / "jobs.db.blobs").iterdir()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)

    with pytest.raises(StateCorrupt, match=file.name):
        await jobs.get(JobId("a"))
    await jobs.close()


async def test_a_job_whose_input_was_lost_fails_alone(tmp_path: Path) -> None:
    """Those that are claimed with it are handed out, and no other attempt of theirs is used up."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("before"), new_job("lost", data=b"l" * (BLOB_THRESHOLD + 1)), new_job("after")])
    (file,) = (tmp_path / "jobs.db.blobs").iterdir()
    file.unlink()

    assert [one.id for one in await jobs.claim(claim_of(9))] == ["before", "after"]
    counts = await jobs.counts(ENDPOINT)
    assert (counts.by_status[JobStatus.FAILED], counts.by_status[JobStatus.IN_PROGRESS]) == (1, 2)
    await jobs.close()


def filling(number: int) -> bytes:
    """Bytes that have a file of their own."""
    return bytes([number]) * (BLOB_THRESHOLD + 1)


async def test_jobs_behind_one_whose_input_was_lost_are_handed_out_with_the_same_claim(tmp_path: Path) -> None:
    """Fewer than were asked for would say that there are no more, and nobody would ask again."""
    jobs = await open_jobs(tmp_path)
    lost = [new_job(f"lost {n}", data=filling(n)) for n in range(3)]
    await jobs.submit([*lost[:2], new_job("between"), lost[2], new_job("behind")])
    for file in (tmp_path / "jobs.db.blobs").iterdir():
        file.unlink()

    assert [[one.id for one in await jobs.claim(claim_of(1))] for _ in range(2)] == [["between"], ["behind"]]
    await jobs.close()


async def test_who_wants_to_know_of_a_job_whose_input_was_lost_hears_what_became_of_it(tmp_path: Path) -> None:
    """Why it failed, that it is cancelled or out of time; only what it was to work on cannot be told any more."""
    clock = VirtualClock(1000.0)
    jobs = await open_jobs(tmp_path, clock)
    ended: list[tuple[EndpointName, JobId]] = []
    jobs.on_ended(lambda *what: ended.append(what))
    names = ("claimed", "cancelled", "running")
    await jobs.submit([new_job(name, data=filling(n)) for n, name in enumerate(names)])
    await jobs.claim(claim_of(3))
    await jobs.submit([new_job("cancelled too", data=filling(7)), new_job("late", data=filling(8), ttl=10.0)])
    for file in (tmp_path / "jobs.db.blobs").iterdir():
        file.unlink()

    (back,) = await jobs.give_back([Return(JobId("claimed"), WORKER, "left", charged=False)])
    assert back is not None
    assert back.status is JobStatus.IN_QUEUE
    for name in ("cancelled", "cancelled too"):
        cancelled = await jobs.cancel(JobId(name))
        assert cancelled is not None
        assert cancelled.status is JobStatus.CANCELLED
    assert await jobs.held() == ()
    clock.advance(20.0)
    assert [(job.id, job.status) for job in await jobs.sweep()] == [("late", JobStatus.TIMED_OUT)]
    assert await jobs.claim(claim_of(9, WorkerId("w/2"))) == ()

    failed = await jobs.get(JobId("claimed"))
    assert failed is not None
    assert failed.status is JobStatus.FAILED
    assert "jobs.db.blobs" in (failed.error or "")
    assert ended == [(ENDPOINT, "claimed")]
    await jobs.close()


async def test_content_that_goes_and_comes_in_one_instant_is_kept(tmp_path: Path) -> None:
    """One job's file is removed while another job with the same content is submitted."""
    jobs = await open_jobs(tmp_path)
    content = b"l" * (BLOB_THRESHOLD + 1)
    for round_ in range(20):
        one, other = EndpointName(f"e{round_}"), EndpointName(f"e{round_ + 1}")
        new = NewJob(JobId(f"j{round_}"), other, Payload(content), lane=0)
        await asyncio.gather(_forget_soon(jobs, one, round_ % 5), jobs.submit([new]))

        job = await jobs.get(new.id)
        assert job is not None
        assert job.new.input.data == content
    await jobs.close()


async def _forget_soon(jobs: SqliteJobs, endpoint: EndpointName, turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0.0005)
    await jobs.forget(endpoint)
    await jobs.sweep()


@pytest.mark.parametrize("way", ["purge", "forget", "retention"])
async def test_jobs_that_are_gone_leave_no_rows(way: str, tmp_path: Path) -> None:
    """Whichever way they went; the file does not grow for ever."""
    clock = VirtualClock()
    jobs = await open_jobs(tmp_path, clock)
    for first in range(0, 3_000, 500):
        await jobs.submit([new_job(first + n, n % 100, retention=5.0, ttl=50.0) for n in range(500)])
    if way != "purge":
        claimed = await jobs.claim(claim_of(300))
        await jobs.append_stream(WORKER, claimed[0].id, Payload(b"chunk"))
        await jobs.progress(WORKER, claimed[1].id, Payload(b"p" * 20_000))
        await jobs.finish([Finish(one.id, WORKER, Payload(b"o" * (BLOB_THRESHOLD + 1))) for one in claimed[:3]])

    if way == "purge":
        await jobs.purge(ENDPOINT)
    elif way == "forget":
        await jobs.forget(ENDPOINT)
    for _ in range(3):
        clock.advance(60.0)
        await jobs.sweep()
    await jobs.close()

    rows = rows_of(tmp_path / "jobs.db")
    assert rows == ({"standing": 1} if way == "forget" else {"standing": 1, "endpoint": 1})
    assert [*(tmp_path / "jobs.db.blobs").glob("*")] == []


def rows_of(path: Path) -> dict[str, int]:
    """How many rows each table has, those that have none left out."""
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        counts = {name: connection.execute(f"select count(*) from {name}").fetchone()[0] for name in tables}  # noqa: S608  # the file's own names
    connection.close()
    return {name: count for name, count in counts.items() if count}


async def rows_of_jobs(jobs: SqliteJobs) -> int:
    """How many jobs are in the file, whether or not anybody can see them."""
    count: int = await jobs._writer.read(lambda file: file.execute("select count(*) from job").fetchone()[0])  # noqa: SLF001 - the file is the store's alone
    return count


async def test_a_purge_of_many_jobs_holds_nobody_up(tmp_path: Path) -> None:
    """Q08: it takes out of sight at once what the sweeps remove from the file, some hundred rows at a time."""
    jobs = await open_jobs(tmp_path)
    for start in range(0, 14_000, 2_000):
        await jobs.submit([new_job(n, n % 100) for n in range(start, start + 2_000)])
    removed = await jobs.purge(ENDPOINT)
    await jobs.submit([new_job("later")])
    claimed = await jobs.claim(claim_of(9))
    left = await rows_of_jobs(jobs)
    during: list[JobStatus | None] = []
    sweeping = asyncio.ensure_future(jobs.sweep())
    while not sweeping.done():
        await jobs.submit([new_job(f"during-{len(during)}")])
        found = await jobs.get(JobId(f"during-{len(during)}"))
        during.append(None if found is None else found.status)
    await jobs.sweep()
    after = await rows_of_jobs(jobs)
    await jobs.close()

    assert removed == 14_000
    assert [one.id for one in claimed] == [JobId("later")]
    assert left > 5_000, "those that are not at hand are left to the sweeps"
    assert len(during) >= 3
    assert set(during) == {JobStatus.IN_QUEUE}
    assert after == 1 + len(during)


async def test_a_job_that_changes_all_the_time_can_be_asked_for(tmp_path: Path) -> None:
    """Q11: whoever reads a stream that grows with each commit is answered with what is on disk by the next one."""
    jobs = await open_jobs(tmp_path)
    await jobs.submit([new_job("streams")])
    await jobs.claim(claim_of(1))
    commits = 0
    is_over = False

    async def stream() -> None:
        nonlocal commits
        while not is_over:
            await jobs.append_stream(WORKER, JobId("streams"), Payload(b"1"), commits)
            commits += 1

    async def submit(writer: int) -> None:
        number = 0
        while not is_over:
            number += 1
            await jobs.submit([new_job(f"{writer}-{number}")])

    writing = [asyncio.create_task(stream())]
    for writer in range(3):  # each beginning while what those before it write is on its way
        for _ in range(4):
            await asyncio.sleep(0)
        writing.append(asyncio.create_task(submit(writer)))
    waited = []
    for _ in range(50):
        before = commits
        assert await jobs.get(JobId("streams")) is not None
        waited.append(commits - before)
    is_over = True
    await asyncio.gather(*writing)
    await jobs.close()

    assert max(waited) <= 3
