"""What the control plane is told of each endpoint: at once when something changes, then not too often.

At once matters: a request for an endpoint at zero waits until the control plane has heard of it. So each endpoint has a
rest of its own, and may be looked at twice before it: the second time often is such a request, just after the last
replica has gone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
from collections.abc import Callable

from flashcore.gateway.broker import Broker
from flashcore.gateway.http_service import HttpService
from flashcore.gateway.routes import JobsRouting, Routes
from flashcore.model.errors import StateError
from flashcore.model.job import JobCounts, JobStatus, Waiting
from flashcore.model.names import EndpointName
from flashcore.model.table import EndpointSignals, SideRoute, SideSignals

_log = logging.getLogger(__name__)

AGEING = 1.0
"""While something waits its age grows, and is told this often (seconds)."""


class ChangedEndpoints:
    """The endpoints of which something else is to be told now."""

    def __init__(self) -> None:
        self._names: set[EndpointName] = set()
        self._any = asyncio.Event()
        self._resting: dict[EndpointName, bool] = {}
        """Those that nobody is woken for at present, and whether something changed meanwhile."""

    def add(self, name: EndpointName) -> None:
        """Something of this endpoint changed. On the path of every request: cheap."""
        if name in self._resting:
            self._resting[name] = True
            return
        if not self._names:
            self._any.set()
        self._names.add(name)

    def rest(self, name: EndpointName, seconds: float) -> None:
        """Wake nobody for this endpoint so long; what changes meanwhile counts then."""
        if name not in self._resting:
            self._resting[name] = name in self._names
            self._names.discard(name)
            asyncio.get_running_loop().call_later(seconds, self._rested, name)

    def _rested(self, name: EndpointName) -> None:
        if self._resting.pop(name):
            self.add(name)

    async def take(self) -> set[EndpointName]:
        """Wait for some, and begin anew."""
        await self._any.wait()
        self._any.clear()
        names, self._names = self._names, set()
        return names


class Signaller:
    """Tells `tell` what changed."""

    def __init__(
        self,
        gateway: str,
        broker: Broker,
        routes: Callable[[], Routes],
        changed: ChangedEndpoints,
        tell: Callable[[EndpointName, EndpointSignals], None],
    ) -> None:
        self._gateway = gateway
        self._broker = broker
        self._routes = routes
        self._changed = changed
        self._tell = tell
        self._last: dict[EndpointName, EndpointSignals] = {}
        self._looked: dict[EndpointName, float] = {}
        """When each was last looked at, by the loop's clock."""
        self._ageing: set[EndpointName] = set()

    async def run(self, interval: float) -> None:
        """Tell what changes, of an endpoint that keeps changing once in `interval` seconds, until cancelled."""
        while True:
            for name in await self._changed.take():
                self._pace(name, interval)
                try:
                    await self._tell_of(name)
                except StateError as error:
                    _log.warning("nothing can be told of %s: %s", name, error.message)
                    self._again_later(name)

    def repeat(self) -> None:
        """Somebody new listens: tell everything again."""
        self._last.clear()
        for name in self._routes().names:
            self._changed.add(name)

    def _pace(self, name: EndpointName, interval: float) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked.get(name, -math.inf) < 2 * interval:
            self._changed.rest(name, interval)
        self._looked[name] = now

    async def _tell_of(self, name: EndpointName) -> None:
        signals = await self._signals(name)
        if signals is None:
            self._last.pop(name, None)
            self._looked.pop(name, None)
            return
        if signals.queued:
            self._again_later(name)
        if signals != self._last.get(name):
            self._last[name] = signals
            self._tell(name, signals)

    def _again_later(self, name: EndpointName) -> None:
        if name not in self._ageing:
            self._ageing.add(name)
            asyncio.get_running_loop().call_later(AGEING, self._aged, name)

    def _aged(self, name: EndpointName) -> None:
        self._ageing.discard(name)
        self._changed.add(name)

    async def _signals(self, name: EndpointName) -> EndpointSignals | None:
        routes = self._routes()
        if (service := routes.http.get(name)) is not None:
            return http_signals(service, self._gateway)
        if (routing := routes.jobs.get(name)) is not None:
            return await jobs_signals(self._broker, routing, self._gateway)
        return None


def http_signals(service: HttpService, gateway: str) -> EndpointSignals:
    """What is known of an HTTP endpoint."""
    preview = next((side for side in _sides(service) if side.preview), None)
    waiting = Waiting(len(service.room), service.room.oldest)
    for_preview = 0
    if preview is not None:
        waiting = service.room.waiting(lambda request: not request.for_preview)
        for_preview = len(service.room) - waiting.jobs
    return EndpointSignals(
        tuple(_with_queue(count.signals(), preview, for_preview) for count in service.counts.values()),
        queued=waiting.jobs,
        oldest_queued=waiting.oldest,
        gateway=gateway,
    )


def _sides(service: HttpService) -> tuple[SideRoute, ...]:
    return () if service.routing is None else service.routing.route.sides


def _with_queue(signals: SideSignals, preview: SideRoute | None, queued: int) -> SideSignals:
    is_preview = preview is not None and preview.revision == signals.revision
    return dataclasses.replace(signals, queued=queued) if is_preview and queued else signals


async def jobs_signals(broker: Broker, routing: JobsRouting, gateway: str) -> EndpointSignals:
    """What is known of a queue endpoint. Jobs of low priority wait for nobody to be started. Raises StateError."""
    name = routing.route.name
    workers = broker.books.of(name)
    revisions = {side.revision for side in routing.route.sides} | {worker.revision for worker in workers}
    for revision in revisions:
        count = broker.side(name, revision)
        count.in_flight = sum(len(worker.attempts) for worker in workers if worker.revision == revision)
    counts = await broker.store.counts(name)
    preview = next((side for side in routing.route.sides if side.preview), None)
    waiting, for_preview = _pressing(counts, preview)
    sides = (broker.side(name, revision).signals() for revision in sorted(revisions))
    return EndpointSignals(
        tuple(_with_queue(side, preview, for_preview) for side in sides),
        queued=waiting.jobs,
        oldest_queued=waiting.oldest,
        connected=tuple(worker.replica for worker in workers if worker.link is not None),
        gateway=gateway,
    )


def _pressing(counts: JobCounts, preview: SideRoute | None) -> tuple[Waiting, int]:
    """Queued jobs that somebody is to be started for, and how many beside them are for the preview alone."""
    if preview is None or preview.revision not in counts.pressing:
        queued = counts.by_status.get(JobStatus.IN_QUEUE, 0) - counts.low_priority
        return Waiting(queued, counts.oldest_pressing), 0
    others = [waiting for pin, waiting in counts.pressing.items() if pin != preview.revision]
    both = Waiting(sum(one.jobs for one in others), max((one.oldest for one in others), default=0.0))
    return both, counts.pressing[preview.revision].jobs
