"""Checks of attempts: results, what is stale, what goes back to the queue, cancel, retry, streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import pairwise

from flashcore.hookspecs.jobs import BLOB_THRESHOLD, Finish, JobStore, Return
from flashcore.model.errors import IllegalMove
from flashcore.model.job import Job, JobStatus, Payload
from flashcore.model.names import WorkerId
from flashcore.testing.conformance import require
from flashcore.testing.store_checks.job_samples import (
    DONE,
    ENDPOINT,
    OTHER_WORKER,
    WORKER,
    claim,
    finish,
    give_back,
    job_id,
    names,
    new_job,
    status,
    submit,
)
from flashcore.testing.store_checks.subject import Subject


async def check_results(subject: Subject) -> None:
    """A result ends a job: COMPLETED, or FAILED when it is an error, with the output in both cases."""
    async with subject.jobs() as jobs:
        await submit(jobs, "good", "bad")
        await claim(jobs, 2)
        results = [Finish(job_id("good"), WORKER, DONE), Finish(job_id("bad"), WORKER, DONE, "it broke")]
        require(await jobs.finish(results) == (True, True), "current attempts are accepted")
        good, bad = await _get(jobs, "good"), await _get(jobs, "bad")
        require((good.status, good.output, good.error) == (JobStatus.COMPLETED, DONE, None), "completed", good)
        require((bad.status, bad.output, bad.error) == (JobStatus.FAILED, DONE, "it broke"), "failed", bad)
        for job in (good, bad):
            started, finished = job.started_at or 0.0, job.finished_at or 0.0
            require(job.submitted_at <= started <= finished <= jobs.now(), "with its times", job)
            require(job.worker == WORKER and job.leased_until is None, "and who did it", job)


async def check_stale_attempts(subject: Subject) -> None:
    """Whatever comes from an attempt that is over is ignored, and whoever sends it is told."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        await claim(jobs)
        await give_back(jobs, "a")
        require(not await finish(jobs, "a"), "a job that went back")
        await claim(jobs, worker=OTHER_WORKER)
        job = await _get(jobs, "a")
        results = [
            await finish(jobs, "a"),
            await jobs.progress(WORKER, job.id, DONE),
            await jobs.append_stream(WORKER, job.id, DONE),
            await give_back(jobs, "a") is not None,
            await jobs.extend(WORKER, [job.id], 1000.0) == (),
        ]
        require(not any(results), "nothing of a stale attempt is taken", results)
        require(await _get(jobs, "a") == job, "nothing of it is seen")
        require(await finish(jobs, "a", OTHER_WORKER), "the current attempt counts")
        require(not await finish(jobs, "a", OTHER_WORKER, error="late"), "once")
        require((await _get(jobs, "a")).error is None, "the first result stays")


async def check_results_in_one_call(subject: Subject) -> None:
    """Of several results in one call, stale ones spoil nothing, and the same one twice counts once."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a", "b")
        await claim(jobs, 2)
        one = Finish(job_id("a"), WORKER, DONE)
        results = [one, one, Finish(job_id("nobody"), WORKER), Finish(job_id("b"), OTHER_WORKER), one]
        accepted = await jobs.finish([*results, Finish(job_id("b"), WORKER, DONE)])
        require(accepted == (True, False, False, False, False, True), "each is judged by itself", accepted)


async def check_given_back(subject: Subject) -> None:
    """An attempt that ends without a result puts the job back in its old place, for other workers; it costs nothing."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a", "b")
        submitted = await _get(jobs, "a")
        for n in range(4):
            await claim(jobs, worker=_worker(n))
            job = await give_back(jobs, "a", _worker(n))
            shown = job and (job.status, job.attempt, job.charged, job.worker, job.started_at)
            require(shown == (JobStatus.IN_QUEUE, n + 1, 0, None, None), "queued, not charged", job)
        require((await _get(jobs, "a")).submitted_at == submitted.submitted_at, "its age is kept")
        require(names(await claim(jobs, 5, _worker(2))) == ["b"], "a worker that had it does not get it again")
        (again,) = await claim(jobs, 5, _worker(9))
        require((again.id, again.attempt) == (job_id("a"), 5), "another one does", again)


async def check_charged_attempts(subject: Subject) -> None:
    """Attempts that are the worker's fault are counted; the last one fails the job and says why."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a", max_attempts=3)
        for n in range(3):
            (claimed,) = await claim(jobs, worker=_worker(n))
            require(claimed.attempt == n + 1, "attempts are counted", claimed.attempt)
            answered = await give_back(jobs, "a", _worker(n), charged=True)
            require(await _get(jobs, "a") == answered, "what was answered is what is there", answered)
        failed = await _get(jobs, "a")
        require(failed.status is JobStatus.FAILED and failed.charged == 3, "the third one is the last", failed)
        require("it was told to stop" in (failed.error or ""), "the error has the reason", failed.error)
        require(await claim(jobs, worker=_worker(9)) == (), "it is not queued")


async def check_cancel(subject: Subject) -> None:
    """A queued or running job is cancelled at once; a finished one stays; the caller sees which it was."""
    async with subject.jobs() as jobs:
        await submit(jobs, "running", "queued", "done")
        await claim(jobs, 1)
        await claim(jobs, 2, OTHER_WORKER)
        await give_back(jobs, "queued", OTHER_WORKER)
        await finish(jobs, "done", OTHER_WORKER)
        seen = {name: await jobs.cancel(job_id(name)) for name in ("running", "queued", "done")}
        shown = {name: job and job.status for name, job in seen.items()}
        cancelled = JobStatus.CANCELLED
        wanted = {"running": cancelled, "queued": cancelled, "done": JobStatus.COMPLETED}
        require(shown == wanted, "each has one outcome", shown)
        require(await _get(jobs, "running") == seen["running"], "and keeps it")
        require(not await finish(jobs, "running"), "its late result is stale")
        lost = await jobs.extend(WORKER, [job_id("running"), job_id("done")], 60.0)
        require(set(lost) == {job_id("running"), job_id("done")}, "its worker learns that it is not its own", lost)
        require(await claim(jobs, 9, _worker(9)) == (), "a cancelled job is never handed out")
        again = await jobs.cancel(job_id("queued"))
        require(again == seen["queued"], "cancelling twice is cancelling once", again)


async def check_cancel_races(subject: Subject) -> None:
    """Cancel and claim, or cancel and finish, in one instant: one of them wins, and both are told the same."""
    async with subject.jobs() as jobs:
        for n in range(20):
            await submit(jobs, n)
            taken, cancelled = await asyncio.gather(claim(jobs), jobs.cancel(job_id(n)))
            require(cancelled and cancelled.status is JobStatus.CANCELLED, "cancel came before the end", cancelled)
            accepted = await finish(jobs, n) if taken else False
            require(not accepted, "so the result is stale")
        for n in range(100, 120):
            await submit(jobs, n)
            await claim(jobs)
            accepted, job = await asyncio.gather(finish(jobs, n), jobs.cancel(job_id(n)))
            won = JobStatus.COMPLETED if accepted else JobStatus.CANCELLED
            require(job and job.status is won and await status(jobs, n) is won, "both see who won", (accepted, job))


async def check_retry(subject: Subject) -> None:
    """A failed job is queued again as if new, but for its age; anything else cannot be retried."""
    async with subject.jobs() as jobs:
        await submit(jobs, "bad", "good", "queued", max_attempts=1)
        await claim(jobs, 2)
        await jobs.progress(WORKER, job_id("bad"), DONE)
        await jobs.append_stream(WORKER, job_id("bad"), Payload(b"of the first attempt"))
        await finish(jobs, "bad", error="no")
        await finish(jobs, "good")
        for name in ("good", "queued"):
            require(await _refuses(jobs.retry(job_id(name))), f"a {name} job is refused")
        await claim(jobs)
        require(await _refuses(jobs.retry(job_id("queued"))), "a running job is refused")
        before = await _get(jobs, "bad")
        job = await jobs.retry(before.id)
        shown = job and (job.status, job.output, job.error, job.progress, job.charged, job.worker, job.finished_at)
        require(shown == (JobStatus.IN_QUEUE, None, None, None, 0, None, None), "everything is cleared", job)
        require(job and job.submitted_at == before.submitted_at, "but its age", job)
        require(await jobs.read_stream(before.id) == (), "chunks of the old attempt are gone")
        (again,) = await claim(jobs)
        require(again.id == before.id, "a worker that reported may have it again", again)
        await give_back(jobs, "bad", charged=True)
        job = await jobs.retry(before.id)
        require(job and job.charged == 0, "a job that lost its workers can be retried too", job)
        require(await claim(jobs) == (), "but not by a worker that was lost")
        require(names(await claim(jobs, worker=OTHER_WORKER)) == ["bad"], "another one gets it")


async def check_extend(subject: Subject) -> None:
    """A lease is extended for jobs that the worker has; it learns which are not its own any more."""
    async with subject.jobs() as jobs:
        await submit(jobs, "mine", "theirs", "back")
        await claim(jobs, 1, lease=5.0)
        await claim(jobs, 1, OTHER_WORKER)
        await claim(jobs, 1)
        await give_back(jobs, "back")
        ids = [job_id(name) for name in ("mine", "theirs", "back", "nobody")]
        lost = await jobs.extend(WORKER, ids, 1000.0)
        require(lost == tuple(ids[1:]), "those that it does not hold", lost)
        until = (await _get(jobs, "mine")).leased_until or 0.0
        require(0 <= jobs.now() + 1000.0 - until < 60.0, "the lease counts from now", until - jobs.now())


async def check_progress(subject: Subject) -> None:
    """The newest progress shows while the attempt runs and after its end; a new attempt begins without."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        await claim(jobs)
        for step in (b"1", b"2"):
            require(await jobs.progress(WORKER, job_id("a"), Payload(step)), "progress is taken")
        require((await _get(jobs, "a")).progress == Payload(b"2"), "the newest shows")
        await give_back(jobs, "a")
        require((await _get(jobs, "a")).progress is None, "a new attempt begins without")
        await claim(jobs, worker=OTHER_WORKER)
        await jobs.progress(OTHER_WORKER, job_id("a"), Payload(b"3"))
        await finish(jobs, "a", OTHER_WORKER)
        job = await _get(jobs, "a")
        require(job.progress == Payload(b"3") and job.output == DONE, "it never takes the output's place", job)


async def check_large_payloads(subject: Subject) -> None:
    """Inputs, outputs, progress and chunks of several megabytes come back whole, equal ones too."""
    large = [bytes([n]) * (2 * BLOB_THRESHOLD + n) for n in range(3)]
    async with subject.jobs() as jobs:
        for name in ("a", "b"):
            (job,) = await jobs.submit([new_job(name, input=Payload(large[0], "x/in"))])
            require(job.new.input == Payload(large[0], "x/in"), "submit answers with it")
        claimed = await claim(jobs, 2)
        require([c.input for c in claimed] == [Payload(large[0], "x/in")] * 2, "the worker gets it")
        await jobs.progress(WORKER, job_id("a"), Payload(large[1]))
        await jobs.append_stream(WORKER, job_id("a"), Payload(large[2]))
        await jobs.append_stream(WORKER, job_id("a"), Payload(b"small"))
        await jobs.finish([Finish(job_id("a"), WORKER, Payload(large[2])), Finish(job_id("b"), WORKER, DONE)])
        job = await _get(jobs, "a")
        require(job.output == Payload(large[2]) and job.progress == Payload(large[1]), "status has them")
        require(job.new.input.data == large[0], "and the input")
        chunks = [len(item.value.data) for item in await jobs.read_stream(job.id)]
        require(chunks == [len(large[2]), 5], "the stream has them", chunks)
        await jobs.forget(ENDPOINT)
        await submit(jobs, "c", input=Payload(large[0]))
        (claimed_again,) = await claim(jobs)
        require(claimed_again.input.data == large[0], "content that was forgotten can be stored again")


async def check_medium_payloads(subject: Subject) -> None:
    """Payloads below the threshold come back whole, when they were just written and later."""
    async with subject.jobs() as jobs:
        contents = [bytes([n % 256]) * (1 << (n % 20)) for n in range(60)]
        for n, content in enumerate(contents):
            await submit(jobs, n, lane=n, input=Payload(content))
        claimed = await claim(jobs, 100)
        require([c.input.data for c in claimed] == contents, "inputs reach the workers")
        for one in claimed:
            await jobs.progress(WORKER, one.id, Payload(bytes(one.input.data) + b"?"))
        await jobs.finish([Finish(one.id, WORKER, Payload(bytes(one.input.data) + b"!")) for one in claimed])
        done = [await _get(jobs, n) for n in range(60)]
        require([j.output and j.output.data for j in done] == [c + b"!" for c in contents], "outputs come back")
        require([j.progress and j.progress.data for j in done] == [c + b"?" for c in contents], "so does progress")


async def check_versions(subject: Subject) -> None:
    """A job's version grows with each change."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        versions = [(await _get(jobs, "a")).version]
        steps: list[Awaitable[object]] = [
            claim(jobs),
            jobs.progress(WORKER, job_id("a"), DONE),
            give_back(jobs, "a"),
            claim(jobs, worker=OTHER_WORKER),
            finish(jobs, "a", OTHER_WORKER, error="x"),
            jobs.retry(job_id("a")),
            jobs.cancel(job_id("a")),
        ]
        for step in steps:
            await step
            versions.append((await _get(jobs, "a")).version)
        require(all(a < b for a, b in pairwise(versions)), "it grows", versions)


async def check_callers_that_leave(subject: Subject) -> None:
    """Calls whose callers go away lose no job: each is queued, or held by the worker that asked."""
    async with subject.jobs() as jobs:
        await jobs.submit([new_job(n, n) for n in range(60)])
        calls = [asyncio.ensure_future(claim(jobs, 3, _worker(n))) for n in range(10)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        held = {job.id for job in await jobs.held()}
        queued = {c.id for c in await claim(jobs, 100)}
        require(held | queued == {job_id(n) for n in range(60)} and not held & queued, "every job is in one place")


async def check_held(subject: Subject) -> None:
    """Running jobs can be listed, with who has them."""
    async with subject.jobs() as jobs:
        await submit(jobs, *"abcd")
        await claim(jobs, 2)
        await claim(jobs, 1, OTHER_WORKER)
        await finish(jobs, "a")
        held = {job.id: job.worker for job in await jobs.held()}
        require(held == {job_id("b"): WORKER, job_id("c"): OTHER_WORKER}, "those in progress", held)


async def check_returns_in_one_call(subject: Subject) -> None:
    """Several attempts are ended in one call, stale ones answered with None."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a", "b", max_attempts=1)
        await claim(jobs, 2)
        returns = [
            Return(job_id("a"), WORKER, "drained", charged=False),
            Return(job_id("a"), WORKER, "drained", charged=False),
            Return(job_id("b"), WORKER, "crashed", charged=True),
        ]
        given = [job and job.status for job in await jobs.give_back(returns)]
        require(given == [JobStatus.IN_QUEUE, None, JobStatus.FAILED], "each is judged by itself", given)


async def _get(jobs: JobStore, name: object) -> Job:
    job = await jobs.get(job_id(name))
    require(job is not None, f"job {name} exists")
    assert job is not None  # noqa: S101  # for the type checker; required above
    return job


async def _refuses(asked: Awaitable[object]) -> bool:
    try:
        await asked
    except IllegalMove:
        return True
    return False


def _worker(number: int) -> WorkerId:
    return WorkerId(f"replica-{number}/life")
