"""How fast a loop may go: as fast as there is progress, and more slowly while it only goes back and forth.

A strategy that never settles would otherwise take the processor, the log and its provider for itself until the
deadline of progress ends its rollout.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

MOST_A_SECOND = 50
"""Passes that change something."""
PATIENCE = 200
"""Such passes without progress, one shortly after the other, before it slows down."""
FORGIVEN_A_SECOND = 1.0
"""Of these so many are forgotten, which is also how many a second there are then. What is scaled up and down now and
then, or loses a replica, has no end of passes without progress either, and goes back and forth with nobody."""


PER_REPLICA = 50e-6
FREE_REPLICAS = 20
"""A pass over more replicas than that is followed by a pause of so many seconds for each: it costs about a quarter of
it. What changes meanwhile is seen together by the next pass."""


def breather(replicas: int) -> float:
    """Seconds between two passes over so many replicas."""
    return PER_REPLICA * max(0, replicas - FREE_REPLICAS)


class Pace:
    """One loop's memory of its passes."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=MOST_A_SECOND)
        self._marker: Hashable = None
        self._fruitless = 0.0
        self._counted_at = 0.0

    def resume_at(self, now: float, marker: Hashable) -> float:
        """When the next pass may be, after one at `now` that changed something. Another `marker` is progress."""
        full = len(self._recent) == MOST_A_SECOND
        oldest = self._recent[0] if full else 0.0
        self._recent.append(now)
        patient_until = now + max(0.0, self._count(now, marker) - PATIENCE) / FORGIVEN_A_SECOND
        return max(patient_until, oldest + 1.0 if full else 0.0)

    def _count(self, now: float, marker: Hashable) -> float:
        """The passes without progress that are not forgotten, this one among them."""
        forgiven = max(0.0, now - self._counted_at) * FORGIVEN_A_SECOND
        self._fruitless = max(0.0, self._fruitless - forgiven) + 1.0 if marker == self._marker else 0.0
        self._marker, self._counted_at = marker, now
        return self._fruitless
