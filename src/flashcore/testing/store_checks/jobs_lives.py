"""Checks of opening, closing and dying, for job stores."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from flashcore.hookspecs.jobs import BLOB_THRESHOLD, JobStore
from flashcore.model.errors import Refused
from flashcore.model.job import Job, JobStatus, Payload, StreamItem
from flashcore.model.names import EndpointName, JobId
from flashcore.testing.conformance import require
from flashcore.testing.store_checks.job_samples import (
    ENDPOINT,
    OTHER_ENDPOINT,
    OTHER_REVISION,
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
from flashcore.testing.store_checks.load import AT_ONCE, KILLED_REVISION, LATER
from flashcore.testing.store_checks.processes import Load
from flashcore.testing.store_checks.subject import Subject, require_closed

ACKNOWLEDGED_BEFORE_THE_KILL = 400


async def check_close(subject: Subject) -> None:
    """Closing twice is closing once; a closed store says that it is closed."""
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        await jobs.close()
        await jobs.close()
        await require_closed(jobs.get(job_id("a")), jobs.submit([new_job("b")]), claim(jobs), jobs.counts(ENDPOINT))


async def check_close_finishes(subject: Subject) -> None:
    """What was asked for before the close is stored, or refused; it is never acknowledged and lost."""
    subject.ask("durable", given=subject.durable)
    async with subject.jobs() as jobs:
        calls = [asyncio.ensure_future(jobs.submit([new_job(n, n)])) for n in range(30)]
        await asyncio.sleep(0)
        await jobs.close()
        answers = await asyncio.gather(*calls, return_exceptions=True)
    acknowledged = {str(n) for n, answer in enumerate(answers) if not isinstance(answer, BaseException)}
    async with subject.jobs() as jobs:
        missing = acknowledged - set(names(await claim(jobs, 100)))
        require(not missing, "what was acknowledged is there", sorted(missing))


async def check_reopen(subject: Subject) -> None:
    """Opened again, a store has all jobs as they were: queued in order, running, finished, with streams and keys."""
    subject.ask("durable", given=subject.durable)
    sampled = ("failed", "running", "back", "done", "retried", 0, 7)
    large = Payload(b"l" * (BLOB_THRESHOLD + 1))
    async with subject.jobs() as jobs:
        await submit(jobs, "failed", "running", "back", "done", idempotency_key=None, input=large)
        await jobs.submit([new_job(n, n % 7, priority=n % 2, idempotency_key=f"k{n}") for n in range(300)])
        await claim(jobs, 150)
        await claim(jobs, 4, OTHER_WORKER)
        await finish(jobs, "failed", OTHER_WORKER, error="no")
        await submit(jobs, "retried", pin=OTHER_REVISION)
        await claim(jobs, 1, OTHER_WORKER, revision=OTHER_REVISION, pinned_only=True)
        await finish(jobs, "retried", OTHER_WORKER, error="no")
        await jobs.retry(job_id("retried"))
        await finish(jobs, "done", OTHER_WORKER)
        await give_back(jobs, "back", OTHER_WORKER)
        await jobs.progress(OTHER_WORKER, job_id("running"), large)
        await jobs.append_stream(OTHER_WORKER, job_id("running"), Payload(b"chunk"))
        kept = [await jobs.get(job_id(name)) for name in sampled]
        counts, time = await jobs.counts(ENDPOINT), jobs.now()
    async with subject.jobs() as jobs:
        again = [await jobs.get(job_id(name)) for name in sampled]
        require(again == kept, "jobs are as they were")
        require(jobs.now() >= time, "the clock did not go back", jobs.now() - time)
        after = await jobs.counts(ENDPOINT)
        require(
            (after.by_status, after.retried) == (counts.by_status, counts.retried), "counts are as they were", after
        )
        require(await jobs.read_stream(job_id("running")) == (StreamItem(0, Payload(b"chunk")),), "the stream is there")
        (known,) = await jobs.submit([new_job("new", idempotency_key="k5")])
        require(known.id == job_id(5), "keys are known", known.id)
        for name, of in ((299, "k5"), (5, "k298")):
            (known,) = await jobs.submit([new_job(name, idempotency_key=of)])
            require(known.id == job_id(of[1:]), "and come before ids", (name, of, known.id))
        require({job.id for job in await jobs.held()} > {job_id("running"), job_id(1)}, "running jobs are held")
        require(await finish(jobs, "running", OTHER_WORKER), "and can be finished")
        require(await finish(jobs, 1), "by the workers that have them")
        queue = names(await claim(jobs, 1000, OTHER_WORKER))
        require(queue == [str(n) for n in range(0, 300, 2)], "the queue has its order", queue[:5])
        require(names(await claim(jobs, 9)) == ["back"], "who had what is known")


async def check_reopen_after_a_purge(subject: Subject) -> None:
    """What a purge left stays, also what was running then and came back; what it removed stays away."""
    subject.ask("durable", given=subject.durable)
    async with subject.jobs() as jobs:
        await submit(jobs, "running", "still running", *range(200))
        await submit(jobs, "theirs", endpoint=OTHER_ENDPOINT)
        await claim(jobs, 2)
        await jobs.purge(ENDPOINT)
        await give_back(jobs, "running")
        await submit(jobs, "later")
        await jobs.forget(OTHER_ENDPOINT)
    for _ in range(2):
        async with subject.jobs() as jobs:
            await jobs.sweep()
            gone = [await status(jobs, name) for name in (0, 199, "theirs")]
            require(gone == [None] * 3, "what was removed stays away", gone)
            kept = [await status(jobs, name) for name in ("running", "later")]
            require(kept == [JobStatus.IN_QUEUE] * 2, "what was left is queued", kept)
            require((await jobs.counts(ENDPOINT)).by_status[JobStatus.IN_QUEUE] == 2, "and counted")
            require(await status(jobs, "still running") is JobStatus.IN_PROGRESS, "what ran is running")
    async with subject.jobs() as jobs:
        require(names(await claim(jobs, 9, OTHER_WORKER)) == ["running", "later"], "and handed out")


async def check_second_opener(subject: Subject) -> None:
    """A store that one process owns refuses a second one, and serves the first as before."""
    subject.ask("durable and owned by one process", given=subject.durable and not subject.shared)
    async with subject.jobs() as jobs:
        await submit(jobs, "a")
        try:
            await subject.stores().open_jobs(subject.url)
        except Refused as refusal:
            require(refusal.next_step, "the refusal says what to do")
        else:
            require(None, "a second opener is refused")
        async with Load(subject, "jobs") as other:
            require("refused" in await other.ending(), "a second process is refused")
        require(names(await claim(jobs)) == ["a"], "the first one is served as before")


async def check_kill(subject: Subject) -> None:
    """Whatever was acknowledged before kill -9 is so: no accepted job is lost, no lease, no result."""
    subject.ask("durable", given=subject.durable)
    async with Load(subject, "jobs") as load:
        acknowledged = await load.kill_after(ACKNOWLEDGED_BEFORE_THE_KILL)
    heard: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for line in acknowledged:
        step, identity, *worker = line.split()
        heard[identity][step] = "".join(worker)
    async with subject.jobs() as jobs:
        for identity, steps in heard.items():
            job = await jobs.get(JobId(identity))
            require(job is not None, f"{identity} was acknowledged", steps)
            assert job is not None  # noqa: S101  # for the type checker; required above
            _require_as_heard(job, steps)
        for endpoint in (LATER, AT_ONCE):
            await _require_consistent(jobs, endpoint)


def _require_as_heard(job: Job, steps: Mapping[str, str]) -> None:
    """A job is as far as was heard of it, or a step further, and with whom it was heard to be."""
    begun = {JobStatus.IN_PROGRESS, JobStatus.COMPLETED}
    if "finished" in steps:
        begun = {JobStatus.COMPLETED}
    elif "claimed" not in steps:
        begun |= {JobStatus.IN_QUEUE}
    require(job.status in begun, f"{job.id} was acknowledged as {', '.join(steps)}", job.status)
    if "claimed" in steps:
        found = (job.worker, job.attempt)
        require(found == (steps["claimed"], 1), f"{job.id} was handed to {steps['claimed']}, once", found)


async def _require_consistent(jobs: JobStore, endpoint: EndpointName) -> None:
    """The counts are those of the jobs, and what is queued can be had."""
    counts = (await jobs.counts(endpoint)).by_status
    held = [job for job in await jobs.held() if job.new.endpoint == endpoint]
    require(len(held) == counts[JobStatus.IN_PROGRESS], "counts and jobs agree", (len(held), counts))
    queued = await claim(jobs, 100_000, WORKER, endpoint=endpoint, revision=KILLED_REVISION)
    require(len(queued) == counts[JobStatus.IN_QUEUE], "queued jobs can be had", (len(queued), counts))
    require({job.attempt for job in queued} <= {1}, "and nobody had them before", {job.attempt for job in queued})
    await jobs.forget(endpoint)
