"""queue_delay: so many replicas that no job waits for longer than some seconds.

While the oldest job waits for longer than that, there should be as many more replicas as it waits longer: at twice
the time, twice as many, but never more than could all be at work. Otherwise, what is being worked on says how many.
"""

from __future__ import annotations

import math

from flashcore.hookspecs.scalers import ScaleView
from flashcore.model.errors import InvalidOptions
from flashcore.model.parts import QueueDelay


class QueueDelayScaler:
    """Raises InvalidOptions for a delay that is not greater than 0."""

    def __init__(self, options: QueueDelay) -> None:
        if not options.seconds > 0:
            raise InvalidOptions(
                f"scaler 'queue_delay', option seconds: must be greater than 0, not {options.seconds}",
                next_step="give the seconds that a job may wait before there should be more replicas",
                path="seconds",
            )
        self._seconds = options.seconds

    def desired(self, view: ScaleView) -> int:
        """None once idle for the idle timeout; never fewer than are wanted now while jobs wait."""
        places = max(view.max_concurrency, 1)
        at_work = math.ceil(view.in_flight / places)
        if view.queued:
            return max(at_work, view.goal, self._for_queue(view, places), 1)
        if view.in_flight:
            return at_work
        return min(view.goal, 1) if view.idle_for < view.idle_timeout else 0

    def _for_queue(self, view: ScaleView, places: int) -> int:
        # Those that are being started have not had their say yet: a start takes longer than the delay that is allowed,
        # and asking again at every look would end at the upper bound each time.
        if view.oldest_queued <= self._seconds or view.ready < view.goal:
            return 0
        all_at_once = math.ceil((view.in_flight + view.queued) / places)
        grown = max(view.goal + 1, view.goal * view.oldest_queued / self._seconds)
        return all_at_once if grown >= all_at_once else math.ceil(grown)
