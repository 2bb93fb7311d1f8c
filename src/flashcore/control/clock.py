"""The store's clock, as providers and the controller use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_LONGEST_SLEEP = 60.0
"""The store's clock and the event loop's drift apart; nobody sleeps longer than this without looking again."""


class StoreClock:
    """Seconds by `now`, usually a state backend's."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def now(self) -> float:
        """Seconds since 1970 by the store's clock."""
        return self._now()

    async def sleep_until(self, when: float) -> None:
        """Return at that time; at once when it has come."""
        while (remaining := when - self._now()) > 0:  # noqa: ASYNC110  # time passes, no event says so
            await asyncio.sleep(min(remaining, _LONGEST_SLEEP))
