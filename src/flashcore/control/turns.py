"""Who asked later wins: a deploy whose checks took longer than a later request is dropped, not carried out after it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from flashcore.control.refusals import Overtaken
from flashcore.model.names import EndpointName


class Turns:
    """Numbers for requests in the order in which they came, and the latest that was carried out for each endpoint."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._latest: dict[EndpointName, int] = {}

    def take(self) -> int:
        """The number of a request that has just come."""
        return next(self._numbers)

    def require_latest(self, turn: int, endpoints: Iterable[EndpointName]) -> None:
        """Raise Overtaken if a request that came later was carried out already for one of the endpoints."""
        for endpoint in endpoints:
            if self._latest.get(endpoint, 0) > turn:
                raise Overtaken(
                    f"{endpoint}: a later request was carried out while this one was being checked",
                    next_step=f"look at what runs, and deploy again if it is not that: flashcore status {endpoint}",
                    endpoint=endpoint,
                )

    def note(self, turn: int, endpoint: EndpointName) -> None:
        """The request was carried out for the endpoint."""
        self._latest[endpoint] = max(turn, self._latest.get(endpoint, 0))
