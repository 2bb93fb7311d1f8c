"""The gateway's own small routes."""

from __future__ import annotations

from collections.abc import Callable

from flashcore.gateway.http.respond import Request, Response, json_response
from flashcore.gateway.readiness import Readiness
from flashcore.gateway.routes import Routes
from flashcore.hookspecs.resources import Ingress
from flashcore.model.codec import to_json
from flashcore.model.table import EndpointRoute
from flashcore.wire.served import ServedEndpoint, ServedManifest


class LocalRoutes:
    """Whether the gateway lives, whether it is to be sent anything, and what it serves."""

    def __init__(self, routes: Callable[[], Routes], own_url: Callable[[], str]) -> None:
        self.readiness = Readiness()
        self._routes = routes
        self._own_url = own_url

    def ping(self, _: Request) -> Response:
        """It lives."""
        return json_response(200, {"status": "ok", "table": self._routes().version})

    def live(self, _: Request) -> Response:
        """It lives, also while it drains: who would start it again for that would cut requests off."""
        return json_response(200, {"status": "draining" if self.readiness.draining else "ok"})

    def ready(self, _: Request) -> Response:
        """Whether new requests are to come here: with a table to serve them by, until it drains."""
        self.readiness.asked()
        if self.readiness.draining:
            return json_response(503, {"status": "draining"})
        if not self._routes().version:
            return json_response(503, {"status": "starting", "reason": "there is no routing table yet"})
        return json_response(200, {"status": "ready"})

    def manifest(self, request: Request) -> Response:
        """All endpoints of the last table, and where each is called."""
        routes = self._routes()
        base = request.base(request.head) or self._own_url()
        served = ServedManifest(routes.version, tuple(_served(base, route) for route in routes.table.endpoints))
        return json_response(200, to_json(served))


def _served(base: str, route: EndpointRoute) -> ServedEndpoint:
    ready = sum(len(side.replicas) for side in route.sides if not side.preview)
    return ServedEndpoint(route.name, route.ingress, _url(base, route), ready)


def _url(base: str, route: EndpointRoute) -> str:
    return f"{base}/v2/{route.name}" if route.ingress == Ingress.JOBS.value else f"{base}/{route.name}"
