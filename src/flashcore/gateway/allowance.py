"""How many jobs an endpoint may have queued, and how many one caller may submit.

Looked at for every job, so neither asks the store. What is queued is counted here, job by job as they come and go: with
those that are on their way into the store, so that however many submit at once there is never one too many, and without
those that a worker has got, so that a queue that is worked off takes more at once. Each sweep puts right what this
gateway cannot know, as what others did.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flashcore.hookspecs.jobs import Claim, JobStore
from flashcore.model.errors import Refused
from flashcore.model.job import Claimed
from flashcore.model.names import EndpointName

WINDOW = 10.0
"""Seconds over which a caller's jobs are counted."""

_MOST_CALLERS = 10_000
"""Callers that are remembered; beyond them all begin anew."""


class TooManyJobs(Refused):
    """There is no room for another job now."""

    code = "too_many_jobs"

    def __init__(self, message: str, after: float) -> None:
        self.after = max(1, math.ceil(after))
        """Whole seconds, as a header tells them."""
        super().__init__(message, next_step=f"send it again in {self.after} s")


@dataclass(slots=True)
class _Queue:
    """One endpoint's."""

    queued: int = 0
    """Jobs in the store's queue, as far as is known."""
    is_counted: bool = False
    """The store has said how many there are; before, nothing was known of those of an earlier gateway."""
    coming: int = 0
    """Jobs that were taken in, and of which the store has not said that it has them."""
    asked: int = 0
    """Jobs that claims under way may take out."""
    came: int = 0
    """How many have ever come to be queued, and below it, how many are so no longer."""
    went: int = 0


class Stand(NamedTuple):
    """Of one endpoint, before its jobs are counted: see `Allowance.counted`."""

    came: int
    went: int


class Allowance:
    """One gateway's: the most jobs of an endpoint, and of a caller in a second; 0: no limit."""

    def __init__(self, queued: int, rate: float, recount: float, now: Callable[[], float] = time.monotonic) -> None:
        self._queued = queued
        self._rate = rate
        self._recount = recount
        self._now = now
        self._queues: defaultdict[EndpointName, _Queue] = defaultdict(_Queue)
        self._of_callers: dict[str, int] = {}
        self._since = now()

    def stand(self, endpoint: EndpointName) -> Stand:
        """What to say to `counted`; asked for before the store is."""
        queue = self._queues[endpoint]
        return Stand(queue.came, queue.went)

    def counted(self, endpoint: EndpointName, queued: int, since: Stand) -> None:
        """So many jobs were queued there, by the store, at some moment between `since` and now.

        What came or went in that time may be counted or not, as may jobs that are coming, and those that are claimed.
        """
        queue = self._queues[endpoint]
        least = queued - queue.coming - (queue.went - since.went)
        most = queued + queue.asked + (queue.came - since.came)
        queue.queued = min(max(queue.queued, least), most) if queue.is_counted else most
        queue.is_counted = True

    def forget(self, endpoint: EndpointName) -> None:
        """That endpoint is gone."""
        self._queues.pop(endpoint, None)

    def take(self, endpoint: EndpointName, caller: str) -> None:
        """One more job of that caller; `kept` or `refused` tells what came of it. Raises TooManyJobs: not counted."""
        queue = self._queues[endpoint]
        if self._queued and queue.queued + queue.coming >= self._queued:
            raise TooManyJobs(f"endpoint {endpoint} has {self._queued} jobs queued, which is its limit", self._recount)
        if self._rate:
            self._count(caller)
        queue.coming += 1

    def kept(self, endpoint: EndpointName) -> None:
        """A job that was taken in is stored."""
        queue = self._queues[endpoint]
        if queue.coming:
            queue.coming -= 1
        queue.queued += 1
        queue.came += 1

    def refused(self, endpoint: EndpointName) -> None:
        """The store has not taken a job, or has it for long."""
        queue = self._queues[endpoint]
        if queue.coming:
            queue.coming -= 1

    def asks(self, endpoint: EndpointName, count: int) -> None:
        """A claim for so many jobs begins."""
        self._queues[endpoint].asked += count

    def claimed(self, endpoint: EndpointName, asked: int, got: int) -> None:
        """It is over, and so many are queued no longer."""
        self._queues[endpoint].asked -= asked
        self.left(endpoint, got)

    def left(self, endpoint: EndpointName, jobs: int) -> None:
        """So many are queued no longer."""
        queue = self._queues[endpoint]
        queue.queued = max(0, queue.queued - jobs)
        queue.went += jobs

    def returned(self, endpoint: EndpointName) -> None:
        """A job is queued once more."""
        queue = self._queues[endpoint]
        queue.queued += 1
        queue.came += 1

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


@dataclass(frozen=True, slots=True)
class CountedClaims:
    """A store's claims, of which an allowance hears."""

    store: JobStore
    allowance: Allowance

    async def claim(self, claim: Claim) -> Sequence[Claimed]:
        """See JobStore."""
        claimed: Sequence[Claimed] = ()
        self.allowance.asks(claim.endpoint, claim.count)
        try:
            claimed = await self.store.claim(claim)
        finally:
            self.allowance.claimed(claim.endpoint, claim.count, len(claimed))
        return claimed

    def now(self) -> float:
        """See JobStore."""
        return self.store.now()
