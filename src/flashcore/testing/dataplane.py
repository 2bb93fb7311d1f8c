"""The data plane in memory: gateways that take over each table after a while, or refuse it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from flashcore.control.news import NewsDesk
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.table import EndpointRoute, EndpointSignals, RoutingTable, SideSignals
from flashcore.wire.dataplane import GatewayState
from flashcore.wire.news import News


@dataclass(slots=True)
class TwinGateway:
    """One gateway. Its fields may be changed while it runs."""

    name: str
    delay: float = 0.01
    """Seconds from a table to its being in use; infinite for a gateway that hangs."""
    refuses: str = ""
    """Why it refuses every table; empty for one that takes them."""
    table: RoutingTable = field(default_factory=RoutingTable)
    refused: int = 0
    reason: str = ""

    @property
    def state(self) -> GatewayState:
        """As the controller sees it."""
        return GatewayState(self.name, self.table.version, self.refused, self.reason)


def _nobody_cares(_table: RoutingTable) -> None:
    """For gateways that nobody watches."""


def _nobody_looks(_gateway: TwinGateway) -> None:
    """For gateways that nobody looks at."""


class TwinDataPlane:
    """A DataPlane. `gateways` and what they say are set by whoever tests."""

    def __init__(self, gateways: Iterable[TwinGateway] = ()) -> None:
        self.twins: dict[str, TwinGateway] = {gateway.name: gateway for gateway in gateways}
        self.tables: list[RoutingTable] = []
        """Every table that was published, oldest first."""
        self.told: Callable[[RoutingTable], None] = _nobody_cares
        """Told of each table as it is published."""
        self.taking_over: Callable[[TwinGateway], None] = _nobody_looks
        """Told of each gateway that is about to take a table over."""
        self._signals: dict[EndpointName, tuple[EndpointSignals, ...]] = {}
        self._news = NewsDesk()
        self._tasks: set[asyncio.Task[None]] = set()

    async def publish(self, table: RoutingTable) -> None:
        """See DataPlane."""
        self.tables.append(table)
        self.told(table)
        for gateway in self.twins.values():
            self._begin_to_take_over(gateway, table)

    def gateways(self) -> tuple[GatewayState, ...]:
        """See DataPlane."""
        return tuple(gateway.state for gateway in self.twins.values())

    def signals(self, endpoint: EndpointName) -> tuple[EndpointSignals, ...]:
        """See DataPlane."""
        return self._signals.get(endpoint, ())

    def changes(self) -> AsyncGenerator[News, None]:
        """See DataPlane."""
        return self._news.heard()

    # What a test does to it

    def connect(self, gateway: TwinGateway) -> None:
        """A gateway comes, and is given the newest table."""
        self.twins[gateway.name] = gateway
        if self.tables:
            gateway.table = self.tables[-1]
        self._news.tell_of_gateways()

    def disconnect(self, name: str) -> None:
        """A gateway goes."""
        del self.twins[name]
        self._news.tell_of_gateways()

    def say(self, endpoint: str, *, in_flight: int = 0, queued: int = 0, oldest_queued: float = 0.0) -> None:
        """Let the first gateway see that much work."""
        sides = (SideSignals(revision=RevisionId(""), in_flight=in_flight),) if in_flight else ()
        gateway = next(iter(self.twins), "")
        said = EndpointSignals(sides, queued=queued, oldest_queued=oldest_queued, gateway=gateway)
        self.report({EndpointName(endpoint): (said,)})

    def report(self, signals: Mapping[EndpointName, tuple[EndpointSignals, ...]]) -> None:
        """Let gateways say that of these endpoints."""
        self._signals.update(signals)
        self._news.tell_of_endpoints(signals)

    def hang(self, name: str) -> None:
        """A gateway goes on by the table that it has, and hears of no other."""
        self.twins[name].delay = float("inf")

    def heal(self, name: str, delay: float = 0.01) -> None:
        """A gateway that hung takes the newest table over."""
        gateway = self.twins[name]
        gateway.delay = delay
        if self.tables:
            self._begin_to_take_over(gateway, self.tables[-1])

    @property
    def table(self) -> RoutingTable:
        """The newest table."""
        return self.tables[-1] if self.tables else RoutingTable()

    def route(self, endpoint: str) -> EndpointRoute | None:
        """An endpoint's part of the newest table."""
        return next((route for route in self.table.endpoints if route.name == endpoint), None)

    def serving(self, endpoint: str) -> frozenset[ReplicaId]:
        """The replicas that some gateway may send ordinary calls of an endpoint to, by whichever table it has."""
        return frozenset(
            replica.replica
            for gateway in self.twins.values()
            for route in gateway.table.endpoints
            if route.name == endpoint
            for side in route.sides
            if not side.preview
            for replica in side.replicas
        )

    def _begin_to_take_over(self, gateway: TwinGateway, table: RoutingTable) -> None:
        task = asyncio.get_running_loop().create_task(self._take_over(gateway, table))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_over(self, gateway: TwinGateway, table: RoutingTable) -> None:
        if gateway.delay == float("inf"):
            return
        await asyncio.sleep(gateway.delay)
        if table.version <= gateway.table.version or gateway.delay == float("inf"):
            return
        self.taking_over(gateway)
        if gateway.refuses:
            gateway.refused, gateway.reason = table.version, gateway.refuses
        else:
            gateway.table, gateway.reason = table, ""
        self._news.tell_of_gateways()
