"""The steps of a job as functions from one value to the next: what every job store does, without where it keeps it.

All times are the store's own. A function that is asked for an illegal move raises IllegalMove; those that a stale
attempt may ask for are to be guarded by `holds`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from flashcore.model.errors import Conflict, IllegalMove
from flashcore.model.job import Claimed, Job, JobStatus, NewJob, Payload, Unfit, check_job_move
from flashcore.model.names import RevisionId, WorkerId


def submitted(new: NewJob, now: float) -> Job:
    """A job that was just accepted."""
    return Job(new, JobStatus.IN_QUEUE, now)


def require_same_endpoint(known: NewJob, new: NewJob) -> None:
    """Raise Conflict when a job is submitted under an id that one of another endpoint has."""
    if known.endpoint != new.endpoint:
        raise Conflict(
            f"job {known.id} exists, and is one of {known.endpoint}",
            next_step="submit it under an id of its own",
            job=known.id,
        )


def expires_at(job: Job) -> float:
    """When its ttl is over, queued or running."""
    return job.submitted_at + job.new.ttl


def forgotten_at(job: Job) -> float:
    """When a finished job's retention is over; for ever away for one that is not finished."""
    return job.finished_at + job.new.retention if job.finished_at is not None else math.inf


def execution_deadline(job: Job) -> float:
    """When the running attempt must have ended."""
    return min((job.started_at or job.submitted_at) + job.new.execution_timeout, expires_at(job))


def due_at(job: Job) -> float:
    """When time alone does something to it: `overtaken` for a job that is not finished, its removal for one that is."""
    if job.status is JobStatus.IN_PROGRESS:
        deadline = execution_deadline(job)
        return deadline if job.leased_until is None else min(deadline, job.leased_until)
    return expires_at(job) if job.status is JobStatus.IN_QUEUE else forgotten_at(job)


def holds(job: Job, worker: WorkerId) -> bool:
    """Whether `worker` has the current attempt; anything it says otherwise is stale."""
    return job.status is JobStatus.IN_PROGRESS and job.worker == worker


def takeable(job: Job, worker: WorkerId, now: float) -> bool:
    """Whether `worker` may have this queued job: its ttl is not over, and the worker did not have it before."""
    return job.status is JobStatus.IN_QUEUE and now < expires_at(job) and worker not in job.refused_workers


def taken(job: Job, worker: WorkerId, revision: RevisionId, now: float, lease: float) -> Job:
    """Handed to a worker under a lease of `lease` seconds."""
    check_job_move(job.id, job.status, JobStatus.IN_PROGRESS)
    return Job(
        job.new,
        JobStatus.IN_PROGRESS,
        job.submitted_at,
        job.attempt + 1,
        job.charged,
        worker,
        revision,
        now + lease,
        now,
        refused_workers=job.refused_workers,
        version=job.version + 1,
        unfit=job.unfit,
    )


def as_claimed(job: Job) -> Claimed:
    """The running job as its worker gets it."""
    started = job.started_at or job.submitted_at
    return Claimed(
        job.id,
        job.worker or WorkerId(""),
        job.attempt,
        job.new.input,
        execution_deadline(job),
        job.new.context,
        started - job.submitted_at,
        job.unfit,
    )


def extended(job: Job, now: float, lease: float) -> Job:
    """Its lease lasts `lease` seconds from now; a lease never becomes shorter."""
    until = max(now + lease, job.leased_until or 0.0)
    return job if until == job.leased_until else replace(job, leased_until=until, version=job.version + 1)


def progressed(job: Job, value: Payload) -> Job:
    """With the newest progress of its attempt."""
    return replace(job, progress=value, version=job.version + 1)


def streamed(job: Job, number: int | None) -> Job:
    """With one more chunk in its stream; as it is where a chunk of that number is in it already."""
    if number is not None and number < job.streamed:
        return job
    return replace(job, streamed=(job.streamed if number is None else number) + 1, version=job.version + 1)


def finished(job: Job, output: Payload | None, error: str | None, now: float) -> Job:
    """Its worker reported the end: COMPLETED, or FAILED when there is an error."""
    return _ended(job, JobStatus.FAILED if error is not None else JobStatus.COMPLETED, now, output, error)


def given_back(job: Job, reason: str, now: float, *, charged: bool) -> Job:
    """The attempt ended without a result: queued again in its old place, or FAILED when its charges are used up."""
    charges = job.charged + (1 if charged else 0)
    refusing = job.refused_workers | ({job.worker} if job.worker is not None else frozenset())
    if charged and charges >= job.new.max_attempts:
        lost = f"{reason} (attempt {job.attempt}; {charges} of {job.new.max_attempts} attempts were lost)"
        return replace(_ended(job, JobStatus.FAILED, now, None, lost), charged=charges, refused_workers=refusing)
    check_job_move(job.id, job.status, JobStatus.IN_QUEUE)
    return Job(
        job.new,
        JobStatus.IN_QUEUE,
        job.submitted_at,
        job.attempt,
        charges,
        refused_workers=refusing,
        version=job.version + 1,
        unfit=job.unfit,
    )


def unfitting(job: Job, takes: str, reason: str, now: float) -> Job:
    """Its worker's revision cannot be called with it, and has not begun: queued again, for the other revisions.

    `takes` is what that revision can be called with, and `reason` is kept beside it. A job that is pinned to it FAILED
    for the reason: no other may have it. The worker may have it again, whose attempt is over without doubt.
    """
    if job.new.pin is not None:
        return _ended(job, JobStatus.FAILED, now, None, reason)
    check_job_move(job.id, job.status, JobStatus.IN_QUEUE)
    others = tuple(unfit for unfit in job.unfit if unfit.revision != job.revision)
    return Job(
        job.new,
        JobStatus.IN_QUEUE,
        job.submitted_at,
        job.attempt,
        job.charged,
        refused_workers=job.refused_workers,
        version=job.version + 1,
        unfit=(*others, Unfit(job.revision or RevisionId(""), takes, reason)),
    )


def closed_to(job: Job) -> frozenset[RevisionId]:
    """The revisions that are known not to be able to take it."""
    return frozenset(unfit.revision for unfit in job.unfit)


def cancelled(job: Job, now: float) -> Job:
    """Cancelled while queued or running; a finished job stays as it is."""
    return job if job.status.final else _ended(job, JobStatus.CANCELLED, now, None, None)


def retried(job: Job, now: float) -> Job:
    """Queued again because somebody asked: output, error and charges are cleared, place and age are kept.

    Workers that reported their attempt may have it again; those that were lost, or may still be at it, may not.
    Raises IllegalMove for a job that did not fail, and for one whose ttl is over: it would expire at once.
    """
    if job.status not in (JobStatus.FAILED, JobStatus.TIMED_OUT):
        raise IllegalMove(
            f"job {job.id} is {job.status.value}; only a job that failed or timed out can be retried",
            next_step="submit it again" if job.status.final else "wait for its end",
            job=job.id,
        )
    if now >= expires_at(job):
        raise IllegalMove(
            f"job {job.id} cannot be retried: its ttl of {job.new.ttl:g} s is over",
            next_step="submit it again",
            job=job.id,
        )
    return Job(
        job.new,
        JobStatus.IN_QUEUE,
        job.submitted_at,
        job.attempt,
        refused_workers=job.refused_workers,
        version=job.version + 1,
    )


def is_retry(before: Job, after: Job) -> bool:
    """Whether a job that is queued again is tried again: a worker was to blame, or somebody asked. See JobCounts."""
    return before.status.final or after.charged > before.charged


def overtaken(job: Job, now: float) -> Job | None:
    """The job after what time did to it by `now`, None if nothing: ttl, execution timeout, a lease that ran out."""
    if job.status.final or now < due_at(job):
        return None
    if now >= expires_at(job):
        where = "queue" if job.status is JobStatus.IN_QUEUE else "worker's hands"
        return _timed_out(job, now, f"its ttl of {job.new.ttl:g} s ended in the {where}")
    if now >= execution_deadline(job):
        return _timed_out(job, now, f"it ran longer than its execution timeout of {job.new.execution_timeout:g} s")
    return given_back(job, f"worker lost: {job.worker} did not renew its lease", now, charged=True)


def _timed_out(job: Job, now: float, error: str) -> Job:
    ended = _ended(job, JobStatus.TIMED_OUT, now, None, error)
    # Its worker may still be at it and report late; that must not be taken for a later attempt's result.
    return replace(ended, refused_workers=job.refused_workers | ({job.worker} if job.worker else frozenset()))


def _ended(job: Job, status: JobStatus, now: float, output: Payload | None, error: str | None) -> Job:
    check_job_move(job.id, job.status, status)
    return Job(
        job.new,
        status,
        job.submitted_at,
        job.attempt,
        job.charged,
        job.worker,
        job.revision,
        None,
        job.started_at,
        now,
        output,
        error,
        job.progress,
        job.refused_workers,
        job.version + 1,
    )
