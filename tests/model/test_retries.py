"""What is told of a job that was handed out more than once."""

from __future__ import annotations

import json

import pytest

from flashcore.gateway.documents import status_body
from flashcore.model import job_steps
from flashcore.model.job import Job, JobStatus, NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

NOW = 1000.0


def submitted(attempts: int = 2) -> Job:
    """A job that is queued for the first time."""
    new = NewJob(JobId("job"), EndpointName("hello"), Payload(json.dumps({}).encode()), 0, max_attempts=attempts)
    return job_steps.submitted(new, NOW)


def returned(job: Job, *, charged: bool) -> Job:
    """Handed out, and given back."""
    worker = WorkerId(f"w{job.attempt}")
    taken = job_steps.taken(job, worker, RevisionId("r"), NOW, 10.0)
    return job_steps.given_back(taken, "gone", NOW, charged=charged)


@pytest.mark.parametrize(
    ("returns", "retries"),
    [("", 0), ("d", 0), ("dd", 0), ("l", 1), ("ld", 1), ("dl", 1), ("dlld", 2), ("lll", 2), ("dldld", 2)],
)
def test_only_attempts_whose_worker_was_lost_are_retries(returns: str, retries: int) -> None:
    """`l` is a lost worker, `d` one that drained; the third loss of three attempts ends the job."""
    job = submitted(attempts=3)
    for way in returns:
        job = returned(job, charged=way == "l")

    shown = json.loads(status_body(job))
    assert shown.get("retries", 0) == job.retries == retries
    assert shown.get("attempts", 1) == max(1, len(returns))
    assert (job.status is JobStatus.FAILED) is (returns.count("l") == 3)


def test_a_job_that_somebody_asks_for_again_begins_to_count_anew() -> None:
    """Its charges are cleared; that it is tried again is counted with its endpoint."""
    lost = returned(returned(submitted(), charged=True), charged=True)
    again = job_steps.retried(lost, NOW)

    assert (lost.retries, again.retries) == (1, 0)
    assert job_steps.is_retry(lost, again)


def test_what_is_queued_again_is_a_retry_only_where_a_worker_is_to_blame() -> None:
    """Counted as RunPod's /health counts it."""
    held = job_steps.taken(submitted(), WorkerId("w"), RevisionId("r"), NOW, 10.0)

    assert job_steps.is_retry(held, job_steps.given_back(held, "lost", NOW, charged=True))
    assert not job_steps.is_retry(held, job_steps.given_back(held, "drained", NOW, charged=False))
