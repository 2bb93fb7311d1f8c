"""A gateway that ends and comes back, with jobs on disk: nothing is lost, and nobody pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.gateway.conftest import FAST, IMPATIENT, Running, called, eventually, gateway_at, jobs_route, side

from flashcore.builtin.sqlite_jobs import SqliteJobs
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.gateway.settings import Settings
from flashcore.gateway.tablefile import TableFile
from flashcore.hookspecs.jobs import Claim
from flashcore.model.job import Job, JobStatus, NewJob, Payload
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, JobId, worker_id
from flashcore.model.table import RoutingTable
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire.hello import Hello
from flashcore.wire.messages import Assignment

HELLO = EndpointName("hello")
JOB = JobId("job-u1")


@asynccontextmanager
async def gateway(layout: Layout, *hellos: Hello, settings: Settings = FAST) -> AsyncIterator[Running]:
    """A gateway with jobs on disk, serving `hello` by these workers."""
    layout.home.mkdir(parents=True, exist_ok=True)
    store = await SqliteStores().open_jobs(f"sqlite:///{layout.jobs_db}")
    async with gateway_at(layout, settings, store) as running:
        running.serve(jobs_route("hello", side(*hellos)))
        yield running


async def submit(running: Running) -> None:
    """Queue one job."""
    await running.gateway.broker.submit(NewJob(JOB, HELLO, Payload(b'"work"'), 3))


async def ended(running: Running) -> Job:
    """The job in its final state."""
    found = await running.gateway.broker.wait(JOB, 60.0)
    assert found is not None
    assert found.status.final, found
    return found


async def test_what_was_queued_is_worked_on_after_a_restart(layout: Layout) -> None:
    """Q01: an accepted job is on disk."""
    hello = worker_hello("hello")
    async with gateway(layout) as running:
        await submit(running)

    async with gateway(layout, hello) as running, FakeWorker(layout.worker_socket, hello, lambda job: job.input.data):
        done = await ended(running)

    assert (done.status, done.output) == (JobStatus.COMPLETED, Payload(b'"work"'))


async def test_a_job_that_is_alone_waits_for_the_disk_twice(layout: Layout) -> None:
    """Once when it is taken in and handed out, once for its result."""
    hello = worker_hello("hello")
    async with gateway(layout, hello) as running, FakeWorker(layout.worker_socket, hello, lambda _: b"1") as worker:
        await worker.until(lambda: worker.welcomes == 1)
        store = running.store
        assert isinstance(store, SqliteJobs)
        before = store._desk.handed_over  # noqa: SLF001 - how often the disk is waited for is seen nowhere else

        for number in range(10):
            new = NewJob(JobId(f"job-{number}"), HELLO, Payload(b"1"), 3)
            done = await called(running, new, 60.0)
            assert done is not None
            assert done.status is JobStatus.COMPLETED

        assert store._desk.handed_over - before == 20  # noqa: SLF001 - as above


@pytest.mark.parametrize("finished", ["before", "while", "after"])
async def test_a_worker_takes_its_job_over_a_restart(layout: Layout, finished: str) -> None:
    """Q05, Q35: whether it ends before the gateway, while there is none, or with the next: one attempt, not charged."""
    hello = worker_hello("hello")
    go_on = asyncio.Event()
    runs: list[int] = []

    async def answer(job: Assignment) -> bytes:
        runs.append(job.attempt)
        await go_on.wait()
        return b'"done"'

    worker = FakeWorker(layout.worker_socket, hello, answer)
    async with gateway(layout, hello) as running:
        worker.start()
        await submit(running)
        await worker.until(lambda: bool(worker.seen))
        if finished == "before":
            go_on.set()
    if finished == "while":
        go_on.set()
        await eventually(lambda: bool(worker.unreceived))
    async with gateway(layout, hello) as running:
        await worker.until(lambda: worker.welcomes == 2)
        go_on.set()
        done = await ended(running)
        await eventually(lambda: not worker.unreceived)
    await worker.stop()

    assert (done.status, done.output, done.attempt, done.charged) == (JobStatus.COMPLETED, Payload(b'"done"'), 1, 0)
    assert runs == [1]


async def test_a_worker_that_has_a_job_for_the_second_time_takes_it_over_a_restart(layout: Layout) -> None:
    """Q05: under whichever of its ids it has claimed it, and with what it has streamed by then."""
    hello = worker_hello("hello")
    go_on = asyncio.Event()

    async def answer(job: Assignment) -> bytes:
        await go_on.wait()
        return b'"done"'

    worker = FakeWorker(layout.worker_socket, hello, answer)
    async with gateway(layout, hello) as running:
        worker.start()
        await running.gateway.broker.submit(NewJob(JOB, HELLO, Payload(b"1"), 3, execution_timeout=2.0))
        await ended(running)
        await running.gateway.broker.retry(JOB)
        await worker.until(lambda: len(worker.seen) == 2)
        worker.chunk(worker.seen[1], b'"before"', 0)
        await worker.until(lambda: bool(worker.taken))
    async with gateway(layout, hello) as running:
        await worker.until(lambda: worker.welcomes == 2)
        worker.chunk(worker.seen[1], b'"after"', 1)
        go_on.set()
        done = await ended(running)
        chunks = await running.store.read_stream(JOB, 0)
    await worker.stop()

    assert (done.status, done.output, done.attempt) == (JobStatus.COMPLETED, Payload(b'"done"'), 2)
    assert [chunk.value.data for chunk in chunks] == [b'"before"', b'"after"']


async def test_shares_and_leases_outlive_the_gateway_in_a_rollout(layout: Layout) -> None:
    """Q35: the next one goes by the table that was kept, before any control plane has come."""
    old, new = worker_hello("hello", "a" * 64, slots=50), worker_hello("hello", "b" * 64, replica="new", slots=50)
    table = RoutingTable(1, (jobs_route("hello", side(old, weight=70), side(new, weight=30)),))
    go_on = asyncio.Event()

    async def answer(job: Assignment) -> bytes:
        await go_on.wait()
        return b"1"

    def some(life: int) -> list[NewJob]:
        lanes = range(50) if life == 1 else range(50, 100)
        return [NewJob(JobId(f"{life}-{lane}"), HELLO, Payload(b"1"), lane) for lane in lanes]

    workers = [FakeWorker(layout.worker_socket, hello, answer) for hello in (old, new)]
    layout.home.mkdir(parents=True, exist_ok=True)
    TableFile(layout.table_file, layout.table_changes_file).keep(table)
    async with gateway_at(layout, store=await SqliteStores().open_jobs(f"sqlite:///{layout.jobs_db}")) as running:
        for worker in workers:
            worker.start()
        await asyncio.gather(*map(running.gateway.broker.submit, some(1)))
        await eventually(lambda: sum(len(worker.seen) for worker in workers) == 50)
    async with gateway_at(layout, store=await SqliteStores().open_jobs(f"sqlite:///{layout.jobs_db}")) as running:
        await eventually(lambda: all(worker.welcomes == 2 for worker in workers))
        go_on.set()
        await asyncio.gather(*map(running.gateway.broker.submit, some(2)))
        done = [await running.gateway.broker.wait(job.id, 60.0) for job in (*some(1), *some(2))]
    for worker in workers:
        await worker.stop()

    assert [len({job.id for job in worker.seen}) for worker in workers] == [70, 30]
    assert {(job.status, job.attempt, job.charged) for job in done if job} == {(JobStatus.COMPLETED, 1, 0)}


async def test_a_job_whose_worker_went_with_the_gateway_goes_to_another_uncharged(layout: Layout) -> None:
    """Nobody can tell whose fault it was, so it is nobody's."""
    first, second = worker_hello("hello", replica="w1"), worker_hello("hello", replica="w2")
    worker = FakeWorker(layout.worker_socket, first, lambda _: asyncio.Future())
    async with gateway(layout, first) as running:
        worker.start()
        await submit(running)
        await worker.until(lambda: bool(worker.seen))
    await worker.stop()

    worker = FakeWorker(layout.worker_socket, second, lambda _: b"2")
    async with gateway(layout, second, settings=IMPATIENT) as running, worker:
        done = await ended(running)

    assert (done.status, done.attempt, done.charged) == (JobStatus.COMPLETED, 2, 0)


async def test_a_job_that_was_handed_out_and_never_sent_reaches_its_worker(layout: Layout) -> None:
    """Killed between the claim and the sending: the same attempt goes to the same worker, there need be no other."""
    hello = worker_hello("hello")
    async with gateway(layout) as running:
        await submit(running)
        who = worker_id(hello.identity.replica, hello.identity.instance)
        claimed = await running.store.claim(Claim(HELLO, who, hello.identity.revision, 1, 30.0))
        assert len(claimed) == 1

    async with gateway(layout, hello) as running, FakeWorker(layout.worker_socket, hello, lambda _: b"1") as worker:
        done = await ended(running)

    assert (done.status, done.attempt, done.charged) == (JobStatus.COMPLETED, 1, 0)
    assert [job.attempt for job in worker.seen] == [1]


async def test_a_worker_that_leaves_is_not_sent_what_it_never_got(layout: Layout) -> None:
    """Handed out before the restart, never sent: another worker does it, and nothing is charged."""
    leaving, other = worker_hello("hello", replica="w1"), worker_hello("hello", replica="w2")
    async with gateway(layout) as running:
        await submit(running)
        who = worker_id(leaving.identity.replica, leaving.identity.instance)
        assert len(await running.store.claim(Claim(HELLO, who, leaving.identity.revision, 1, 30.0))) == 1

    drained = FakeWorker(layout.worker_socket, leaving, lambda _: b"1")
    drained.leaving = True
    async with gateway(layout, other) as running:
        drained.start()
        await drained.until(lambda: drained.welcomes == 1)
        async with FakeWorker(layout.worker_socket, other, lambda _: b"2"):
            done = await ended(running)
    await drained.stop()

    assert (done.output, done.attempt, done.charged) == (Payload(b"2"), 2, 0)
    assert drained.seen == []


async def test_a_worker_that_leaves_over_a_restart_finishes_what_it_has(layout: Layout) -> None:
    """A drain and a restart at once: its job is neither sent again nor given to another."""
    hello = worker_hello("hello")
    go_on = asyncio.Event()

    async def answer(_: Assignment) -> bytes:
        await go_on.wait()
        return b"1"

    worker = FakeWorker(layout.worker_socket, hello, answer)
    async with gateway(layout, hello) as running:
        worker.start()
        await submit(running)
        await worker.until(lambda: bool(worker.seen))
    async with gateway(layout) as running:
        await worker.until(lambda: worker.welcomes == 2)
        worker.leave()
        await eventually(lambda: all(one.leaving for one in running.gateway.broker.books))
        go_on.set()
        done = await ended(running)
    await worker.stop()

    assert (done.status, done.attempt) == (JobStatus.COMPLETED, 1)


async def test_chunks_that_come_again_after_a_restart_are_there_once(layout: Layout) -> None:
    """Q11: the worker cannot know which of them were stored; readers of both kinds go on where they were."""
    hello = worker_hello("hello")
    worker = FakeWorker(layout.worker_socket, hello, lambda _: asyncio.Future())
    worker.start()
    async with gateway(layout, hello) as running:
        await submit(running)
        await worker.until(lambda: bool(worker.seen))
        (job,) = worker.seen
        for number in range(3):
            worker.chunk(job, b"%d" % number, number)
        await worker.until(lambda: any(told.chunks == 3 for told in worker.taken))
        first = await streamed(running, None)

    worker.taken.clear()
    async with gateway(layout, hello) as running:
        await worker.until(lambda: worker.welcomes == 2)
        for number in range(1, 6):
            worker.chunk(job, b"%d" % number, number)
        await worker.until(lambda: any(told.chunks == 6 for told in worker.taken))
        counting = [await streamed(running, 3), await streamed(running, 3), await streamed(running, 4)]
        rest = await streamed(running, None)
    await worker.stop()

    assert first == [0, 1, 2]
    assert counting == [[3, 4, 5], [3, 4, 5], [4, 5]]
    assert rest == [4, 5]


async def streamed(running: Running, after: int | None) -> list[int]:
    """What a reader gets now."""
    read = await running.gateway.broker.read_stream(JOB, 50.0, after)
    assert read is not None
    return [int(item.value.data) for item in read[1]]
