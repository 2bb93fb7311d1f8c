"""Scalers: say how many replicas an endpoint should have. Bounds, stabilization and what runs are the core's.

How unlike scalers satisfy it (each answers for the load of this moment; the core does not let the number flap):

* fixed: `goal`, so that the policy's or a person's number stands.
* request_count: what is in flight and queued, divided by the requests that one replica should have.
* queue_delay: one more while the oldest job waits for too long, 0 when there is nothing to do.
* by schedule: a function of `now` alone.
* by a forecast or an outside metric: keeps its own history between calls; a new leader begins without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.records import Part
from flashcore.model.declaration import Bounds
from flashcore.model.names import EndpointName

API = range(1, 2)
CAPABILITIES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ScaleView:
    """What a scaler may know; all gateways added up. What only a preview is asked, and its replicas, are left out."""

    endpoint: EndpointName
    now: float
    goal: int
    """What is wanted now."""
    ready: int
    bounds: Bounds
    in_flight: int
    """Requests or jobs being worked on."""
    queued: int
    oldest_queued: float
    """Seconds that the oldest waiting job or request has waited."""
    idle_for: float
    """Seconds since anything was in flight or queued; 0 while something is."""
    idle_timeout: float
    max_concurrency: int


class Scaler(Protocol):
    """Made by the part's factory from its options."""

    def desired(self, view: ScaleView) -> int:
        """How many replicas there should be; clamped to the bounds by the core."""
        ...


@hookspec
def flashcore_scalers() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer scalers."""
