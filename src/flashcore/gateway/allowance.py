"""How many jobs an endpoint may have queued, and how many one caller may submit.

Looked at for every job, so neither asks the store: what is queued is what a sweep counted, and all that came since.
That may be too much until the next sweep, and it is then that a caller who was refused is told to come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flashcore.model.errors import Refused
from flashcore.model.names import EndpointName

WINDOW = 10.0
"""Seconds over which a caller's jobs are counted."""

_MOST_CALLERS = 10_000
"""Callers that are remembered; beyond them all begin anew."""


class TooManyJobs(Refused):
    """There is no room for another job now."""

    code = "too_many_jobs"

    def __init__(self, message: str, after: float) -> None:
        super().__init__(message, next_step=f"send it again in {max(1.0, after):.0f} s")
        self.after = after


class Allowance:
    """One gateway's: the most jobs of an endpoint, and of a caller in a second; 0: no limit."""

    def __init__(self, queued: int, rate: float, recount: float, now: Callable[[], float] = time.monotonic) -> None:
        self._queued = queued
        self._rate = rate
        self._recount = recount
        self._now = now
        self._guess: dict[EndpointName, int] = {}
        self._of_callers: dict[str, int] = {}
        self._since = now()

    def counted(self, endpoint: EndpointName, queued: int) -> None:
        """So many jobs are queued there, by the store."""
        self._guess[endpoint] = queued

    def forget(self, endpoint: EndpointName) -> None:
        """That endpoint is gone."""
        self._guess.pop(endpoint, None)

    def take(self, endpoint: EndpointName, caller: str) -> None:
        """One more job of that caller. Raises TooManyJobs; then it was not counted."""
        guess = self._guess.get(endpoint, 0)
        if self._queued and guess >= self._queued:
            raise TooManyJobs(f"endpoint {endpoint} has {self._queued} jobs queued, which is its limit", self._recount)
        if self._rate:
            self._count(caller)
        self._guess[endpoint] = guess + 1

    def _count(self, caller: str) -> None:
        now = self._now()
        if now - self._since >= WINDOW or len(self._of_callers) > _MOST_CALLERS:
            self._of_callers.clear()
            self._since = now
        had = self._of_callers.get(caller, 0)
        if had >= self._rate * WINDOW:
            left = max(1.0, self._since + WINDOW - now)
            raise TooManyJobs(f"one caller may submit {self._rate:g} jobs a second, over {WINDOW:.0f} s", left)
        self._of_callers[caller] = had + 1
