"""Routes as text: each is written once, and read only where it says something else than the one that is served.

With ten thousands of replicas a table takes seconds to read, in which no request is answered; and of a table that comes
whole, because a control plane is new for instance, nearly all is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flashcore.model.codec import from_json, one_level
from flashcore.model.names import EndpointName
from flashcore.model.table import EndpointRoute, RoutingTable


@dataclass(frozen=True, slots=True)
class _Shell:
    """A table whose routes are not read yet."""

    version: int
    endpoints: tuple[Any, ...]


class RouteTexts:
    """The JSON of routes, remembered for those that were asked for last."""

    def __init__(self) -> None:
        self._known: dict[EndpointName, tuple[EndpointRoute, bytes]] = {}

    def of(self, route: EndpointRoute) -> bytes:
        """The route's JSON."""
        known = self._known.get(route.name)
        if known is None or known[0] is not route:
            known = self._known[route.name] = route, _text(route)
        return known[1]

    def keep_only(self, table: RoutingTable) -> None:
        """Forget the routes of endpoints that are not in the table."""
        names = {route.name for route in table.endpoints}
        self._known = {name: known for name, known in self._known.items() if name in names}

    def read(self, value: Mapping[str, Any], served: RoutingTable) -> RoutingTable:
        """A table from its JSON form; its routes are the served ones where they say the same. Raises CodecError."""
        shell = from_json(_Shell, value)
        routes = {route.name: route for route in served.endpoints}
        read = tuple(self._read(f"endpoints[{at}]", one, routes) for at, one in enumerate(shell.endpoints))
        return RoutingTable(shell.version, read)

    def _read(self, path: str, value: Any, served: Mapping[EndpointName, EndpointRoute]) -> EndpointRoute:
        known = served.get(EndpointName(value["name"])) if isinstance(value, dict) and "name" in value else None
        if known is not None and self.of(known) == _text(value):
            return known
        return from_json(EndpointRoute, value, path)


def _text(value: Any) -> bytes:
    return json.dumps(value, default=one_level, separators=(",", ":")).encode()
