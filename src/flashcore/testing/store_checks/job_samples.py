"""Jobs, claims and small steps that the checks of job stores share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flashcore.hookspecs.jobs import ALL_LANES, Claim, Finish, JobStore, Return
from flashcore.model.job import Claimed, Job, JobStatus, NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

ENDPOINT = EndpointName("tested")
OTHER_ENDPOINT = EndpointName("other")
REVISION = RevisionId("1" * 64)
OTHER_REVISION = RevisionId("2" * 64)
WORKER = WorkerId("replica-1/life-1")
OTHER_WORKER = WorkerId("replica-2/life-1")
DONE = Payload(b'"done"')


def job_id(name: object) -> JobId:
    """An id."""
    return JobId(f"job-{name}")


def new_job(name: object, lane: int = 0, **settings: Any) -> NewJob:
    """A job of ENDPOINT, unless the settings say otherwise."""
    given: dict[str, Any] = {"endpoint": ENDPOINT, "input": Payload(b"%d" % len(str(name))), **settings}
    return NewJob(id=job_id(name), lane=lane, **given)


async def submit(jobs: JobStore, *names: object, lane: int = 0, **settings: Any) -> None:
    """Submit jobs of these names in one call."""
    await jobs.submit([new_job(name, lane, **settings) for name in names])


async def claim(jobs: JobStore, count: int = 1, worker: WorkerId = WORKER, **settings: Any) -> tuple[Claimed, ...]:
    """Claim from ENDPOINT for REVISION, unless the settings say otherwise."""
    given: dict[str, Any] = {"endpoint": ENDPOINT, "revision": REVISION, "lease": 60.0, "lanes": ALL_LANES, **settings}
    return await jobs.claim(Claim(worker=worker, count=count, **given))


async def finish(jobs: JobStore, name: object, worker: WorkerId = WORKER, error: str | None = None) -> bool:
    """Report the end of a job."""
    (accepted,) = await jobs.finish([Finish(job_id(name), worker, DONE, error)])
    return accepted


async def give_back(jobs: JobStore, name: object, worker: WorkerId = WORKER, *, charged: bool = False) -> Job | None:
    """End an attempt without a result."""
    (job,) = await jobs.give_back([Return(job_id(name), worker, "it was told to stop", charged)])
    return job


async def status(jobs: JobStore, name: object) -> JobStatus | None:
    """A job's status, None if there is no such job."""
    job = await jobs.get(job_id(name))
    return job.status if job is not None else None


def names(claimed: Iterable[Claimed | Job]) -> list[str]:
    """The names of jobs, in order."""
    return [job.id.removeprefix("job-") for job in claimed]
