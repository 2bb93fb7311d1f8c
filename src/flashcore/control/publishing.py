"""The routing table of the environment, and which gateways still send work to a replica that has left it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from math import inf

from flashcore.hookspecs.providers import Clock
from flashcore.model.errors import FlashcoreError
from flashcore.model.names import EndpointName, ReplicaId
from flashcore.model.table import TABLES_PER_EPOCH, EndpointRoute, RoutingTable
from flashcore.wire.dataplane import DataPlane

RETRY = 1.0
"""Seconds before a table that could not be given is given again."""


class Publisher:
    """Puts every deployment's route into one table. Only replicas that left a table need to be waited for.

    Versions begin with the number of the leader's epoch, so that a new leader's tables are newer than all of the one
    before it, without anything being stored.
    """

    def __init__(self, dataplane: DataPlane, clock: Clock, epoch: int) -> None:
        self._dataplane = dataplane
        self._clock = clock
        self._routes: dict[EndpointName, EndpointRoute] = {}
        self._in_order = True
        """Whether the routes are in the order of their names."""
        self._changed_at: dict[EndpointName, int] = {}
        self._listed: dict[EndpointName, frozenset[ReplicaId]] = {}
        self._left: dict[ReplicaId, int] = {}
        self._awaited: dict[EndpointName, int] = {}
        """The first version by which somebody waits for all gateways to serve."""
        self._version = self._first = epoch * TABLES_PER_EPOCH + 1
        self._due = asyncio.Event()
        self.trouble: str | None = None
        """Why gateways cannot be reached at present."""

    def put(self, endpoint: EndpointName, route: EndpointRoute | None) -> None:
        """Take an endpoint's route over for the next table, None to take it out."""
        if self._routes.get(endpoint) == route:
            return
        if route is None:
            del self._routes[endpoint]
        else:
            self._in_order = self._in_order and endpoint in self._routes
            self._routes[endpoint] = route
        version = self._next_version()
        listed = _listed(route)
        for replica in self._listed.get(endpoint, frozenset()) - listed:
            self._left[replica] = version
        for replica in listed:
            self._left.pop(replica, None)
        self._listed[endpoint] = listed
        self._changed_at[endpoint] = version
        self._due.set()

    def forget_endpoint(self, endpoint: EndpointName) -> None:
        """Nothing is left of the endpoint."""
        self.put(endpoint, None)
        self._listed.pop(endpoint, None)
        self._awaited.pop(endpoint, None)
        self._changed_at.pop(endpoint, None)

    async def run(self) -> None:
        """Give each new table to the gateways, for ever. What changes within one moment goes out as one table.

        The first table of this leadership is published whatever is in it.
        """
        self._due.set()
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._dataplane.publish(self.table)
                self.trouble = None
            except FlashcoreError as error:
                self.trouble = f"gateways cannot be told of the routing table: {error.message}"
                self._due.set()
                await self._clock.sleep_until(self._clock.now() + RETRY)

    def is_free(self, endpoint: EndpointName, replica: ReplicaId) -> bool:
        """Whether every gateway has a table without the replica. True with no gateway: nobody sends it anything."""
        if replica in self._listed.get(endpoint, frozenset()):
            return False
        version = self._left.get(replica, self._first)
        return all(gateway.applied >= version for gateway in self._dataplane.gateways())

    def await_free(self, endpoint: EndpointName, replica: ReplicaId) -> None:
        """Have `take_free` give the endpoint once the replica may be free."""
        version = self._left.get(replica, self._first)
        self._awaited[endpoint] = min(version, self._awaited.get(endpoint, version))

    def take_free(self) -> tuple[EndpointName, ...]:
        """The endpoints of which a replica that was awaited may be free now; they are not given again."""
        applied = min((gateway.applied for gateway in self._dataplane.gateways()), default=inf)
        free = tuple(endpoint for endpoint, version in self._awaited.items() if version <= applied)
        for endpoint in free:
            del self._awaited[endpoint]
        return free

    def forget(self, replicas: Iterable[ReplicaId]) -> None:
        """The replicas are gone."""
        for replica in replicas:
            self._left.pop(replica, None)

    @property
    def is_refused(self) -> bool:
        """Whether any gateway refuses a table: most of the time none does, and nobody's refusals need be asked for."""
        return any(gateway.refused > gateway.applied for gateway in self._dataplane.gateways())

    def refusals(self, endpoint: EndpointName) -> tuple[str, ...]:
        """What gateways say that refuse the endpoint's newest route and serve by an older table."""
        since = self._changed_at.get(endpoint, 0)
        return tuple(
            f"gateway {gateway.gateway} refuses the routing table: {gateway.reason}"
            for gateway in self._dataplane.gateways()
            if gateway.refused > gateway.applied and gateway.refused >= since > gateway.applied
        )

    def behind(self, endpoint: EndpointName) -> tuple[str, ...]:
        """The gateways that have neither taken over nor refused the endpoint's newest route."""
        since = self._changed_at.get(endpoint, 0)
        return tuple(
            gateway.gateway for gateway in self._dataplane.gateways() if max(gateway.applied, gateway.refused) < since
        )

    def route(self, endpoint: EndpointName) -> EndpointRoute | None:
        """The endpoint's part of the present table."""
        return self._routes.get(endpoint)

    @property
    def table(self) -> RoutingTable:
        """The present table."""
        if not self._in_order:
            self._routes = dict(sorted(self._routes.items()))
            self._in_order = True
        return RoutingTable(self._version, tuple(self._routes.values()))

    def _next_version(self) -> int:
        self._version += 1
        return self._version


def _listed(route: EndpointRoute | None) -> frozenset[ReplicaId]:
    if route is None:
        return frozenset()
    return frozenset(replica.replica for side in route.sides for replica in side.replicas)
