"""The answer to who asks for an endpoint that is not there: which one was perhaps meant.

To look for that takes milliseconds, in which nobody else is served: a hundred times as long as to pass a request on.
So it is done now and then. A client that asks for the same mistake over and over has been told, and a frame of a
thousand mistakes is nothing that somebody has mistyped.

Before there is a routing table nobody knows which endpoints there are: nothing is a mistake then.
"""

from __future__ import annotations

import time
from bisect import bisect
from collections.abc import Callable, Sequence

from flashcore.gateway.http.respond import Response, error_response
from flashcore.registry.near import near_matches

LOOKS_AT_ONCE = 50
LOOKS_PER_SECOND = 5.0

_LONGEST_NAME = 100
"""Characters of what somebody took for an endpoint's name, which has 40 at most."""

_COMPARED = 100
"""Names that a misspelt one is compared with."""


class Misspelt:
    """One gateway's."""

    def __init__(self, has_table: Callable[[], bool] = lambda: True, now: Callable[[], float] = time.monotonic) -> None:
        self._has_table = has_table
        self._now = now
        self._looks = float(LOOKS_AT_ONCE)
        self._since = now()

    def answer(self, name: str, known: tuple[str, ...]) -> Response:
        """No such endpoint, and which were perhaps meant."""
        if not self._has_table():
            message = "This gateway has no routing table yet. The control plane sends it: send the request again."
            return error_response(503, "gateway_starting", message, ((b"retry-after", b"1"),))
        near = near_matches(name, _neighbours(name, known)) if len(name) <= _LONGEST_NAME and self._may_look() else ()
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        message = f"There is no endpoint {_shortened(name)!r}{hint}"
        return error_response(404, "unknown_endpoint", message, near_matches=list(near))

    def _may_look(self) -> bool:
        now = self._now()
        self._looks = min(LOOKS_AT_ONCE, self._looks + (now - self._since) * LOOKS_PER_SECOND)
        self._since = now
        if self._looks < 1:
            return False
        self._looks -= 1
        return True


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."


def _neighbours(name: str, known: tuple[str, ...]) -> Sequence[str]:
    """Those among which a name is looked for: of thousands each would cost its part of a second."""
    if len(known) <= _COMPARED:
        return known
    ordered = sorted(known)
    at = bisect(ordered, name)
    return ordered[max(0, at - _COMPARED // 2) : at + _COMPARED // 2]
