"""The routes that a worker of RunPod's SDK calls, under /v2/{endpoint}/; `wire.runpod` says what each is for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from flashcore.gateway.answers import JSON_TYPE, method_not_allowed
from flashcore.gateway.documents import raw_payload
from flashcore.gateway.http.respond import Handler, Request, Response, error_response, json_response
from flashcore.gateway.paths import query_value
from flashcore.gateway.polling.desk import Desk
from flashcore.gateway.polling.link import PolledLink
from flashcore.gateway.routes import JobsRouting
from flashcore.gateway.settings import Settings
from flashcore.model.errors import StreamFull
from flashcore.model.names import JobId
from flashcore.wire.messages import Assignment, Beat, Chunk, Leaving, Progress, Result, Results
from flashcore.wire.rawjson import NotJson
from flashcore.wire.runpod import (
    Interim,
    Outcome,
    batch_size,
    job_text,
    list_text,
    named_jobs,
    read_chunk,
    read_outcome,
    reads_lists,
)

UNLISTED_HOLD = 1.0
"""Seconds for which a worker that is to end waits: it does not end before it has its answer."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class PolledCall:
    """One request of a worker."""

    request: Request
    routing: JobsRouting
    worker: str
    job: JobId
    """Empty where the route has none."""


_Action: TypeAlias = Callable[[PolledCall], Awaitable[Response]]


class PolledApi:
    """Answers workers."""

    def __init__(self, desk: Desk, settings: Settings) -> None:
        self._desk = desk
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._actions: Mapping[str, tuple[bytes, bool, _Action]] = {
            "job-take": (b"GET", False, self._take_one),
            "job-take-batch": (b"GET", False, self._take_many),
            "job-stop": (b"GET", False, self._stop),
            "job-done": (b"POST", True, self._done),
            "job-stream": (b"POST", True, self._stream),
            "ping": (b"GET", False, self._ping),
        }

        self.verbs = frozenset(self._actions)

    def serves(self, verb: str) -> bool:
        """Whether the route is one of these."""
        return verb in self.verbs

    def handler(self, verb: str, rest: str, method: bytes, routing: JobsRouting) -> Handler:
        """Who answers."""
        allowed, has_job, action = self._actions[verb]
        worker, _, job = rest.partition("/")
        if method != allowed:
            return _always(method_not_allowed((allowed,)))
        if not _NAME.fullmatch(worker) or bool(job) is not has_job or "/" in job:
            shape = f"/v2/{routing.route.name}/{verb}/WORKER{'/JOB' if has_job else ''}"
            return _always(error_response(404, "unknown_route", f"The route has this form: {shape}."))

        async def answer(request: Request) -> Response:
            return await action(PolledCall(request, routing, worker, JobId(job)))

        return answer

    # -- jobs out --------------------------------------------------------------------------------------------------

    async def _take_one(self, call: PolledCall) -> Response:
        jobs = await self._take(call, 1)
        if len(jobs) == 1:
            return Response(200, JSON_TYPE, _document(jobs[0]))
        return _listed(jobs)

    async def _take_many(self, call: PolledCall) -> Response:
        asked = query_value(call.request.head, b"batch_size") or b"1"
        return _listed(await self._take(call, batch_size(asked.decode("latin-1"))))

    async def _take(self, call: PolledCall, asked: int) -> list[Assignment]:
        link = self._desk.present(call.routing, call.worker, call.request)
        crew = self._desk.crew
        if query_value(call.request.head, b"job_in_progress") == b"0":
            for job in link.empty_handed():
                link.reported(job)
                crew.drop(link, job, "its worker took it, asked for more and never said what became of it")
        allowance = link.pace.allowance(asked)
        until = self._loop.time() + self._settings.poll_seconds
        try:
            while (left := until - self._loop.time()) > 0 and not (link.closed or self._desk.is_over):
                due_in = link.due_in
                if not due_in:
                    if link.waiting:
                        return link.take()
                    crew.offer(link, allowance if asked > 1 or _reads_lists(call) else 1)
                await link.job_news(min(left, self._settings.heartbeat, due_in or left))
                crew.heard(link)
                worker = crew.worker(link)
                if worker is None or not worker.takes_work:
                    until = min(until, self._loop.time() + UNLISTED_HOLD)
        except asyncio.CancelledError:
            self._desk.hung_up(link)
            raise
        finally:
            crew.offer(link, 0)
        return link.take()

    async def _stop(self, call: PolledCall) -> Response:
        link = self._desk.present(call.routing, call.worker, call.request)
        until = self._loop.time() + self._settings.poll_seconds
        try:
            while (left := until - self._loop.time()) > 0 and not (link.closed or self._desk.is_over):
                if stops := self._stops(link):
                    return json_response(200, {"jobsToStop": stops})
                await link.stop_news(min(left, self._settings.heartbeat))
                self._desk.crew.heard(link)
                worker = self._desk.crew.worker(link)
                if worker is None or not worker.takes_work:
                    until = min(until, self._loop.time() + UNLISTED_HOLD)
        except asyncio.CancelledError:
            self._desk.hung_up(link)
            raise
        return Response(204)

    def _stops(self, link: PolledLink) -> list[JobId]:
        """What it is to stop; of jobs that it never took it hears nothing."""
        stops = link.take_stops()
        unseen = [job for job in stops if link.withdraw(job)]
        worker = self._desk.crew.worker(link)
        if unseen and worker is not None:
            ends = (Result(job, worker.attempts[job].claimed.attempt, released=True) for job in unseen)
            self._desk.crew.message(link, Results(tuple(ends)))
        return [job for job in stops if job not in unseen]

    # -- what becomes of them --------------------------------------------------------------------------------------

    async def _done(self, call: PolledCall) -> Response:
        posted = read_outcome(call.request.body)
        link = self._desk.reporting(call.routing, call.worker, call.request)
        if link is not None:
            await link.readable()
            if isinstance(posted, Interim):
                self._progress(link, call.job, posted)
            else:
                await self._end(link, call.job, posted)
        return json_response(200, {})

    def _progress(self, link: PolledLink, job: JobId, posted: Interim) -> None:
        attempt = self._attempt(link, job)
        if attempt is not None:
            self._desk.crew.message(link, Progress(job, attempt, posted.progress))

    async def _end(self, link: PolledLink, job: JobId, posted: Outcome) -> None:
        attempt = self._attempt(link, job)
        link.reported(job)
        if posted.replace_worker:
            self._desk.crew.message(link, Leaving())
        if attempt is not None:
            receipt = link.receipt(job)
            self._desk.crew.message(link, Results((Result(job, attempt, posted.output, posted.error),)))
            await receipt

    async def _stream(self, call: PolledCall) -> Response:
        link = self._desk.reporting(call.routing, call.worker, call.request)
        attempt = None if link is None else self._attempt(link, call.job)
        if link is None or attempt is None:
            return json_response(200, {})
        await link.readable()
        try:
            chunk = read_chunk(call.request.body)
        except NotJson as error:
            self._desk.crew.message(
                link, Results((Result(call.job, attempt, error=f"a streamed item: {error.message}"),))
            )
        else:
            try:
                await self._stored(link, Chunk(call.job, attempt, chunk))
            except StreamFull as full:
                return error_response(
                    413, full.code, f"Job {call.job} has failed: {full.message}.", next_step=full.next_step
                )
        return json_response(200, {})

    async def _stored(self, link: PolledLink, chunk: Chunk) -> None:
        """Return once the chunk is on disk: who has the answer never sends it again."""
        stored = asyncio.Event()
        if self._desk.crew.stream(link, chunk, stored.set):
            await stored.wait()

    async def _ping(self, call: PolledCall) -> Response:
        """A ping proves that there is a process that pings; the SDK's outlives its worker. So it brings nobody back.

        A restart of the gateway is the exception: nobody has left.
        """
        named = query_value(call.request.head, b"job_id") or b""
        ids = named_jobs(named.decode("latin-1"))
        link = self._desk.pinging(call.routing, call.worker, ids)
        if link is not None and query_value(call.request.head, b"status") is None:
            self._desk.crew.message(link, Beat(tuple(sorted(ids | self._unasked(link)))))
        return json_response(200, {})

    def _unasked(self, link: PolledLink) -> set[JobId]:
        """Jobs that wait here for the worker to ask: it cannot name them."""
        worker = self._desk.crew.worker(link)
        return set() if worker is None else worker.attempts.keys() - link.out.keys()

    def _attempt(self, link: PolledLink, job: JobId) -> int | None:
        worker = self._desk.crew.worker(link)
        attempt = None if worker is None else worker.attempts.get(job)
        return None if attempt is None else attempt.claimed.attempt


def _document(job: Assignment) -> bytes:
    return job_text(job.id, raw_payload(job.input), job.context)


def _listed(jobs: list[Assignment]) -> Response:
    if not jobs:
        return Response(204)
    return Response(200, JSON_TYPE, list_text(_document(job) for job in jobs))


def _reads_lists(call: PolledCall) -> bool:
    """Whether the SDK takes a list where it asked for one job."""
    return reads_lists(call.request.head.index.get(b"user-agent", b""))


def _always(response: Response) -> Handler:
    def answer(_: Request) -> Response:
        return response

    return answer
