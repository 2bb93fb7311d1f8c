"""What a gateway answers to GET /manifest, and what its callers read: one form for both."""

from __future__ import annotations

from dataclasses import dataclass

from flashcore.model.names import EndpointName


@dataclass(frozen=True, slots=True)
class ServedEndpoint:
    """An endpoint that can be called."""

    name: EndpointName
    ingress: str
    """`jobs` or `http`."""
    url: str
    ready: int = 0
    """Replicas that calls can go to now."""


@dataclass(frozen=True, slots=True)
class ServedManifest:
    """All endpoints of an environment that are there so far; `version` is that of the gateway's table."""

    version: int
    endpoints: tuple[ServedEndpoint, ...] = ()

    def endpoint(self, name: str) -> ServedEndpoint | None:
        """The endpoint of that name."""
        return next((one for one in self.endpoints if one.name == name), None)
