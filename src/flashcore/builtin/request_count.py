"""request_count: so many replicas that each has some requests in flight, waiting ones included."""

from __future__ import annotations

import math

from flashcore.hookspecs.scalers import ScaleView
from flashcore.model.errors import InvalidOptions
from flashcore.model.parts import RequestCount


class RequestCountScaler:
    """Raises InvalidOptions for fewer than 1 request per replica."""

    def __init__(self, options: RequestCount) -> None:
        if options.requests < 1:
            raise InvalidOptions(
                f"scaler 'request_count', option requests: must be at least 1, not {options.requests}",
                next_step="give the number of requests that one replica should have in flight",
                path="requests",
            )
        self._requests = options.requests

    def desired(self, view: ScaleView) -> int:
        """None once idle for the idle timeout; one is kept until then, if there is one."""
        if view.in_flight or view.queued:
            return math.ceil((view.in_flight + view.queued) / self._requests)
        return min(view.goal, 1) if view.idle_for < view.idle_timeout else 0
