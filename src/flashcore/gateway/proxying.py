"""Requests of HTTP endpoints on their way to a replica."""

from __future__ import annotations

import random
from asyncio import Future
from itertools import islice

from flashcore.gateway.ejection import NOBODY
from flashcore.gateway.http.errors import Outcome, OutcomeKind
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.route import Choice, Unavailable, Upstream
from flashcore.gateway.http_service import DRAWS
from flashcore.gateway.planning import Plan, seen_request
from flashcore.gateway.targets import CountedUpstream, Target
from flashcore.model.errors import PluginError

_NOBODY_TRIED: frozenset[str] = frozenset()
_RETRY_SOON = ((b"retry-after", b"1"),)
_NO_FAULT = frozenset({OutcomeKind.CLIENT_GONE, OutcomeKind.MISMATCH, OutcomeKind.DRAINING})
_NOT_IMPLEMENTED = frozenset({501, 505})


class RequestRoute:
    """One request's choices: it keeps its draw, so that it stays with its side when it is asked again."""

    __slots__ = ("_draw", "_failure", "_request", "_service", "_tried")

    def __init__(self, plan: Plan, head: RequestHead) -> None:
        self._service = plan.service
        self._draw = None if plan.preview else int(random.random() * DRAWS)  # noqa: S311 - shares traffic, guards nothing
        self._tried = _NOBODY_TRIED
        self._failure: OutcomeKind | None = None
        self._request = seen_request(head, plan.target)

    @property
    def for_preview(self) -> bool:
        """Whether nobody but the preview may answer it."""
        return self._draw is None

    def see(self, body: bytes, length: int | None) -> None:
        """Show the policy what it asked for of the body, before the first choice."""
        routing = self._service.routing
        limit = 0 if routing is None else routing.wish.limit
        self._request.body_start = body[:limit]
        self._request.body_length = length

    def choose(self, tried: frozenset[str]) -> Choice | Future[Choice]:
        """A replica at once where there is one; otherwise a place in the line."""
        service = self._service
        if not tried:
            service.budget.deposit()
        elif not self._is_retry_paid():
            return Unavailable(
                "retries_spent", f"Too many requests to {service.name} fail for this one to be repeated."
            )
        self._tried = tried
        choice = self.attempt()
        if choice is not None:
            return choice
        return self._crowded() if service.room.is_full else service.room.enter(self)

    def attempt(self) -> Choice | None:
        """A replica with room; None while the request is to wait."""
        service = self._service
        routing = service.routing
        if routing is None:
            return Unavailable("endpoint_gone", f"Endpoint {service.name} was undeployed.", 404)
        if routing.route.held:
            return None
        out = service.ejected(self._draw) if service.troubled else NOBODY
        try:
            target = routing.choose(self._request, self._tried | out.replicas, self._draw)
        except LookupError:
            return self._nobody()
        except PluginError as error:
            return Unavailable("routing_failed", error.message, 500, data={"next_step": error.next_step})
        if target is None:
            return None
        service.changed()
        if out is NOBODY:
            return target.lease()
        target.circuit.begin()
        return target.lease_in_panic() if target.candidate.replica in out.panicking else target.lease()

    def has_another(self, tried: frozenset[str]) -> bool:
        """Whether a replica with room is there that was not tried, and the budget allows to ask it."""
        service, routing = self._service, self._service.routing
        if routing is None or routing.route.held or not service.budget.has_any:
            return False
        excluded = tried | service.ejected(self._draw).replicas
        left = (pool for pool in routing.pools(self._draw) if pool.has_any_but(excluded))
        return any(pool.has_room_but(excluded) for pool in islice(left, 1))

    def may_use(self, target: Target) -> bool:
        """Whether the replica is one of those that this request may go to."""
        routing = self._service.routing
        if routing is None or routing.route.held:
            return False
        replica = target.candidate.replica
        return replica not in self._tried and any(
            pool.targets.get(replica) is target for pool in routing.pools(self._draw)
        )

    def overdue(self) -> Unavailable:
        """It waited as long as requests may."""
        self._service.tally.refuse("held_too_long")
        return Unavailable("held_too_long", f"No replica of {self._service.name} had room in time.", 504)

    def on_outcome(self, upstream: Upstream, outcome: Outcome, latency: float) -> None:
        """Count how it ended, where that says anything of the revision or of the replica."""
        if not isinstance(upstream, CountedUpstream):
            return
        kind, status, count = outcome.kind, outcome.status, upstream.count
        if kind is OutcomeKind.ANSWERED and status < 400:
            count.classes[status // 100] += 1
            count.record(latency, failed=False)
            self._service.replica_succeeded(upstream.target, latency)
            return
        self._failure = kind
        if kind in _NO_FAULT or (status < 500 and kind is OutcomeKind.ANSWERED) or status in _NOT_IMPLEMENTED:
            self._service.trial_said_nothing(upstream.target, latency)
        else:
            self._service.replica_failed(upstream.target, latency)
        if kind not in _NO_FAULT:
            count.classes[min(status // 100, 5)] += 1
            count.record(latency, failed=kind is not OutcomeKind.ANSWERED or status >= 500)

    def _is_retry_paid(self) -> bool:
        """Whether another replica may be asked; that one is going away, or is another one by now, costs nothing."""
        service, failure = self._service, self._failure
        if failure is None or failure in _NO_FAULT or service.budget.withdraw():
            service.tally.retry("unknown" if failure is None else failure.value)
            return True
        service.tally.unpaid_retries += 1
        return False

    def _nobody(self) -> Unavailable:
        name = self._service.name
        self._service.tally.refuse("no_preview" if self._draw is None else "no_ready_replica")
        if self._draw is None:
            return Unavailable("no_preview", f"Endpoint {name} has no revision that waits for its promotion.", 404)
        return Unavailable("no_ready_replica", f"No replica of {name} is ready.", 503, _RETRY_SOON)

    def _crowded(self) -> Unavailable:
        name = self._service.name
        routing = self._service.routing
        if routing is not None and routing.route.held:
            self._service.tally.refuse("too_many_held")
            return Unavailable("too_many_held", f"Too many requests wait for {name}.", 503, _RETRY_SOON)
        self._service.tally.refuse("too_many_requests")
        return Unavailable("too_many_requests", f"All replicas of {name} are busy.", 429, _RETRY_SOON)
