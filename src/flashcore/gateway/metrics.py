"""The gateway's numbers at /metrics. They are counted where things happen and written down only when asked for.

Labels are names of endpoints, the first twelve digits of revisions, and words of ours: as many as there are in the
table, never as many as there were requests, replicas or jobs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from flashcore.gateway.broker import Broker
from flashcore.gateway.callers.link import Links
from flashcore.gateway.circuit import CircuitState
from flashcore.gateway.counting import SideCount
from flashcore.gateway.http.respond import Request, Response
from flashcore.gateway.http.server import HttpServer
from flashcore.gateway.http_service import HttpService
from flashcore.gateway.keyring import Keyring
from flashcore.gateway.predecessors import Predecessors
from flashcore.gateway.routes import Routes
from flashcore.model.names import EndpointName
from flashcore.model.table import TABLES_PER_EPOCH
from flashcore.wire.exposition import CONTENT_TYPE, Exposition, labels

_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
_TYPE = ((b"content-type", CONTENT_TYPE.encode()),)
_SHOWN_DIGITS = 12


class Metrics:
    """Answers /metrics. `server` and the others are known once the gateway is put together."""

    def __init__(self, routes: Callable[[], Routes], broker: Broker, keyring: Keyring) -> None:
        self.server: HttpServer | None = None
        self.links: Links | None = None
        self.predecessors: Predecessors | None = None
        self._routes = routes
        self._broker = broker
        self._keyring = keyring
        self._started = time.time()

    async def handle(self, _: Request) -> Response:
        """All numbers as they are now. Raises StateError where the job store cannot be asked."""
        page = Exposition()
        routes = self._routes()
        self._gateway(page, routes)
        self._requests(page, routes)
        self._resilience(page, tuple(routes.http.values()))
        await self._jobs(page, routes)
        return Response(200, _TYPE, page.text())

    def _gateway(self, page: Exposition, routes: Routes) -> None:
        page.gauge("flashcore_gateway_start_time_seconds", "When this gateway started.", {(): self._started})
        page.gauge(
            "flashcore_gateway_table_version",
            "The routing table that is served by, counted anew by each leader.",
            {(): routes.version % TABLES_PER_EPOCH},  # the whole of it is longer than a number of Prometheus is exact
        )
        if self.server is not None:
            page.gauge(
                "flashcore_gateway_connections",
                "Connections of clients, and to replicas.",
                {
                    labels(side="client", state="busy"): self.server.busy_count,
                    labels(side="client", state="idle"): self.server.connection_count - self.server.busy_count,
                    labels(side="replica", state="open"): self.server.pool.open_count,
                },
            )
            page.counter(
                "flashcore_gateway_bad_requests_total",
                "Requests that were refused for how they are written, or for their pace.",
                {labels(reason=reason): count for reason, count in self.server.refused.items()},
            )
        if self.links is not None:
            page.gauge("flashcore_gateway_links", "Links of callers that are open.", {(): len(self.links)})
            page.gauge(
                "flashcore_gateway_link_calls",
                "Calls over links that have no answer yet.",
                {(): self.links.under_way},
            )
            page.counter("flashcore_gateway_link_jobs_total", "Jobs that came over links.", {(): self.links.desk.taken})
        if self.predecessors is not None:
            page.gauge(
                "flashcore_gateway_retired",
                "Gateways that were replaced and finish what they had begun.",
                {(): len(self.predecessors.retired)},
            )
            page.gauge(
                "flashcore_gateway_retired_requests",
                "Requests that replicas are answering through those.",
                {(): sum(one.rest.under_way for one in self.predecessors.retired)},
            )
            page.counter(
                "flashcore_gateway_retired_answers_total",
                "Requests that those have ended since this gateway began; they are in no other number.",
                {
                    labels(endpoint=name, revision=revision[:_SHOWN_DIGITS], outcome=outcome): value
                    for (name, revision), side in self.predecessors.finished.items()
                    for outcome, value in (("succeeded", side.requests - side.failures), ("failed", side.failures))
                },
            )
        page.counter(
            "flashcore_gateway_unauthorized_total",
            "Requests that were refused for who sent them.",
            {labels(reason=reason): count for reason, count in self._keyring.refusals.counts.items()},
        )

    def _requests(self, page: Exposition, routes: Routes) -> None:
        sides = tuple(_sides(routes))
        ever = (*((service.name, count) for service in routes.http.values() for count in service.past), *sides)
        page.counter(
            "flashcore_requests_total",
            "Requests that replicas were sent, by the class of their answers.",
            {
                labels(endpoint=name, revision=_shown(count), code=code): count.classes[at]
                for name, count in ever
                for at, code in enumerate(_CLASSES)
                if count.classes[at]
            },
        )
        page.histogram(
            "flashcore_request_duration_seconds",
            "From the choice of a replica to the last byte of its answer.",
            {labels(endpoint=name, revision=_shown(count)): (count.histogram(), count.seconds) for name, count in ever},
        )
        page.gauge(
            "flashcore_requests_in_flight",
            "Requests that replicas are answering.",
            {labels(endpoint=name, revision=_shown(count)): count.in_flight for name, count in sides},
        )

    def _resilience(self, page: Exposition, services: tuple[HttpService, ...]) -> None:
        page.gauge(
            "flashcore_requests_waiting",
            "Requests that wait at the gateway for a replica.",
            {labels(endpoint=one.name): len(one.room) for one in services},
        )
        page.gauge(
            "flashcore_requests_waiting_oldest_seconds",
            "How long the first of them has waited.",
            {labels(endpoint=one.name): one.room.oldest for one in services},
        )
        page.gauge(
            "flashcore_traffic_held",
            "Whether requests are held: by an operator, or until a replica is started.",
            {labels(endpoint=one.name): float(one.routing is not None and one.routing.route.held) for one in services},
        )
        page.counter(
            "flashcore_requests_refused_total",
            "Requests for which there was no replica.",
            {
                labels(endpoint=one.name, reason=reason): count
                for one in services
                for reason, count in one.tally.refusals.items()
            },
        )
        page.counter(
            "flashcore_retries_total",
            "Replicas that were asked in place of another one, by how that one had failed.",
            {
                labels(endpoint=one.name, reason=reason): count
                for one in services
                for reason, count in one.tally.retries.items()
            },
        )
        page.counter(
            "flashcore_retries_denied_total",
            "Retries that were not made because their budget was spent.",
            {labels(endpoint=one.name): one.tally.unpaid_retries for one in services},
        )
        self._circuits(page, services)

    def _circuits(self, page: Exposition, services: tuple[HttpService, ...]) -> None:
        page.gauge(
            "flashcore_circuits",
            "Replicas by the state of their circuits; open ones are left alone.",
            {
                labels(endpoint=one.name, state=state.value): count
                for one in services
                for state, count in _states(one).items()
            },
        )
        page.counter(
            "flashcore_circuit_openings_total",
            "Circuits that opened.",
            {labels(endpoint=one.name): one.tally.openings for one in services},
        )
        page.gauge(
            "flashcore_panic",
            "Whether so many replicas fail that none of them is left alone.",
            {labels(endpoint=one.name): float(one.is_panicking) for one in services},
        )

    async def _jobs(self, page: Exposition, routes: Routes) -> None:
        names = [routing.route.name for routing in routes.jobs.values()]
        counted = {name: await self._broker.store.counts(name) for name in names}
        page.gauge(
            "flashcore_jobs",
            "Jobs that are kept, by status.",
            {
                labels(endpoint=name, status=status.value.lower()): count
                for name, counts in counted.items()
                for status, count in counts.by_status.items()
            },
        )
        page.gauge(
            "flashcore_jobs_oldest_queued_seconds",
            "How long the oldest queued job has waited.",
            {labels(endpoint=name): counts.oldest_queued for name, counts in counted.items()},
        )
        page.gauge(
            "flashcore_jobs_retried",
            "Jobs queued again, because a worker was lost or somebody asked. What nobody is to blame for is left out.",
            {labels(endpoint=name): counts.retried for name, counts in counted.items()},
        )
        self._attempts(page)
        page.gauge(
            "flashcore_workers",
            "Workers of queues that hold a connection, by what they do.",
            {
                labels(endpoint=name, state=state): count
                for name in counted
                for state, count in self._workers(name).items()
            },
        )

    def _attempts(self, page: Exposition) -> None:
        past = {(name, count.revision): count for name, counts in self._broker.past.items() for count in counts}
        ended = {**past, **self._broker.counts}
        page.counter(
            "flashcore_job_attempts_total",
            "Attempts at jobs that ended, by how.",
            {
                labels(endpoint=name, revision=_shown(count), outcome=outcome): value
                for (name, _), count in ended.items()
                for outcome, value in (("succeeded", count.requests - count.failures), ("failed", count.failures))
            },
        )
        page.histogram(
            "flashcore_job_attempt_duration_seconds",
            "From the moment a worker got a job to its result.",
            {
                labels(endpoint=name, revision=_shown(count)): (count.histogram(), count.seconds)
                for (name, _), count in ended.items()
            },
        )

    def _workers(self, name: EndpointName) -> dict[str, int]:
        connected = [one for one in self._broker.books.of(name) if one.link is not None]
        busy = sum(bool(one.attempts) for one in connected)
        return {"busy": busy, "idle": len(connected) - busy}


def _sides(routes: Routes) -> Iterator[tuple[str, SideCount]]:
    for service in routes.http.values():
        for count in service.counts.values():
            yield service.name, count


def _shown(count: SideCount) -> str:
    return count.revision[:_SHOWN_DIGITS]


def _states(service: HttpService) -> dict[CircuitState, int]:
    states = dict.fromkeys(CircuitState, 0)
    targets = () if service.routing is None else service.routing.targets
    for target in targets:
        states[target.circuit.state] += 1
    return states
