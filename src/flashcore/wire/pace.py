"""How many jobs a worker of RunPod's SDK is given when it asks.

It sleeps for a second after each answer that fills all its slots. Its rate is therefore one batch a second, however
short the jobs are. Where jobs are known to be short, two ways around that need nothing of the SDK:

* few slots: a longer list than it asked for. It still runs no more at a time than it has slots.
* many slots: less than half of them, and the next only when those have been reported, so that it never is full.

Both cost something where jobs are long: a list is stuck behind its first job, and slots are left empty. So it is done
only by what was measured, and a list is never longer than what takes about a second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from flashcore.model.names import JobId

SHORT = 0.2
"""Seconds of a job below which it counts as short."""
MANY_SLOTS = 20
LONGEST_LIST = 50
SETTLE = 0.03
"""Seconds that the SDK needs, after its last result was taken, to see that its slots are free."""
PATIENCE = 1.0
"""Seconds after which a job is long, and keeps no others waiting: as long as the SDK would have slept."""
_SPARE = 10
_WEIGHT = 0.3


@dataclass(slots=True)
class Pace:
    """One worker's."""

    slots: int = 1
    """The most that it ever asked for: it does not say how many it has."""
    seconds: float | None = None
    """Of a job, as they were lately; None before the first one."""
    enabled: bool = True

    @property
    def in_batches(self) -> bool:
        """Whether the next jobs wait for the last ones to be reported."""
        return self._short and self.slots >= MANY_SLOTS

    def allowance(self, asked: int) -> int:
        """How many it may be given now."""
        self.slots = max(self.slots, asked)
        if not self._short or self.seconds is None:
            return asked
        if self.slots >= MANY_SLOTS:
            return min(asked, (self.slots - _SPARE) // 2)
        return max(asked, min(LONGEST_LIST, round(self.slots / max(self.seconds, 1 / LONGEST_LIST))))

    def took(self, seconds: float) -> None:
        """A job took so long, by itself."""
        self.seconds = seconds if self.seconds is None else (1 - _WEIGHT) * self.seconds + _WEIGHT * seconds

    @property
    def _short(self) -> bool:
        return self.enabled and self.seconds is not None and self.seconds < SHORT


@dataclass(slots=True)
class InHand:
    """What one worker took and has not reported, and when it is time for more. Times are of one monotonic clock."""

    pace: Pace
    taken: dict[JobId, float] = field(default_factory=dict)
    """By job, when."""
    _missed: set[JobId] = field(default_factory=set)
    """Of these, what it did not work on when it last said so."""
    _last_end: float = 0.0

    def due_in(self, now: float) -> float:
        """Seconds until it is time for more, unless what it took is reported before."""
        if not self.pace.in_batches:
            return 0.0
        awaited = self.awaited(now)
        return max(awaited) + PATIENCE - now if awaited else max(0.0, self._last_end + SETTLE - now)

    def awaited(self, now: float) -> list[float]:
        """When it took those of which the reports are worth waiting for."""
        return [since for since in self.taken.values() if now < since + PATIENCE]

    def take(self, jobs: Iterable[JobId], now: float) -> None:
        """It has these, too."""
        self.taken.update((job, now) for job in jobs)

    def end(self, job: JobId, now: float) -> None:
        """It is through with a job, whether it had it or not."""
        begun = self.taken.pop(job, None)
        if begun is not None:
            # One after the other, where there are fewer slots than jobs: each counts from the end of the last.
            self.pace.took(now - max(begun, self._last_end if self.pace.slots == 1 else 0.0))
        self._last_end = now

    def lost(self, named: Collection[JobId]) -> set[JobId]:
        """It says that it works on these alone: what it had already left out the last time that it said so."""
        lost = {job for job in self._missed & self.taken.keys() if job not in named}
        self._missed = {job for job in self.taken if job not in named} - lost
        return lost
