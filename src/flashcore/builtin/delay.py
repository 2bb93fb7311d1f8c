"""Pass after some seconds."""

from __future__ import annotations

import math

from flashcore.hookspecs.gates import GateView, Hold, Pass, Verdict
from flashcore.model.errors import InvalidOptions
from flashcore.model.parts import Delay


class DelayGate:
    """Holds for a time that begins when the rollout comes to the checkpoint; a person who promotes cuts it short."""

    def __init__(self, options: Delay) -> None:
        if not (math.isfinite(options.seconds) and options.seconds >= 0):
            raise InvalidOptions(
                f"gate 'delay': seconds must be a number from 0, not {options.seconds}",
                next_step="write Delay(60), for instance",
                option="seconds",
            )
        self._seconds = options.seconds

    def verdict(self, view: GateView) -> Verdict:
        """Whether the time is over."""
        end = view.since + self._seconds
        if view.promoted or view.now >= end:
            return Pass()
        return Hold(f"{view.checkpoint} waits for {self._seconds:g} s", until=end)
