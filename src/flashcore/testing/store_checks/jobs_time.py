"""Checks of what time does to jobs, by the store's clock."""

from __future__ import annotations

from flashcore.hookspecs.jobs import JobStore
from flashcore.model.errors import IllegalMove
from flashcore.model.job import JobStatus
from flashcore.testing.conformance import require
from flashcore.testing.store_checks.job_samples import (
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

SOON = 0.3
"""Seconds, short enough to be waited for where the clock is real."""
LATER = 1.0


async def check_ttl_in_queue(subject: Subject) -> None:
    """A queued job whose ttl is over is not handed out, swept or not, and times out once."""
    async with subject.jobs() as jobs:
        await submit(jobs, "short", ttl=SOON)
        await submit(jobs, "long")
        await subject.advance(LATER)
        require(names(await claim(jobs, 9)) == ["long"], "what is over is not handed out")
        require(await _swept(jobs) == {"short": JobStatus.TIMED_OUT}, "the sweep says so")
        require(await _swept(jobs) == {}, "once")
        job = await jobs.get(job_id("short"))
        require(job and job.status is JobStatus.TIMED_OUT and "ttl" in (job.error or ""), "with the reason", job)
        require((await jobs.counts(ENDPOINT)).by_status[JobStatus.IN_QUEUE] == 0, "it is not queued any more")


async def check_ttl_while_running(subject: Subject) -> None:
    """The ttl covers running, too; the late result is stale."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a", ttl=SOON)
        (claimed,) = await claim(jobs)
        require(claimed.execution_deadline - jobs.now() <= SOON, "the worker is told", claimed)
        await subject.advance(LATER)
        require(await _swept(jobs) == {"a": JobStatus.TIMED_OUT}, "it times out")
        require(not await finish(jobs, "a"), "its late result is stale")


async def check_execution_timeout(subject: Subject) -> None:
    """An attempt that runs too long times out; waiting in the queue does not count."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a", execution_timeout=SOON)
        await subject.advance(LATER)
        (claimed,) = await claim(jobs)
        require(0 < claimed.execution_deadline - jobs.now() <= SOON, "the clock starts with the attempt", claimed)
        require(await _swept(jobs) == {}, "not yet")
        await subject.advance(LATER)
        require(await _swept(jobs) == {"a": JobStatus.TIMED_OUT}, "now")
        job = await jobs.retry(job_id("a"))
        require(job and job.status is JobStatus.IN_QUEUE, "it can be retried", job)
        require(await claim(jobs) == (), "not by the worker that may still be at it")
        require(names(await claim(jobs, worker=OTHER_WORKER)) == ["a"], "by another one")


async def check_lease(subject: Subject) -> None:
    """A lease that runs out returns the job, at the worker's cost; one that is extended does not."""
    async with subject.jobs() as jobs:
        await submit(jobs, "kept", "lost", max_attempts=2)
        await claim(jobs, 2, lease=SOON)
        await jobs.extend(WORKER, [job_id("kept")], 60.0)
        await subject.advance(LATER)
        require(await _swept(jobs) == {"lost": JobStatus.IN_QUEUE}, "the lost one goes back")
        require(not await finish(jobs, "lost"), "its late result is stale")
        require(await finish(jobs, "kept"), "the other one is not touched")
        (again,) = await claim(jobs, 1, OTHER_WORKER, lease=SOON)
        require(again.attempt == 2, "it is the second attempt", again)
        await subject.advance(LATER)
        require(await _swept(jobs) == {"lost": JobStatus.FAILED}, "both attempts were charged")
        job = await jobs.get(job_id("lost"))
        require(job and "worker lost" in (job.error or ""), "the error says what happened", job)


async def check_extended_lease_ends(subject: Subject) -> None:
    """A lease that was extended runs out as well, later."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        await claim(jobs, lease=SOON)
        await jobs.extend(WORKER, [job_id("a")], 2 * LATER)
        await subject.advance(LATER)
        require(await _swept(jobs) == {}, "not yet")
        await subject.advance(2 * LATER)
        require(await _swept(jobs) == {"a": JobStatus.IN_QUEUE}, "now")


async def check_lease_over_a_restart(subject: Subject) -> None:
    """A lease that was given before the store was opened again runs out all the same; so does the time to run."""
    subject.ask("durable", given=subject.durable)
    async with subject.jobs() as jobs:
        await submit(jobs, "lost", max_attempts=2)
        await claim(jobs, lease=LATER)
        await submit(jobs, "slow", execution_timeout=LATER)
        await claim(jobs)
    async with subject.jobs() as jobs:
        require(await _swept(jobs) == {}, "not yet")
        await subject.advance(2 * LATER)
        found = await _swept(jobs)
        require(found == {"lost": JobStatus.IN_QUEUE, "slow": JobStatus.TIMED_OUT}, "now", found)


async def check_gone_from_the_queue(subject: Subject) -> None:
    """Jobs that were cancelled while they were queued, and are forgotten by now, hold nobody up behind them."""
    async with subject.jobs() as jobs:
        await submit(jobs, "first", "second", retention=SOON)
        await submit(jobs, "behind")
        for name in ("first", "second"):
            await jobs.cancel(job_id(name))
        await subject.advance(LATER)
        await jobs.sweep()
        require(await status(jobs, "first") is None, "its retention is over")
        found = names(await claim(jobs, 9))
        require(found == ["behind"], "the one behind them is handed out", found)


async def check_retention(subject: Subject) -> None:
    """A finished job can be asked for during its retention, then it is gone: id, key, stream and count."""
    async with subject.jobs() as jobs:
        await submit(jobs, "short", retention=SOON, idempotency_key="k")
        await submit(jobs, "long", retention=1000.0)
        await claim(jobs, 2)
        await jobs.append_stream(WORKER, job_id("short"), new_job("chunk").input)
        for name in ("short", "long"):
            await finish(jobs, name)
        require(await status(jobs, "short") is JobStatus.COMPLETED, "during its retention it is there")
        await subject.advance(LATER)
        require(await status(jobs, "short") is None, "then it is gone, swept or not")
        require(await jobs.read_stream(job_id("short")) == (), "with its stream")
        (fresh,) = await jobs.submit([new_job("other", idempotency_key="k")])
        require(fresh.id == job_id("other"), "its key is free", fresh.id)
        require(await _swept(jobs) == {}, "its end changes no status")
        counts = (await jobs.counts(ENDPOINT)).by_status
        require(counts[JobStatus.COMPLETED] == 1, "it is not counted any more", counts)
        (again,) = await jobs.submit([new_job("short")])
        require(again.status is JobStatus.IN_QUEUE, "its id is free", again)


async def check_queued_jobs_outlive_their_retention(subject: Subject) -> None:
    """Retention counts from the end, not from the submission."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a", retention=SOON)
        await subject.advance(LATER)
        await jobs.sweep()
        require(names(await claim(jobs)) == ["a"], "a queued job is kept")
        await subject.advance(LATER)
        await jobs.sweep()
        require(await status(jobs, "a") is JobStatus.IN_PROGRESS, "so is a running one")


async def check_age(subject: Subject) -> None:
    """The oldest queued job's age counts from its submission, also after it came back."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a", priority=-1)
        await subject.advance(LATER)
        await submit(jobs, "b", lane=9)
        age = (await jobs.counts(ENDPOINT)).oldest_queued
        require(LATER <= age < LATER + 30, "of whatever priority", age)
        await claim(jobs, 2)
        require((await jobs.counts(ENDPOINT)).oldest_queued == 0, "0 when nothing is queued")
        await give_back(jobs, "a")
        require((await jobs.counts(ENDPOINT)).oldest_queued >= LATER, "coming back does not make it young")
        (claimed,) = await claim(jobs, worker=OTHER_WORKER)
        require(claimed.queued_for >= LATER, "its new worker sees how long it has waited", claimed.queued_for)


async def check_low_priority(subject: Subject) -> None:
    """Q04: queued jobs of a priority below 0 are counted apart, and have no part in how long the others have waited."""
    async with subject.jobs() as jobs:
        await submit(jobs, "low", "lower", priority=-1)
        await subject.advance(LATER)
        counts = await jobs.counts(ENDPOINT)
        require((counts.low_priority, counts.oldest_pressing) == (2, 0.0), "nothing presses", counts)
        await submit(jobs, "normal", lane=3)
        counts = await jobs.counts(ENDPOINT)
        shown = (counts.by_status[JobStatus.IN_QUEUE], counts.low_priority)
        require(shown == (3, 2) and counts.oldest_pressing < LATER <= counts.oldest_queued, "one does", counts)
        taken = names(await claim(jobs, 2))
        require(taken == ["normal", "low"], "who is there takes them, too", taken)
        require((await jobs.counts(ENDPOINT)).low_priority == 1, "one is left")
        await give_back(jobs, "low")
        require((await jobs.counts(ENDPOINT)).low_priority == 2, "one came back")
        await jobs.cancel(job_id("low"))
        require((await jobs.counts(ENDPOINT)).low_priority == 1, "and went for good")
        await jobs.purge(ENDPOINT)
        require((await jobs.counts(ENDPOINT)).low_priority == 0, "a purge takes them all")
        await give_back(jobs, "normal")
        counts = await jobs.counts(ENDPOINT)
        require(counts.oldest_pressing >= 0 and counts.low_priority == 0, "the other one is queued again", counts)


async def check_retry_after_ttl(subject: Subject) -> None:
    """A job whose ttl is over cannot be retried: it would end at once."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a", ttl=SOON)
        await subject.advance(LATER)
        await jobs.sweep()
        try:
            await jobs.retry(job_id("a"))
        except IllegalMove as refusal:
            require("ttl" in str(refusal), "the refusal says why", str(refusal))
        else:
            require(None, "a retry after the ttl is refused")


async def check_many_at_once(subject: Subject) -> None:
    """When the time of very many jobs has come, sweeps end them all, each once."""
    async with subject.jobs() as jobs:
        await jobs.submit([new_job(n, n % 100, ttl=SOON, retention=SOON) for n in range(1200)])
        await subject.advance(LATER)
        swept = [await _swept(jobs) for _ in range(5)]
        ended = [name for one in swept for name in one]
        require(len(ended) == len(set(ended)) == 1200, "each times out once", len(ended))
        await subject.advance(LATER)
        for _ in range(5):
            await jobs.sweep()
        counts = (await jobs.counts(ENDPOINT)).by_status
        require(not any(counts.values()), "and is gone after its retention", counts)


async def _swept(jobs: JobStore) -> dict[str, JobStatus]:
    return {name: job.status for job in await jobs.sweep() for name in names([job])}
