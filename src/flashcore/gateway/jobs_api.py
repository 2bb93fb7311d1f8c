"""The job API: RunPod's routes under /v2/{endpoint}/, the clients' here, the workers' in `polling`.

Every answer is JSON; an empty body is as good as `{}`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from flashcore.gateway.answers import JSON_TYPE, job_gone, json_body, method_not_allowed
from flashcore.gateway.bodies import is_large, sliced
from flashcore.gateway.broker import Broker
from flashcore.gateway.documents import (
    Opening,
    brief_body,
    numbered,
    shown_output,
    status_body,
    status_frame,
    status_frame_parts,
    status_parts,
    stream_body,
    stream_frame,
    stream_frame_parts,
    stream_parts,
    unnumbered,
)
from flashcore.gateway.health import health_document
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.respond import Handler, Later, Request, Response, error_response, json_response
from flashcore.gateway.intake import LONGEST_WAIT, Intake, Order, refusal_of
from flashcore.gateway.misspelt import Misspelt
from flashcore.gateway.paths import Addressed, query_value, whole_number
from flashcore.gateway.polling.desk import Desk
from flashcore.gateway.polling.routes import PolledApi
from flashcore.gateway.routes import JobsRouting, Routes
from flashcore.gateway.settings import Settings
from flashcore.gateway.submission import InvalidSubmission, asked_over_http, is_sealed
from flashcore.model.errors import FlashcoreError, NotFound
from flashcore.model.job import Job, StreamItem
from flashcore.model.light import light
from flashcore.model.names import JobId
from flashcore.wire import documents

RUNSYNC_WAIT = 90.0

_FRAME = documents.MEDIA.encode()
_FRAME_TYPE = ((b"content-type", _FRAME),)

_GET = (b"GET", b"HEAD")
_POST = (b"POST",)
_BOTH = (b"GET", b"HEAD", b"POST")


@light
class Call:
    """One request, understood as far as its address goes."""

    request: Request
    routing: JobsRouting
    to: Addressed
    job: JobId
    """Empty where the route has none."""


_Action: TypeAlias = Callable[[Call], Later | Awaitable[Response]]
"""`Later` where there may be many at a time: a task for each would cost as much as all else that is done for it."""


class JobsApi:
    """Answers what is asked under /v2/."""

    def __init__(
        self,
        broker: Broker,
        routes: Callable[[], Routes],
        settings: Settings,
        intake: Intake,
        caller_of: Callable[[RequestHead, str], str],
        misspelt: Misspelt,
    ) -> None:
        self._broker = broker
        self._misspelt = misspelt
        self._caller_of = caller_of
        self._routes = routes
        self._intake = intake
        self._desk = Desk(broker.crew, settings)
        self._polled = PolledApi(self._desk, settings)
        self.of_workers = self._polled.verbs
        """The routes that workers call."""
        self._endpoint_routes: Mapping[str, tuple[tuple[bytes, ...], _Action]] = {
            "run": (_POST, self._run),
            "runsync": (_POST, self._runsync),
            "purge-queue": (_POST, self._purge),
            "health": (_GET, self._health),
        }
        self._job_routes: Mapping[str, tuple[tuple[bytes, ...], _Action]] = {
            "status": (_BOTH, self._status),
            "status-sync": (_BOTH, self._status_sync),
            "stream": (_BOTH, self._stream),
            "cancel": (_POST, self._cancel),
            "retry": (_POST, self._retry),
        }

    @property
    def of_callers(self) -> frozenset[str]:
        """The routes of those who have jobs done."""
        return frozenset((*self._endpoint_routes, *self._job_routes))

    def dismiss_workers(self) -> None:
        """Have those who ask for jobs not wait for any: they come again, to the next gateway."""
        self._desk.dismiss()

    def largest_body(self, head: RequestHead, verb: str) -> int:
        """The most bytes that the body of such a request may have."""
        return self._intake.most_bytes(sealed=is_sealed(head), waits=verb != "run")

    def handler(self, method: bytes, routing: JobsRouting, to: Addressed, verb: str, job: str) -> Handler:
        """Who answers a request for a route of an endpoint; `job` is what follows the route."""
        if self._polled.serves(verb):
            return self._polled.handler(verb, job, method, routing)
        found = (self._job_routes if job else self._endpoint_routes).get(verb)
        if found is None or "/" in job:
            return _always(self._unknown_route(to.name, verb))
        methods, action = found
        if method not in methods:
            return _always(method_not_allowed(methods))
        return _guarded(action, routing, to, JobId(job))

    def not_a_queue(self, name: str) -> Response:
        """The answer to who asks for a queue of that name."""
        routes = self._routes()
        if name in routes.http:
            return error_response(
                400,
                "not_a_queue",
                f"Endpoint {name!r} answers HTTP requests, it has no queue.",
                next_step=f"call /{name}/...",
            )
        return self._misspelt.answer(name, tuple(routes.jobs))

    def _unknown_route(self, name: str, verb: str) -> Response:
        said = (
            f"Endpoint {name!r} has no route {verb!r} of this form."
            if verb
            else f"The path names endpoint {name!r} and no route."
        )
        own, of_a_job = ", ".join(self._endpoint_routes), ", ".join(f"{route}/JOB" for route in self._job_routes)
        return error_response(404, "unknown_route", said, next_step=f"below /v2/{name}/ there are {own}, {of_a_job}")

    # -- jobs in ---------------------------------------------------------------------------------------------------

    def _run(self, call: Call) -> Later:
        order = self._order(call)
        waiter = Waiter(call, _brief)
        self._intake.submit(order, waiter)
        return waiter.answer

    def _runsync(self, call: Call) -> Later:
        wait = _wait(call.request.head, RUNSYNC_WAIT)
        order = self._order(call)
        waiter = Waiter(call, _shown)
        self._intake.call(order, wait, waiter)
        return waiter.answer

    def _order(self, call: Call) -> Order:
        request = call.request
        asked = asked_over_http(request.head, request.body)
        return Order(call.routing, asked, call.to.preview, self._caller_of(request.head, request.peer))

    # -- one job ---------------------------------------------------------------------------------------------------

    async def _status(self, call: Call) -> Response:
        return _shown(call, await self._job(call))

    async def _status_sync(self, call: Call) -> Response:
        await self._job(call)
        return _shown(call, await self._broker.wait(call.job, _wait(call.request.head, RUNSYNC_WAIT)))

    async def _stream(self, call: Call) -> Response:
        await self._job(call)
        after = _after(call.request.head)
        read = await self._broker.read_stream(call.job, _wait(call.request.head, 0.0), after)
        if read is None:
            raise _no_job(call)
        return _streamed(call, *read) if after is None else _streamed(call, *read, numbered)

    async def _cancel(self, call: Call) -> Response:
        await self._job(call)
        cancelled = await self._broker.cancel(call.job)
        if cancelled is None:
            raise _no_job(call)
        return json_body(brief_body(cancelled))

    async def _retry(self, call: Call) -> Response:
        await self._job(call)
        retried = await self._broker.retry(call.job)
        if retried is None:
            raise _no_job(call)
        return json_body(brief_body(retried))

    async def _job(self, call: Call) -> Job:
        job = await self._broker.get(call.job)
        if job is None or job.new.endpoint != call.routing.route.name:
            raise _no_job(call)
        return job

    # -- all jobs --------------------------------------------------------------------------------------------------

    async def _purge(self, call: Call) -> Response:
        removed = await self._broker.purge(call.routing.route.name)
        return json_response(200, {"removed": removed, "status": "completed"})

    async def _health(self, call: Call) -> Response:
        return json_response(200, await health_document(self._broker, call.routing))


class Waiter:
    """A caller who is answered when there is something to tell."""

    __slots__ = ("_call", "_show", "answer")

    def __init__(self, call: Call, show: Callable[[Call, Job | None], Response]) -> None:
        self.answer = Later()
        self._call = call
        self._show = show

    def told(self, job: Job | None) -> None:
        """Show the job."""
        if self.answer.is_over:
            return  # the client left
        try:
            response = self._show(self._call, job)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be made is the client's to hear
            self.failed(error)
        else:
            self.answer.give(response)

    def failed(self, error: Exception) -> None:
        """Say what went wrong; what is no error of ours is a crash."""
        self.answer.give(refusal_of(error) if isinstance(error, FlashcoreError) else error)


def _brief(call: Call, job: Job | None) -> Response:
    if job is None:
        raise _no_job(call)
    return json_body(brief_body(job))


def _wants_frame(call: Call) -> bool:
    return call.request.head.get(b"accept") == _FRAME


def _shown(call: Call, job: Job | None) -> Response:
    """The job, or that it is no more: purged, or forgotten with its endpoint, while somebody waited for it."""
    if job is None:
        raise _no_job(call)
    if _wants_frame(call):
        if is_large(job.output):
            return sliced(_FRAME_TYPE, status_frame_parts(job))
        return Response(200, _FRAME_TYPE, status_frame(job))
    output = shown_output(job)
    if output is not None and is_large(output):
        return sliced(JSON_TYPE, status_parts(job, output))
    return json_body(status_body(job))


def _streamed(call: Call, job: Job, items: tuple[StreamItem, ...], opening: Opening = unnumbered) -> Response:
    large = is_large(*(item.value for item in items))
    if _wants_frame(call):
        if large:
            return sliced(_FRAME_TYPE, stream_frame_parts(job, items))
        return Response(200, _FRAME_TYPE, stream_frame(job, items))
    return (
        sliced(JSON_TYPE, stream_parts(job, items, opening)) if large else json_body(stream_body(job, items, opening))
    )


def _wait(head: RequestHead, default: float) -> float:
    """Seconds that the caller wants to wait; the query counts in milliseconds."""
    text = query_value(head, b"wait")
    if not text:
        return default
    milliseconds = whole_number(text)
    if milliseconds is None:
        raise InvalidSubmission(f"wait is a number of milliseconds, not {text[:50].decode('latin-1')!r}")
    return min(milliseconds / 1000, LONGEST_WAIT)


def _after(head: RequestHead) -> int | None:
    """How many items of the stream the caller has, if it says so."""
    text = query_value(head, b"after")
    if text is None:
        return None
    items = whole_number(text)
    if items is None:
        raise InvalidSubmission(f"after is a number of items, not {text[:50].decode('latin-1')!r}")
    return items


def _no_job(call: Call) -> NotFound:
    return job_gone(call.routing.route.name, call.job)


def _always(response: Response) -> Handler:
    def answer(_: Request) -> Response:
        return response

    return answer


def _guarded(action: _Action, routing: JobsRouting, to: Addressed, job: JobId) -> Handler:
    def answer(request: Request) -> Response | Later | Awaitable[Response]:
        try:
            begun = action(Call(request, routing, to, job))
        except FlashcoreError as error:
            return refusal_of(error)
        return begun if isinstance(begun, Later) else _guard(begun)

    return answer


async def _guard(begun: Awaitable[Response]) -> Response:
    try:
        return await begun
    except FlashcoreError as error:
        return refusal_of(error)
