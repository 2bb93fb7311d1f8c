"""Telling those who share out requests among gateways that this one is about to end, while it still takes them."""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST_NOTICE = 5.0
"""Seconds that a gateway goes on accepting once it was told to end, at most."""

WATCHED = 60.0
"""Somebody who asked for the readiness so many seconds ago is expected to ask again."""


class Readiness:
    """Whether requests are to come here, and whether anybody asks."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.draining = False
        self._now = now
        self._asked_at: float | None = None

    def asked(self) -> None:
        """Somebody wanted to know."""
        self._asked_at = self._now()

    def notice(self, grace: float) -> float:
        """Seconds for which a gateway that has `grace` goes on accepting, so that balancers see that it drains.

        S44: half of the grace, 5 seconds at most; none where nobody asks for the readiness, who could learn nothing.
        """
        watched = self._asked_at is not None and self._now() - self._asked_at <= WATCHED
        return min(grace / 2, LONGEST_NOTICE) if watched else 0.0
