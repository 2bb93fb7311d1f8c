"""Taking over a routing table: all of it or nothing, in one step."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from flashcore.gateway.http_service import DRAWS, HttpRouting, HttpService
from flashcore.gateway.routes import JobsRouting, Routes, jobs_routing
from flashcore.gateway.settings import Settings
from flashcore.gateway.targets import parse_address
from flashcore.hookspecs.resources import Ingress
from flashcore.hookspecs.routing import RoutingPolicy
from flashcore.model.errors import FlashcoreError
from flashcore.model.names import EndpointName
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, RoutingTable


class RoutingPolicies(Protocol):
    """Where routing policies come from."""

    def make(self, ref: PartRef) -> RoutingPolicy:
        """The policy that an endpoint names. Raises UnknownPart, InvalidOptions or PluginError."""
        ...


class TableRefused(FlashcoreError):
    """A table that this gateway cannot serve by; it goes on with the one it has."""

    code = "table_refused"


class LiveTable:
    """The routes that are served now, and the way to the next ones."""

    def __init__(
        self,
        policies: RoutingPolicies,
        loop: AbstractEventLoop,
        settings: Settings,
        changed: Callable[[EndpointName], None],
        hop_secret: str = "",
    ) -> None:
        self._hop_secret = hop_secret
        self.routes = Routes()
        self._policies = policies
        self._loop = loop
        self._settings = settings
        self._changed = changed
        self._listeners: list[Callable[[Routes, Routes], None]] = []

    def on_swap(self, listener: Callable[[Routes, Routes], None]) -> None:
        """Call `listener(old, new)` after each swap, in the same turn of the loop."""
        self._listeners.append(listener)

    def apply(self, table: RoutingTable) -> None:
        """Serve by `table` from now on. Raises TableRefused with every reason; then nothing has changed."""
        if table.version < self.routes.version:
            raise TableRefused(
                f"table {table.version} is older than table {self.routes.version}, which is being served",
                next_step="publish a newer version",
            )
        if reasons := list(problems(table)):
            raise TableRefused("; ".join(reasons))
        prepared = self._prepare(table)
        queues = (route for route in table.endpoints if route.ingress == Ingress.JOBS.value)
        jobs: dict[str, JobsRouting] = {route.name: jobs_routing(route) for route in queues}
        self._swap(table, prepared, jobs)

    def close(self) -> None:
        """Send away the requests that wait."""
        for service in self.routes.http.values():
            service.room.close()

    def _prepare(self, table: RoutingTable) -> list[tuple[HttpService, HttpRouting]]:
        """Resolve everything that can fail, all of it, before anything is changed."""
        prepared: list[tuple[HttpService, HttpRouting]] = []
        reasons: list[str] = []
        for route in table.endpoints:
            if route.ingress != Ingress.HTTP.value:
                continue
            service = self.routes.http.get(route.name) or HttpService(
                route.name, self._loop, self._settings, self._changed, self._hop_secret
            )
            try:
                prepared.append((service, service.prepare(route, self._policy(service, route))))
            except FlashcoreError as error:
                reasons.append(f"endpoint {route.name}: {error.message}")
        if reasons:
            raise TableRefused("; ".join(reasons), next_step="install the missing parts, then restart the gateway")
        return prepared

    def _policy(self, service: HttpService, route: EndpointRoute) -> RoutingPolicy:
        """The one that serves already, with all that it remembers, unless another is asked for."""
        if service.routing is not None and service.routing.route.routing == route.routing:
            return service.routing.policy
        return self._policies.make(route.routing)

    def _swap(
        self, table: RoutingTable, prepared: list[tuple[HttpService, HttpRouting]], jobs: Mapping[str, JobsRouting]
    ) -> None:
        old = self.routes
        self.routes = Routes(table, {service.name: service for service, _ in prepared}, jobs)
        for service, routing in prepared:
            service.adopt(routing)
        for name, service in old.http.items():
            if name not in self.routes.http:
                service.retire()
        for listener in self._listeners:
            listener(old, self.routes)


def problems(table: RoutingTable) -> Iterator[str]:
    """What is wrong with a table whatever parts there are, one sentence each."""
    names = Counter(route.name for route in table.endpoints)
    yield from (f"endpoint {name} stands in it {count} times" for name, count in names.items() if count > 1)
    known = {ingress.value for ingress in Ingress}
    for route in table.endpoints:
        if route.ingress not in known:
            yield f"endpoint {route.name}: no ingress {route.ingress!r}, there are {', '.join(sorted(known))}"
        yield from (f"endpoint {route.name}: {problem}" for problem in _side_problems(route))


def _side_problems(route: EndpointRoute) -> Iterator[str]:
    weights = [side.weight for side in route.sides if not side.preview]
    given = [weight for weight in weights if weight is not None]
    if given and (len(given) < len(weights) or sum(given) != DRAWS or min(given) < 0):
        yield f"the weights {weights} are neither all left out nor a sum of {DRAWS}"
    ids = Counter(replica.replica for side in route.sides for replica in side.replicas)
    yield from (f"replica {name} stands in it {count} times" for name, count in ids.items() if count > 1)
    if route.ingress == Ingress.HTTP.value:
        yield from _address_problems(route)


def _address_problems(route: EndpointRoute) -> Iterator[str]:
    for replica in (replica for side in route.sides for replica in side.replicas):
        try:
            parse_address(replica.address or "")
        except ValueError as error:
            yield f"replica {replica.replica}: {error}"
