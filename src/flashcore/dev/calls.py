"""Seeing each call as it ends: jobs where they are stored, requests where they are sent on."""

from __future__ import annotations

import time
from asyncio import Future
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from flashcore.dev.reading import Reader, failure_in
from flashcore.dev.told import Called, Tell
from flashcore.gateway.http.errors import Outcome, OutcomeKind
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.route import Choice, Dispatcher, Peek, Proxy, Route, Unavailable, Upstream, Verdict
from flashcore.gateway.paths import first_segment, host_label
from flashcore.hookspecs.jobs import Finish, JobStore, Return
from flashcore.model.job import Job, JobStatus
from flashcore.model.names import JobId

_ASKED_AGAIN = frozenset({OutcomeKind.CONNECT_FAILED, OutcomeKind.DRAINING, OutcomeKind.MISMATCH})
"""After these another replica gets the same request."""


def seen_jobs(store: JobStore, reader: Reader, tell: Tell) -> JobStore:
    """The store, with each job told of that reaches its final state."""
    return cast(JobStore, _SeenJobs(store, reader, tell))


class _SeenJobs:
    """Passes everything on; only what ends jobs is looked at."""

    def __init__(self, store: JobStore, reader: Reader, tell: Tell) -> None:
        self._store = store
        self._reader = reader
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        """All that does not end a job is the store's own."""
        return getattr(self._store, name)

    async def finish(self, results: Sequence[Finish]) -> tuple[bool, ...]:
        """See JobStore."""
        accepted = await self._store.finish(results)
        for result, taken in zip(results, accepted, strict=True):
            if taken:
                await self._look_at(result.id)
        return accepted

    async def give_back(self, returns: Sequence[Return]) -> tuple[Job | None, ...]:
        """See JobStore."""
        jobs = await self._store.give_back(returns)
        self._look(job for job in jobs if job is not None)
        return jobs

    async def cancel(self, job: JobId) -> Job | None:
        """See JobStore."""
        cancelled = await self._store.cancel(job)
        self._look([cancelled] if cancelled is not None else [])
        return cancelled

    async def sweep(self) -> tuple[Job, ...]:
        """See JobStore."""
        jobs = await self._store.sweep()
        self._look(jobs)
        return jobs

    async def _look_at(self, job: JobId) -> None:
        found = await self._store.get(job)
        self._look([found] if found is not None else [])

    def _look(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if job.status.final:
                self._tell(_called(job, self._reader))


def _called(job: Job, reader: Reader) -> Called:
    began = job.started_at if job.started_at is not None else job.submitted_at
    return Called(
        endpoint=job.new.endpoint,
        what=reader.function(job.new.endpoint, job.new.input),
        outcome=job.status.value.lower(),
        ok=job.status is JobStatus.COMPLETED,
        seconds=max(0.0, (job.finished_at or began) - began),
        result=reader.result(job.new.endpoint, job.output) if job.output is not None and job.error is None else None,
        failure=failure_in(job.error) if job.error is not None else None,
    )


class SeenFront:
    """A Dispatcher in front of the gateway's: tells of each request that a replica answered, or nobody could.

    `own` are paths that are answered before the gateway is asked.
    """

    def __init__(self, front: Dispatcher, own: Mapping[bytes, Verdict], tell: Tell) -> None:
        self._front = front
        self._own = own
        self._tell = tell

    def dispatch(self, head: RequestHead, peer: str) -> Verdict:
        """See Dispatcher."""
        verdict = self._own.get(head.path) or self._front.dispatch(head, peer)
        proxy = verdict.proxy if isinstance(verdict, Peek) else verdict
        if isinstance(proxy, Proxy):
            endpoint, path = _addressed(head, proxy)
            what = f"{head.method.decode('latin-1')} {path.decode('latin-1')}"
            proxy.route = cast(Route, _SeenRoute(proxy.route, endpoint, what, self._tell))
        return verdict


def _addressed(head: RequestHead, proxy: Proxy) -> tuple[str, bytes]:
    """The endpoint, and the path that its replica sees: all of it where the host names the endpoint."""
    return (host_label(head), head.path) if proxy.target == head.target else first_segment(head.path)


class _SeenRoute:
    """A request's route that tells how the request ended."""

    def __init__(self, route: Route, endpoint: str, what: str, tell: Tell) -> None:
        self._route = route
        self._endpoint = endpoint
        self._what = what
        self._tell = tell
        self._began = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        """What says nothing of the end is the route's own."""
        return getattr(self._route, name)

    def choose(self, tried: frozenset[str]) -> Choice | Future[Choice]:
        """See Route."""
        choice = self._route.choose(tried)
        if isinstance(choice, Future):
            choice.add_done_callback(self._held)
        elif isinstance(choice, Unavailable):
            self._ended(str(choice.status), ok=False)
        return choice

    def on_outcome(self, upstream: Upstream, outcome: Outcome, latency: float) -> None:
        """See Route."""
        self._route.on_outcome(upstream, outcome, latency)
        if outcome.kind is OutcomeKind.ANSWERED:
            self._ended(str(outcome.status), ok=outcome.status < 500)
        elif outcome.kind not in _ASKED_AGAIN:
            self._ended(outcome.kind.value, ok=False)

    def _held(self, choice: Future[Choice]) -> None:
        if not choice.cancelled() and isinstance(found := choice.result(), Unavailable):
            self._ended(str(found.status), ok=False)

    def _ended(self, outcome: str, *, ok: bool) -> None:
        self._tell(Called(self._endpoint, self._what, outcome, ok=ok, seconds=time.monotonic() - self._began))
