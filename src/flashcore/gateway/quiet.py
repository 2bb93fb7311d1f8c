"""A front that takes no new work: for a gateway that finishes what it has, while its replicas are all there.

Whoever waits for a job can go on asking for it, workers report, and replicas that are at work call each other.
Everybody else is told to come again.
"""

from __future__ import annotations

from flashcore.gateway.dispatch import JOB_API
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.respond import Request, Response, error_response
from flashcore.gateway.http.route import Dispatcher, Local, Switch, Verdict
from flashcore.gateway.jobs_api import JobsApi
from flashcore.gateway.keyring import Keyring
from flashcore.gateway.paths import first_segment, job_address

_NEW_JOBS = frozenset({"run", "runsync", "retry"})


class QuietFront:
    """A Dispatcher: what the usual one says, but for new work."""

    def __init__(self, usual: Dispatcher, jobs: JobsApi, keyring: Keyring) -> None:
        self._usual = usual
        self._jobs = jobs
        self._keyring = keyring

    def dispatch(self, head: RequestHead, peer: str) -> Verdict:
        """Who answers."""
        verdict = self._usual.dispatch(head, peer)
        if isinstance(verdict, Switch):
            return Local(_stopping, 0)  # replicas, too, ask by plain HTTP from now on
        if isinstance(verdict, Local) and _job_verb(head) not in _NEW_JOBS:
            return verdict
        return verdict if self._keyring.is_of_replica(head) else Local(_stopping, 0)

    def awaits(self, head: RequestHead) -> bool:
        """Whether somebody waits for the answer; a worker that asks for jobs waits for nothing that has to come."""
        return _job_verb(head) not in self._jobs.of_workers


def _job_verb(head: RequestHead) -> str:
    """The route of the job API that is asked for, empty where it is none."""
    first, rest = first_segment(head.path)
    return job_address(rest).verb if first == JOB_API else ""


def _stopping(_: Request) -> Response:
    return error_response(
        503,
        "gateway_stopping",
        "The platform stops: it finishes what it has and takes nothing new.",
        ((b"retry-after", b"1"),),
        next_step="come again when it runs: flashcore server start",
    )
