"""Queue workers: who may come in, what they are given, and what becomes of their jobs when they go."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.gateway.conftest import FAST, Running, eventually, gateway_at, hasty, jobs_route, not_waiting, side

from flashcore.builtin.memory_state import MemoryStores
from flashcore.hookspecs.jobs import Claim, JobStore
from flashcore.model.job import Claimed, Job, JobStatus, NewJob, Payload
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, JobId
from flashcore.testing.fake_worker import Answer, FakeWorker, worker_hello
from flashcore.wire.frames import encode_frame
from flashcore.wire.hello import Hello
from flashcore.wire.messages import Assignment, Beat, Leaving, Result, Results, to_frame
from flashcore.wire.versions import VersionRange
from flashcore.worker.processes import boot_id


def echo(job: Assignment) -> bytes:
    """The input as it came."""
    return bytes(job.input.data)


class Blocking:
    """An answer that waits for ever, or until it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.now = 0
        self.most = 0

    async def __call__(self, job: Assignment) -> bytes:
        """Wait, and count who else does."""
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.open.wait()
        finally:
            self.now -= 1
        return bytes(job.input.data)


def worker(running: Running, hello: Hello, answer: Answer) -> FakeWorker:
    """A worker of this gateway."""
    return FakeWorker(running.gateway.layout.worker_socket, hello, answer)


async def submit(running: Running, count: int = 1, endpoint: str = "hello") -> list[str]:
    """Queue some jobs."""
    new = [NewJob(JobId(f"j{n}-u1"), EndpointName(endpoint), Payload(str(n).encode()), n % 100) for n in range(count)]
    return [job.id for job in await asyncio.gather(*map(running.gateway.broker.submit, new))]


async def ended(running: Running, job: str) -> Job:
    """The job in its final state."""
    found = await running.gateway.broker.wait(JobId(job), 60.0)
    assert found is not None
    assert found.status.final, found
    return found


# -- coming ------------------------------------------------------------------------------------------------------------


async def test_a_worker_that_comes_before_its_table_is_let_in_with_it(running: Running) -> None:
    """It waits at the door: the first job need not wait for it to knock again."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello"))
    early = worker(running, hello, echo)
    early.start()
    await eventually(lambda: running.gateway.broker.crew.door.count(EndpointName("hello")) == 1)

    running.serve(jobs_route("hello", side(hello)))
    await early.until(lambda: early.welcomes == 1)

    assert early.refusals == []
    assert running.gateway.broker.crew.door.count(EndpointName("hello")) == 0
    await early.stop()


@hasty
async def test_a_worker_that_no_table_lists_may_come_again(running: Running) -> None:
    """Not listed yet is no reason to end."""
    running.serve(jobs_route("hello"))
    stranger = worker(running, worker_hello("hello"), echo)
    stranger.start()

    await stranger.until(lambda: bool(stranger.refusals))

    assert not stranger.refusals[0].final
    assert "is listed for endpoint hello" in stranger.refusals[0].reason
    await stranger.stop()


async def test_a_life_that_was_superseded_is_sent_away_for_good(running: Running) -> None:
    """The table lists a newer instance of the same replica."""
    old, new = worker_hello("hello"), worker_hello("hello")
    running.serve(jobs_route("hello", side(new)))
    superseded = worker(running, old, echo)
    superseded.start()

    await superseded.until(lambda: bool(superseded.refusals))

    assert superseded.refusals[0].final
    await superseded.stop()


async def test_a_worker_of_another_protocol_is_sent_away_with_both_ranges(running: Running) -> None:
    """It can read why."""
    hello = worker_hello("hello")
    identity = dataclasses.replace(hello.identity, protocol=VersionRange(98, 99))
    running.serve(jobs_route("hello", side(hello)))
    foreign = worker(running, dataclasses.replace(hello, identity=identity), echo)
    foreign.start()

    await foreign.until(lambda: bool(foreign.refusals))

    assert foreign.refusals[0].final
    assert "98-99" in foreign.refusals[0].reason
    await foreign.stop()


@hasty
@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", encode_frame(to_frame(Leaving())), b"FC\xff"])
async def test_who_does_not_begin_with_a_hello_is_hung_up_on(running: Running, data: bytes) -> None:
    """Also who begins and says no more."""
    reader, writer = await asyncio.open_unix_connection(str(running.gateway.layout.worker_socket))
    writer.write(data)

    async with asyncio.timeout(60):
        await reader.read()
    writer.close()


async def test_the_last_connection_of_a_worker_is_the_one_that_counts(running: Running) -> None:
    """It came back before anybody saw that it was gone: nothing is given back, nothing is given twice."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    blocking = Blocking()
    async with worker(running, hello, blocking) as first:
        (job,) = await submit(running)
        await first.until(lambda: bool(first.seen))
        async with worker(running, hello, echo) as second:
            await second.until(lambda: bool(second.seen))
            done = await ended(running, job)

    assert (done.status, done.attempt, done.charged) == (JobStatus.COMPLETED, 1, 0)


# -- working -----------------------------------------------------------------------------------------------------------


async def test_slots_are_filled_and_never_exceeded(running: Running) -> None:
    """Q25: max_concurrency is reached when there is work, and never passed."""
    hello = worker_hello("hello", slots=4)
    running.serve(jobs_route("hello", side(hello)))
    blocking = Blocking()
    async with worker(running, hello, blocking) as helper:
        jobs = await submit(running, 10)
        await eventually(lambda: blocking.now == 4)
        blocking.open.set()
        for job in jobs:
            await ended(running, job)

    assert blocking.most == 4
    assert [job.input.data for job in helper.seen] == [str(n).encode() for n in range(10)]


class Counting(FakeWorker):
    """A worker that remembers how many jobs came at a time."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.batches: list[int] = []

    def _begin(self, jobs: tuple[Assignment, ...]) -> None:
        self.batches.append(len(jobs))
        super()._begin(jobs)


async def test_work_comes_in_batches_and_nobody_asks_for_it(layout: Layout) -> None:
    """Q20: as many jobs in one message as there are free slots; while nothing is queued the store is asked nothing."""
    hello = worker_hello("hello", slots=50)
    store = ClaimsCounted(await MemoryStores().open_jobs("memory:"))
    async with gateway_at(layout, store=store) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with Counting(layout.worker_socket, hello, echo) as helper:
            for job in await submit(running, 50):
                await ended(running, job)
            await eventually(lambda: not helper.unreceived)
            before = store.claims
            await asyncio.sleep(5 * FAST.heartbeat)
            idle = store.claims - before

    assert sum(helper.batches) == 50
    assert len(helper.batches) <= 5
    assert idle == 0


async def test_a_worker_that_has_had_all_there_is_asks_for_more_when_there_is_more(layout: Layout) -> None:
    """Each job is asked for once: its end frees a slot for which nothing is left."""
    hello = worker_hello("hello", slots=50)
    store = ClaimsCounted(await MemoryStores().open_jobs("memory:"))
    async with gateway_at(layout, store=store) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with Counting(layout.worker_socket, hello, echo) as helper:
            await helper.until(lambda: helper.welcomes == 1)
            await eventually(lambda: store.claims == 1)
            for number in range(5):
                new = NewJob(JobId(f"n{number}"), EndpointName("hello"), Payload(b"1"), number)
                await running.gateway.broker.submit(new)
                await ended(running, new.id)
            await eventually(lambda: not helper.unreceived)

    assert (len(helper.seen), store.claims) == (5, 6)


class ClaimsCounted:
    """A store that counts how often it is asked for work."""

    def __init__(self, store: JobStore) -> None:
        self.claims = 0
        self._store = store

    async def claim(self, claim: Claim) -> tuple[Claimed, ...]:
        """See JobStore."""
        self.claims += 1
        return await self._store.claim(claim)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_function_that_raises_is_not_tried_again(running: Running) -> None:
    """Q05: unless somebody asks."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    async with worker(running, hello, lambda job: Result(job.id, job.attempt, error="no")) as helper:
        (job,) = await submit(running)
        done = await ended(running, job)

    assert (done.status, done.attempt, len(helper.seen)) == (JobStatus.FAILED, 1, 1)


@not_waiting
@pytest.mark.parametrize("moment", ["while it runs", "as it ends", "in its drain"])
async def test_an_abort_returns_the_targets_jobs_uncharged(running: Running, moment: str) -> None:
    """Q34: whatever the target was at, the stable revision does it, though one attempt is all that may be charged."""
    old, new = worker_hello("hello", "a" * 64, replica="old"), worker_hello("hello", "b" * 64, replica="new")
    running.serve(jobs_route("hello", side(old, weight=0), side(new, weight=100)))
    blocking = Blocking()
    async with worker(running, old, echo):
        target = worker(running, new, blocking)
        target.start()
        await target.until(lambda: target.welcomes == 1)
        job = NewJob(JobId("job"), EndpointName("hello"), Payload(b"1"), 7, max_attempts=1)
        await running.gateway.broker.submit(job)
        await target.until(lambda: bool(target.seen))
        running.serve(jobs_route("hello", side(old)))
        if moment == "as it ends":
            blocking.open.set()
        if moment == "in its drain":
            target.leave()
            await target.finish(JobId("job"))
        await target.stop()
        done = await ended(running, "job")

    assert (done.status, done.charged) == (JobStatus.COMPLETED, 0)


async def test_few_jobs_are_spread_over_idle_workers(running: Running) -> None:
    """Nobody idles beside somebody who has two."""
    hellos = [worker_hello("hello", replica=f"w{n}", slots=4) for n in range(3)]
    running.serve(jobs_route("hello", side(*hellos)))
    blocking = Blocking()
    workers = [worker(running, hello, blocking) for hello in hellos]
    for helper in workers:
        helper.start()
        await helper.until(lambda helper=helper: helper.welcomes == 1)  # type: ignore[misc]  # binds the loop's value

    await submit(running, 3)
    await eventually(lambda: sum(len(helper.seen) for helper in workers) == 3)

    assert [len(helper.seen) for helper in workers] == [1, 1, 1]
    for helper in workers:
        await helper.stop()


async def test_a_worker_that_has_no_side_is_given_nothing(running: Running) -> None:
    """Q32: out of the table is out of the work, and what runs may finish."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    blocking = Blocking()
    async with worker(running, hello, blocking) as helper:
        jobs = await submit(running, 2)
        await helper.until(lambda: len(helper.seen) == 1)
        running.serve(jobs_route("hello"))
        blocking.open.set()
        done = await ended(running, jobs[0])
        left = await running.store.get(JobId(jobs[1]))

    assert done.status is JobStatus.COMPLETED
    assert left is not None
    assert (left.status, len(helper.seen)) == (JobStatus.IN_QUEUE, 1)


async def test_held_traffic_stays_in_the_queue(running: Running) -> None:
    """Hold-traffic: jobs are taken in and not handed out, until traffic is released."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello), held=True))
    async with worker(running, hello, echo) as helper:
        (job,) = await submit(running)
        # What is handed out at all is handed out before the next sweep has come round.
        await asyncio.sleep(FAST.sweep_interval * 2)
        held = list(helper.seen)
        running.serve(jobs_route("hello", side(hello)))
        done = await ended(running, job)

    assert held == []
    assert done.status is JobStatus.COMPLETED


async def test_lanes_follow_the_weights(running: Running) -> None:
    """Q30: Percent(n) gives the target the lanes below n, the stable side the rest."""
    old, new = worker_hello("hello", "a" * 64, slots=50), worker_hello("hello", "b" * 64, replica="new", slots=50)
    running.serve(jobs_route("hello", side(old, weight=70), side(new, weight=30)))
    async with worker(running, old, echo) as stable, worker(running, new, echo) as target:
        for job in await submit(running, 200):
            await ended(running, job)

    assert (len(stable.seen), len(target.seen)) == (140, 60)


# -- going -------------------------------------------------------------------------------------------------------------


async def test_a_worker_that_comes_back_keeps_its_job(running: Running) -> None:
    """A connection that breaks is no crash: the job goes on, and is not charged."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    blocking = Blocking()
    async with worker(running, hello, blocking) as helper:
        (job,) = await submit(running)
        await helper.until(lambda: bool(helper.seen))
        helper.hang_up()
        await helper.until(lambda: helper.welcomes == 2)
        blocking.open.set()
        done = await ended(running, job)

    assert (done.status, done.attempt) == (JobStatus.COMPLETED, 1)


async def test_results_that_were_not_received_come_again(running: Running) -> None:
    """What was finished while nobody listened is not lost, and not recorded twice."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    blocking = Blocking()
    async with worker(running, hello, blocking) as helper:
        (job,) = await submit(running)
        await helper.until(lambda: bool(helper.seen))
        helper.hang_up()
        blocking.open.set()
        done = await ended(running, job)
        await eventually(lambda: not helper.unreceived)

    assert (done.status, done.attempt) == (JobStatus.COMPLETED, 1)


async def test_a_job_that_never_arrived_is_sent_again(running: Running) -> None:
    """It was handed out, the connection broke before it came: the same attempt goes over the next one."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    helper = worker(running, hello, echo)
    helper.start()
    await helper.until(lambda: helper.welcomes == 1)
    helper.freeze()
    (job,) = await submit(running)
    await eventually(lambda: any(one.attempts for one in running.gateway.broker.books))
    helper.hang_up()
    helper.thaw()

    done = await ended(running, job)

    assert (done.status, done.attempt, done.charged) == (JobStatus.COMPLETED, 1, 0)
    await helper.stop()


@not_waiting
async def test_the_job_of_a_worker_that_does_not_come_back_goes_to_another(running: Running) -> None:
    """Q22, Q-C16: after the grace, charged."""
    first, second = worker_hello("hello", replica="w1"), worker_hello("hello", replica="w2")
    running.serve(jobs_route("hello", side(first)))
    lost = worker(running, first, Blocking())
    lost.start()
    await lost.until(lambda: lost.welcomes == 1)
    (job,) = await submit(running)
    await lost.until(lambda: bool(lost.seen))
    await lost.stop()

    running.serve(jobs_route("hello", side(first, second)))
    async with worker(running, second, echo):
        done = await ended(running, job)

    assert (done.status, done.worker, done.attempt, done.charged) == (
        JobStatus.COMPLETED, f"w2/{second.identity.instance}", 2, 1,
    )  # fmt: skip


@not_waiting
async def test_a_worker_that_names_no_process_is_waited_for_as_any(running: Running) -> None:
    """Whatever it says of itself: its job is not its own for ever."""
    hello = worker_hello("hello", boot_id=boot_id())
    hello = dataclasses.replace(hello, identity=dataclasses.replace(hello.identity, pid=-1))
    running.serve(jobs_route("hello", side(hello)))
    async with worker(running, hello, Blocking()) as lost:
        (job,) = await submit(running)
        await lost.until(lambda: bool(lost.seen))

    async def is_queued() -> bool:
        found = await running.store.get(JobId(job))
        return found is not None and found.status is JobStatus.IN_QUEUE

    await eventually(is_queued)


@not_waiting
async def test_a_job_that_kills_its_workers_fails_for_good(running: Running) -> None:
    """Q05: the budget is used up, and the reason is told."""
    hellos = [worker_hello("hello", replica=f"w{number}") for number in range(2)]
    (job,) = await submit(running)
    for hello in hellos:
        running.serve(jobs_route("hello", side(hello)))
        victim = worker(running, hello, Blocking())
        victim.start()
        await victim.until(lambda victim=victim: bool(victim.seen))  # type: ignore[misc]  # binds the loop's value
        await victim.stop()

    done = await ended(running, job)

    assert done.status is JobStatus.FAILED
    assert "worker lost" in (done.error or "")
    assert "2 of 2 attempts" in (done.error or "")
    count = running.gateway.broker.side(done.new.endpoint, hellos[0].identity.revision)
    assert (count.requests, count.failures) == (2, 2)


async def test_an_attempt_whose_lease_ran_out_counts_as_failed(layout: Layout) -> None:
    """Whoever finds out, its worker was to blame."""
    hello = worker_hello("hello")
    store = await MemoryStores().open_jobs("memory:")
    store.extend = _nothing_happens  # type: ignore[method-assign, assignment]  # no lease is renewed
    async with gateway_at(layout, dataclasses.replace(FAST, lease=0.5), store) as running:
        running.serve(jobs_route("hello", side(hello)))
        async with worker(running, hello, Blocking()) as helper:
            await submit(running)
            await helper.until(lambda: bool(helper.stopped))
            count = running.gateway.broker.side(EndpointName("hello"), hello.identity.revision)

    assert (count.requests, count.failures) == (1, 1)


async def test_an_attempt_that_another_gateway_found_too_long_counts_as_failed_here(running: Running) -> None:
    """Here is its worker, which is told as well."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    broker, swept = running.gateway.broker, running.store.sweep
    async with worker(running, hello, Blocking()) as helper:
        running.store.sweep = _nothing_happens  # type: ignore[method-assign]  # the other one is faster
        new = NewJob(JobId("j-u1"), EndpointName("hello"), Payload(b"1"), 1, execution_timeout=0.5)
        await broker.submit(new)
        await helper.until(lambda: bool(helper.seen))
        await eventually(swept)

        await broker.crew.renew_leases()
        await helper.until(lambda: bool(helper.stopped))
        count = broker.side(EndpointName("hello"), hello.identity.revision)

    assert (count.requests, count.failures) == (1, 1)


async def _nothing_happens(*_: object) -> tuple[()]:
    return ()


async def test_a_worker_whose_process_ended_is_not_waited_for(layout: Layout) -> None:
    """Q05: on the same machine the job goes back at once, not after the grace."""
    settings = dataclasses.replace(FAST, reconnect_grace=600.0, lease=900.0)
    dead = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await dead.wait()
    hello = worker_hello("hello", boot_id=boot_id())
    ghost = dataclasses.replace(hello, identity=dataclasses.replace(hello.identity, pid=dead.pid))
    async with gateway_at(layout, settings) as running:
        running.serve(jobs_route("hello", side(ghost)))
        lost = worker(running, ghost, Blocking())
        lost.start()
        await lost.until(lambda: lost.welcomes == 1)
        (job,) = await submit(running)
        await lost.until(lambda: bool(lost.seen))

        await lost.stop()

        async def returned() -> bool:
            found = await running.store.get(JobId(job))
            return found is not None and found.status is JobStatus.IN_QUEUE

        await eventually(returned)


async def test_a_frozen_worker_is_given_up_and_its_late_result_is_ignored(running: Running) -> None:
    """Q22: SIGSTOP, then SIGCONT."""
    frozen, other = worker_hello("hello", replica="w1"), worker_hello("hello", replica="w2")
    running.serve(jobs_route("hello", side(frozen)))
    blocking = Blocking()
    async with worker(running, frozen, blocking) as sleeper:
        (job,) = await submit(running)
        await sleeper.until(lambda: bool(sleeper.seen))
        sleeper.freeze()
        running.serve(jobs_route("hello", side(frozen, other)))
        async with worker(running, other, lambda _: b'"by another"'):
            done = await ended(running, job)
            blocking.open.set()
            sleeper.thaw()
            sleeper.hang_up()
            await eventually(lambda: sleeper.welcomes >= 2 and not sleeper.unreceived)
        after = await running.store.get(JobId(job))

    assert done.output == Payload(b'"by another"')
    assert after == done


async def test_a_worker_that_leaves_finishes_and_gets_no_more(running: Running) -> None:
    """Q21: drained, not charged."""
    hello = worker_hello("hello", slots=2)
    running.serve(jobs_route("hello", side(hello)))
    blocking = Blocking()
    async with worker(running, hello, blocking) as helper:
        (first,) = await submit(running)
        await helper.until(lambda: bool(helper.seen))
        helper.leave()
        await eventually(lambda: all(one.leaving for one in running.gateway.broker.books))
        later = NewJob(JobId("later-u1"), EndpointName("hello"), Payload(b"1"), 0)
        await running.gateway.broker.submit(later)
        blocking.open.set()
        done = await ended(running, first)
        left = await running.store.get(later.id)

    assert (done.status, len(helper.seen)) == (JobStatus.COMPLETED, 1)
    assert left is not None
    assert left.status is JobStatus.IN_QUEUE


async def test_a_job_that_is_given_back_in_a_drain_costs_nothing(running: Running) -> None:
    """Q34: another worker runs it, and its budget is whole."""
    first, second = worker_hello("hello", replica="w1"), worker_hello("hello", replica="w2")
    running.serve(jobs_route("hello", side(first, second)))

    def release(job: Assignment) -> Result:
        return Result(job.id, job.attempt, released=True)

    async with worker(running, first, release) as drained:
        (job,) = await submit(running)
        await drained.until(lambda: bool(drained.seen))
        async with worker(running, second, echo):
            done = await ended(running, job)

    assert (done.status, done.attempt, done.charged) == (JobStatus.COMPLETED, 2, 0)


async def test_the_result_of_another_attempt_is_received_and_ignored(running: Running) -> None:
    """Q02: also when it is the same worker that tries again."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    outcomes = iter([Result(JobId("j0-u1"), 1, error="broken")])

    def answer(job: Assignment) -> Result:
        return next(outcomes, Result(job.id, job.attempt, Payload(b'"second"')))

    async with worker(running, hello, answer) as helper:
        (job,) = await submit(running)
        await ended(running, job)
        await running.gateway.broker.retry(JobId(job))
        done = await ended(running, job)
        helper.unreceived[JobId(job)] = Result(JobId(job), 1, Payload(b'"late"'))
        helper.send(Results((helper.unreceived[JobId(job)],)))
        await eventually(lambda: not helper.unreceived)
        after = await running.store.get(JobId(job))

    assert (done.attempt, done.output) == (2, Payload(b'"second"'))
    assert after == done


async def test_a_job_that_its_worker_does_not_know_goes_elsewhere(running: Running) -> None:
    """A worker that says that it lives, and leaves the job out for long, does not work on it."""
    first, second = worker_hello("hello", replica="w1"), worker_hello("hello", replica="w2")
    running.serve(jobs_route("hello", side(first)))
    async with worker(running, first, Blocking()) as forgetful:
        (job,) = await submit(running)
        await forgetful.until(lambda: bool(forgetful.seen))
        await forgetful.forget()
        running.serve(jobs_route("hello", side(first, second)))
        async with worker(running, second, echo):
            done = await ended(running, job)

    assert (done.status, done.charged) == (JobStatus.COMPLETED, 0)


async def test_a_worker_is_told_to_stop_what_is_not_its(running: Running) -> None:
    """A beat that names a job of somebody else's is corrected."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    async with worker(running, hello, echo) as helper:
        helper.send(Beat((JobId("not-mine-u1"),)))

        await helper.until(lambda: bool(helper.stopped))

    assert helper.stopped == ["not-mine-u1"]


async def test_a_stopped_job_keeps_its_slot_until_its_worker_lets_go(running: Running) -> None:
    """A plain function cannot be interrupted: what it holds is not given to the next."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    helper = worker(running, hello, Blocking())
    helper.ignores_stops = True
    helper.start()
    await helper.until(lambda: helper.welcomes == 1)
    first, second = await submit(running, 2)
    await helper.until(lambda: bool(helper.seen))

    await running.gateway.broker.cancel(JobId(first))
    await helper.until(lambda: bool(helper.stopped))
    blocked = await running.store.get(JobId(second))
    await helper.finish(JobId(first))
    await helper.until(lambda: len(helper.seen) == 2)

    assert blocked is not None
    assert blocked.status is JobStatus.IN_QUEUE
    await helper.stop()


@asynccontextmanager
async def two_sides(running: Running) -> AsyncIterator[tuple[FakeWorker, FakeWorker]]:
    """A worker of the stable revision, and one of the target."""
    old, new = worker_hello("hello", "a" * 64, replica="old"), worker_hello("hello", "b" * 64, replica="new")
    running.serve(jobs_route("hello", side(old), side(new)))
    async with worker(running, old, echo) as stable, worker(running, new, echo) as target:
        yield stable, target


async def test_by_capacity_both_revisions_work(running: Running) -> None:
    """Q30: no worker idles while a job waits."""
    async with two_sides(running) as (stable, target):
        for job in await submit(running, 40):
            await ended(running, job)

    assert len(stable.seen) + len(target.seen) == 40
    assert min(len(stable.seen), len(target.seen)) > 0
