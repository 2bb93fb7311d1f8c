"""Checks of jobs that do not fit a revision: they stand apart from the others, and go to those that they may fit."""

from __future__ import annotations

from flashcore.hookspecs.jobs import JobStore, Return, lane_share
from flashcore.model.job import Job, JobStatus, Unfit
from flashcore.model.names import WorkerId
from flashcore.testing.conformance import require
from flashcore.testing.store_checks.job_samples import (
    OTHER_REVISION,
    OTHER_WORKER,
    REVISION,
    WORKER,
    claim,
    finish,
    job_id,
    names,
    new_job,
    submit,
)
from flashcore.testing.store_checks.subject import Subject

_BOTH = frozenset({REVISION, OTHER_REVISION})
_TAKES = "greet(name, loud)"
_REASON = "it takes more"


async def check_unfit_jobs(subject: Subject) -> None:
    """A job that does not fit is queued again for the others: at its old place, uncharged, also for the same worker."""
    async with subject.jobs() as jobs:
        await submit(jobs, "old", max_attempts=1)
        await submit(jobs, "new")
        await claim(jobs)
        job = await _does_not_fit(jobs, "old")
        shown = job and (job.status, job.charged, job.attempt, job.worker, job.unfit, job.refused_workers)
        nobody: frozenset[str] = frozenset()
        expected = (JobStatus.IN_QUEUE, 0, 1, None, (Unfit(REVISION, _TAKES, _REASON),), nobody)
        require(shown == expected, "it waits as before, and what it does not fit is known, with the reason", job)
        require(names(await claim(jobs, 9, serving=_BOTH)) == ["new"], "its revision takes what fits")
        (given,) = await claim(jobs, 9, OTHER_WORKER, revision=OTHER_REVISION, serving=_BOTH, lanes=range(99, 100))
        require((given.id, given.attempt) == (job_id("old"), 2), "the other one takes it, whatever its lanes", given)
        require(given.unfit == (Unfit(REVISION, _TAKES, _REASON),), "and is told", given)
        require(await finish(jobs, "old", OTHER_WORKER), "its result counts")


async def check_jobs_that_fit_nowhere(subject: Subject) -> None:
    """Once it fits none that serve, one of these gets it, to say so; never one that does not serve."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        await claim(jobs)
        await _does_not_fit(jobs, "a")
        mine, theirs = frozenset({REVISION}), frozenset({OTHER_REVISION})
        require(await claim(jobs, serving=_BOTH) == (), "another may take it")
        require(await claim(jobs) == (), "nobody knows who serves")
        require(await claim(jobs, serving=theirs) == (), "its revision serves no longer")
        (given,) = await claim(jobs, serving=mine)
        require([unfit.revision for unfit in given.unfit] == [REVISION], "nobody else is left", given)
        await _does_not_fit(jobs, "a")
        await claim(jobs, 1, OTHER_WORKER, revision=OTHER_REVISION, serving=_BOTH)
        job = await _does_not_fit(jobs, "a", OTHER_WORKER)
        require(job and {unfit.revision for unfit in job.unfit} == _BOTH, "closed to both", job)
        require(len(await claim(jobs, serving=_BOTH)) == 1, "either may say so")


async def check_order_of_unfit_jobs(subject: Subject) -> None:
    """Those that stand apart are handed out with the others by priority and age, and are counted, aged and purged."""
    async with subject.jobs() as jobs:
        for n, priority in enumerate((0, 5, 0, 5)):
            await submit(jobs, n, lane=n, priority=priority)
        await claim(jobs, 4)
        for n in (0, 1):
            await _does_not_fit(jobs, n)
        for n in (2, 3):
            await jobs.give_back([Return(job_id(n), WORKER, "drained", charged=False)])
        counts = await jobs.counts(new_job(0).endpoint)
        require(counts.by_status[JobStatus.IN_QUEUE] == 4, "all are queued", counts)
        first = await claim(jobs, 2, OTHER_WORKER, revision=OTHER_REVISION, serving=_BOTH)
        require(names(first) == ["1", "3"], "priority first, then age", first)
        require(await jobs.purge(new_job(0).endpoint) == 2, "a purge takes them, too")
        require(await claim(jobs, 9, OTHER_WORKER, revision=OTHER_REVISION, serving=_BOTH) == (), "nothing is left")


async def check_pinned_jobs_that_do_not_fit(subject: Subject) -> None:
    """A job that is pinned to the revision that it does not fit has failed, for the reason that was given."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a", pin=REVISION)
        await claim(jobs)
        job = await _does_not_fit(jobs, "a")
        require(job and (job.status, job.error) == (JobStatus.FAILED, _REASON), "failed", job)
        await jobs.retry(job_id("a"))
        require(len(await claim(jobs)) == 1, "tried again, it begins anew")


async def check_unfit_jobs_survive(subject: Subject) -> None:
    """Who reopens a durable store finds them where they were, and a retry forgets what did not fit."""
    subject.ask("durable", given=subject.durable)
    async with subject.jobs() as jobs:
        await submit(jobs, "a", "b")
        await claim(jobs, 2)
        await _does_not_fit(jobs, "a")
    async with subject.jobs() as jobs:
        require(await claim(jobs, 9, serving=_BOTH, lanes=lane_share(100)) == (), "it is still closed to its revision")
        (given,) = await claim(jobs, 9, OTHER_WORKER, revision=OTHER_REVISION, serving=_BOTH)
        require(given.unfit == (Unfit(REVISION, _TAKES, _REASON),), "with what it does not fit", given)
        await finish(jobs, "a", OTHER_WORKER, error="no")
        job = await jobs.retry(job_id("a"))
        require(job and job.unfit == (), "a retry begins anew", job)
        require(names(await claim(jobs, 9, serving=_BOTH)) == ["a"], "and is for everybody")


async def _does_not_fit(jobs: JobStore, name: object, worker: WorkerId = WORKER) -> Job | None:
    end = Return(job_id(name), worker, _REASON, charged=False, unfit=_TAKES)
    (job,) = await jobs.give_back([end])
    return job
