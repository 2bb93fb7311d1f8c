"""How fast a loop may go: as fast as there is progress, and ever more slowly while it only goes back and forth.

A strategy that never settles would otherwise take the processor, the log and its provider for itself until the
deadline of progress ends its rollout.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

MOST_A_SECOND = 50
"""Passes that change something."""
PATIENCE = 200
"""Such passes without progress before it slows down."""
LONGEST_PAUSE = 10.0
"""Seconds."""


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
        self._fruitless = 0

    def resume_at(self, now: float, marker: Hashable) -> float:
        """When the next pass may be, after one at `now` that changed something. Another `marker` is progress."""
        self._fruitless = 0 if marker != self._marker else self._fruitless + 1
        self._marker = marker
        full = len(self._recent) == MOST_A_SECOND
        oldest = self._recent[0] if full else 0.0
        self._recent.append(now)
        pause = 0.0
        if self._fruitless > PATIENCE:
            pause = min(LONGEST_PAUSE, 0.01 * 2.0 ** min(20, self._fruitless - PATIENCE))
        return max(now + pause, oldest + 1.0 if full else 0.0)
