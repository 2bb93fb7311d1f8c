"""Taking over a routing table: all of it or nothing, in one step."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

from flashcore.gateway.http_service import DRAWS, HttpRouting, HttpService
from flashcore.gateway.routes import JobsRouting, Routes, Swap, jobs_routing
from flashcore.gateway.settings import Settings
from flashcore.gateway.targets import parse_address
from flashcore.hookspecs.resources import Ingress
from flashcore.hookspecs.routing import RoutingPolicy
from flashcore.model.errors import FlashcoreError
from flashcore.model.names import EndpointName
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, RoutingTable, TableChange, change_between, changed_table

T = TypeVar("T")


class RoutingPolicies(Protocol):
    """Where routing policies come from."""

    def make(self, ref: PartRef) -> RoutingPolicy:
        """The policy that an endpoint names. Raises UnknownPart, InvalidOptions or PluginError."""
        ...


class TableRefused(FlashcoreError):
    """A table that this gateway cannot serve by; it goes on with the one it has."""

    code = "table_refused"


class OtherBase(TableRefused):
    """A change of another table than the one that is being served: the whole table is needed."""

    code = "table_has_other_base"


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
        self._listeners: list[Callable[[Swap], None]] = []

    def on_swap(self, listener: Callable[[Swap], None]) -> None:
        """Call the listener after each swap, in the same turn of the loop."""
        self._listeners.append(listener)

    def apply(self, table: RoutingTable) -> None:
        """Serve by `table` from now on. Raises TableRefused with every reason; then nothing has changed.

        Only what differs from the present table is built anew.
        """
        self._require_newer(table.version)
        if reasons := list(repetitions(route.name for route in table.endpoints)):
            raise TableRefused("; ".join(reasons))
        self._change(change_between(self.routes.table, table))

    def amend(self, change: TableChange) -> None:
        """Serve by what the change makes of the present table. Raises OtherBase, and TableRefused as `apply`."""
        self._require_newer(change.version)
        if change.base != self.routes.version:
            raise OtherBase(f"it changes table {change.base}, and table {self.routes.version} is being served")
        if reasons := list(repetitions((*(route.name for route in change.put), *change.removed))):
            raise TableRefused("; ".join(reasons))
        self._change(change)

    def close(self) -> None:
        """Send away the requests that wait."""
        for service in self.routes.http.values():
            service.room.close()

    def _require_newer(self, version: int) -> None:
        if version < self.routes.version:
            raise TableRefused(
                f"table {version} is older than table {self.routes.version}, which is being served",
                next_step="publish a newer version",
            )

    def _change(self, change: TableChange) -> None:
        if reasons := [problem for route in change.put for problem in problems(route)]:
            raise TableRefused("; ".join(reasons))
        prepared = self._prepare(change.put)
        queues = [route for route in change.put if route.ingress == Ingress.JOBS.value]
        self._swap(change, prepared, {route.name: jobs_routing(route) for route in queues})

    def _prepare(self, routes: Iterable[EndpointRoute]) -> list[tuple[HttpService, HttpRouting]]:
        """Resolve everything that can fail, all of it, before anything is changed."""
        prepared: list[tuple[HttpService, HttpRouting]] = []
        reasons: list[str] = []
        for route in routes:
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
        self,
        change: TableChange,
        prepared: list[tuple[HttpService, HttpRouting]],
        jobs: Mapping[str, JobsRouting],
    ) -> None:
        old = self.routes
        touched = frozenset((*change.removed, *(route.name for route in change.put)))
        http: dict[str, HttpService] = {service.name: service for service, _ in prepared}
        self.routes = Routes(
            changed_table(old.table, change), _replaced(old.http, touched, http), _replaced(old.jobs, touched, jobs)
        )
        for service, routing in prepared:
            service.adopt(routing)
        for name, service in ((name, old.http[name]) for name in touched if name in old.http):
            if name not in http:
                service.retire()
        swap = Swap(old, self.routes, touched)
        for listener in self._listeners:
            listener(swap)


def _replaced(old: Mapping[str, T], touched: frozenset[str], new: Mapping[str, T]) -> dict[str, T]:
    """What there was, with what is new in place of all that is touched."""
    made = {**old, **new}
    for name in touched:
        if name not in new:
            made.pop(name, None)
    return made


def repetitions(names: Iterable[EndpointName]) -> Iterator[str]:
    """Which names stand in a table more than once, one sentence each."""
    counts = Counter(names)
    yield from (f"endpoint {name} stands in it {count} times" for name, count in counts.items() if count > 1)


def problems(route: EndpointRoute) -> Iterator[str]:
    """What is wrong with a route whatever parts there are, one sentence each."""
    known = {ingress.value for ingress in Ingress}
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
