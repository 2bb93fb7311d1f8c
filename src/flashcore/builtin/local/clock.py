"""The clock of a local store: wall time as it was at opening, counted on by a monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Gives seconds."""


def store_clock(mark: float = 0.0, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> Clock:
    """A clock of seconds since 1970 that never goes back, not even behind `mark`, the latest time the store has seen.

    A wall clock that is set while the store is open moves nothing. While the machine is suspended it stands still.
    """
    origin = max(wall(), mark) - monotonic()
    return lambda: origin + monotonic()
