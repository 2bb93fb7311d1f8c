"""A job that comes back to the worker that had it before, where there is no other one."""

from __future__ import annotations

from tests.gateway.conftest import Running, eventually, jobs_route, side
from tests.gateway.test_workers import Blocking, ended, submit, worker

from flashcore.model.job import JobStatus, NewJob, Payload
from flashcore.model.names import EndpointName, JobId
from flashcore.testing.fake_worker import worker_hello
from flashcore.wire.messages import Result, Results


async def test_a_job_that_timed_out_is_retried_by_the_only_worker_there_is(running: Running) -> None:
    """Q02: once that has let go of it; what comes of the first attempt after that counts for nothing."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    broker, blocking = running.gateway.broker, Blocking()
    job = JobId("j0-u1")
    async with worker(running, hello, blocking) as helper:
        helper.ignores_stops = True
        await broker.submit(NewJob(job, EndpointName("hello"), Payload(b'"in"'), 0, execution_timeout=0.5))
        late = await ended(running, job)
        await broker.retry(job)
        await helper.until(lambda: bool(helper.stopped))
        assert len(helper.seen) == 1  # its function has not come to its end
        await helper.finish(job)
        await helper.until(lambda: len(helper.seen) == 2)
        helper.send(Results((Result(job, 1, Payload(b'"late"')),)))
        blocking.open.set()
        done = await ended(running, job)

    assert (late.status, done.status) == (JobStatus.TIMED_OUT, JobStatus.COMPLETED)
    assert (done.output, done.attempt) == (Payload(b'"in"'), 2)
    assert (done.worker or "").startswith(f"hello-1/{hello.identity.instance}~")


async def test_the_only_worker_has_its_job_again_once_it_is_no_longer_frozen(running: Running) -> None:
    """Q22: charged, as nobody else ever comes; and not while it still works on the first attempt."""
    hello = worker_hello("hello")
    running.serve(jobs_route("hello", side(hello)))
    blocking = Blocking()
    async with worker(running, hello, blocking) as helper:
        helper.ignores_stops = True
        (job,) = await submit(running)
        await helper.until(lambda: bool(helper.seen))
        helper.freeze()

        async def is_queued() -> bool:
            found = await running.store.get(JobId(job))
            return found is not None and found.status is JobStatus.IN_QUEUE

        await eventually(is_queued)
        helper.thaw()
        await helper.until(lambda: helper.welcomes == 2 and len(helper.stopped) > 2)
        assert len(helper.seen) == 1
        await helper.finish(JobId(job))
        await helper.until(lambda: len(helper.seen) == 2)
        blocking.open.set()
        done = await ended(running, job)

    assert (done.status, done.attempt, done.charged) == (JobStatus.COMPLETED, 2, 1)
