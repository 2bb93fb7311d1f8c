"""The one object that the HTTP engine asks: who answers this request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from flashcore.gateway.callers.link import Links
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.respond import Handler, Request, Response, error_response
from flashcore.gateway.http.route import Local, Peek, Proxy, Switch, Verdict
from flashcore.gateway.jobs_api import JobsApi
from flashcore.gateway.keyring import Keyring
from flashcore.gateway.local import LocalRoutes
from flashcore.gateway.metrics import Metrics
from flashcore.gateway.misspelt import Misspelt
from flashcore.gateway.paths import addressed, first_segment, host_label, job_address
from flashcore.gateway.planning import Plan, Signposts, plan_of
from flashcore.gateway.proxying import RequestRoute
from flashcore.gateway.routes import JobsRouting, Routes
from flashcore.gateway.settings import Settings
from flashcore.model.token import ALL_SCOPES, TokenScope
from flashcore.wire import calls

JOB_API = "v2"

_LINK_PATH = calls.PATH.encode()
_LINK_PROTOCOL = calls.PROTOCOL.encode()

_NO_BODY = 0

_CALL = frozenset({TokenScope.CALL})
_WORK = frozenset({TokenScope.WORK})
_READ = frozenset({TokenScope.READ})
_PURGE = "purge-queue"
"""What everybody may send to a public endpoint is not everybody's to throw away."""


@dataclass(frozen=True, slots=True)
class Answerers:
    """Those within the gateway who answer requests, or take connections over."""

    jobs: JobsApi
    links: Links
    local: LocalRoutes
    metrics: Metrics
    misspelt: Misspelt


class Front:
    """A Dispatcher: by host first, then by the first segment of the path."""

    def __init__(
        self, routes: Callable[[], Routes], answerers: Answerers, keyring: Keyring, settings: Settings
    ) -> None:
        local = answerers.local
        self._routes = routes
        self._links = answerers.links
        self._jobs = answerers.jobs
        self._misspelt = answerers.misspelt
        self._keyring = keyring
        self._answer_seconds = settings.answer_seconds
        self._own: Mapping[tuple[str, bytes], tuple[Handler, frozenset[TokenScope] | None]] = {
            ("ping", b"/"): (local.ping, None),
            ("ping", b"/live"): (local.live, None),
            ("ping", b"/ready"): (local.ready, None),
            ("manifest", b"/"): (local.manifest, ALL_SCOPES),
            ("metrics", b"/"): (answerers.metrics.handle, _READ),
        }
        self._signposts = self._posts_for(routes())

    @property
    def own(self) -> frozenset[str]:
        """The paths that the gateway answers itself, beside the job API."""
        return frozenset(f"/{first}{rest.decode().rstrip('/')}" for first, rest in self._own)

    def dispatch(self, head: RequestHead, peer: str) -> Verdict:
        """Who answers."""
        routes = self._routes()
        plan = head.plan
        if isinstance(plan, Plan) and plan.routes is routes and plan.leads(head):
            return self._proxy(plan, head, peer)
        if self._signposts.routes is not routes:
            self._signposts = self._posts_for(routes)
        plan = self._signposts.plan(head)
        return self._look_around(routes, head, peer) if plan is None else self._proxy(plan, head, peer)

    def needs(self, head: RequestHead) -> frozenset[TokenScope] | None:
        """The scopes of which one is needed for a request that was let in; None: it needs no token."""
        if isinstance(head.plan, Plan):
            return None if head.plan.service.public else _CALL
        if head.path == _LINK_PATH:
            return _CALL
        first, rest = first_segment(head.path)
        if first == JOB_API:
            name, verb, _ = job_address(rest)
            return self._job_scopes(self._routes().jobs.get(addressed(name, head).name), verb)
        own = self._own.get((first, rest))
        return None if own is None else own[1]

    def _job_scopes(self, routing: JobsRouting | None, verb: str) -> frozenset[TokenScope] | None:
        if verb in self._jobs.of_workers:
            return _WORK
        if routing is not None and routing.route.public and verb != _PURGE:
            return None
        return _CALL | _READ if verb == "health" else _CALL

    def _posts_for(self, routes: Routes) -> Signposts:
        return Signposts(routes, {JOB_API, *(name for name, _ in self._own)})

    def _look_around(self, routes: Routes, head: RequestHead, peer: str) -> Verdict:
        """Who answers a request that is not of the usual kind."""
        label = host_label(head)
        if label:
            to = addressed(label, head)
            service = routes.http.get(to.name)
            if service is not None:
                return self._proxy(plan_of(routes, service, head, 0, preview=to.preview), head, peer)
        first, rest = first_segment(head.path)
        if first == JOB_API:
            return self._link(head, peer) if head.path == _LINK_PATH else self._job(routes, head, rest, peer)
        own = self._own.get((first, rest))
        if own is not None:
            handler, scopes = own
            refusal = None if scopes is None else self._keyring.refusal(head, peer, scopes)
            return Local(handler, _NO_BODY) if refusal is None else _told(refusal)
        to = addressed(first, head)
        service = routes.http.get(to.name)
        if service is None:
            return _told(self._keyring.refusal(head, peer, ALL_SCOPES) or self._nobody(to.name, routes))
        return self._proxy(plan_of(routes, service, head, 1 + len(first), preview=to.preview), head, peer)

    def _link(self, head: RequestHead, peer: str) -> Verdict:
        """A caller wants to submit its jobs another way."""
        refusal = self._links.refusal(head, peer)
        return Switch(_LINK_PROTOCOL, partial(self._links.begin, head)) if refusal is None else _told(refusal)

    def _job(self, routes: Routes, head: RequestHead, path: bytes, peer: str) -> Local:
        name, verb, job = job_address(path)
        to = addressed(name, head)
        routing = routes.jobs.get(to.name)
        scopes = self._job_scopes(routing, verb)
        refusal = None if scopes is None else self._keyring.refusal(head, peer, scopes)
        if refusal is not None:
            return _told(refusal)
        if routing is None:
            return _told(self._jobs.not_a_queue(to.name))
        return Local(self._jobs.handler(head.method, routing, to, verb, job), self._jobs.largest_body(head, verb))

    def _proxy(self, plan: Plan, head: RequestHead, peer: str) -> Verdict:
        service = plan.service
        if not service.public:
            refusal = self._keyring.refusal(head, peer, _CALL)
            if refusal is not None:
                return _told(refusal)
        if head.plan is not plan:
            self._keyring.take_token(head)
            head.plan = plan
        route = RequestRoute(plan, head)
        proxy = Proxy(route, plan.target, min(self._answer_seconds, service.execution_timeout))
        if service.peeks and service.routing is not None and (wanted := service.routing.wish.bytes_of(head)):
            return Peek(proxy, wanted, route.see)
        return proxy

    def _nobody(self, name: str, routes: Routes) -> Response:
        if not name:
            message = "The first part of a path names an endpoint, and here there is none."
            return error_response(404, "unknown_endpoint", message, next_step="GET /manifest says which there are")
        if name in routes.jobs:
            return error_response(
                400,
                "not_http",
                f"Endpoint {name!r} works through a queue, it answers no HTTP requests of its own.",
                next_step=f"POST /{JOB_API}/{name}/runsync",
            )
        return self._misspelt.answer(name, routes.names)


def _told(response: Response) -> Local:
    """This, whatever there is in the body."""

    def answer(_: Request) -> Response:
        return response

    return Local(answer, _NO_BODY)
