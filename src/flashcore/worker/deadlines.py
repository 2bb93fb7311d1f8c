"""When jobs must have ended: one timer for all of them, since hardly any job is still here at its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from flashcore.model.names import JobId


class Deadlines:
    """The deadlines of jobs that run; `over` is told of those that are late. Belongs to one event loop."""

    def __init__(self, over: Callable[[Collection[JobId]], None]) -> None:
        self._over = over
        self._ends: dict[JobId, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set(self, job: JobId, seconds: float) -> None:
        """The job has so long from now."""
        loop = asyncio.get_running_loop()
        self._ends[job] = end = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_at(end, self._look)
        elif end < self._timer.when():
            self._timer.cancel()
            self._timer = loop.call_at(end, self._look)

    def drop(self, job: JobId) -> None:
        """It has ended. The timer stays: others may need it, and one look at nothing costs little."""
        self._ends.pop(job, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = [job for job, end in self._ends.items() if end <= now]
        for job in late:
            del self._ends[job]
        self._timer = loop.call_at(min(self._ends.values()), self._look) if self._ends else None
        if late:
            self._over(late)
