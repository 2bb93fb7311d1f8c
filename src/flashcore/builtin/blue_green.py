"""Start all of the new revision beside the old one, then move the traffic in one step."""

from __future__ import annotations

import math
from collections.abc import Mapping

from flashcore.hookspecs.strategies import PROMOTION, Decision, Done, Progress, View, Wait
from flashcore.model.deployment import Budget, percent
from flashcore.model.errors import InvalidOptions
from flashcore.model.parts import BlueGreen, PartRef


class BlueGreenStrategy:
    """The old side stays whole and has all the traffic until the promotion.

    The gates of the promotion are the options `auto_promote` and `promote_delay`. Until then the target can be
    reached as a preview.
    """

    def __init__(self, options: BlueGreen) -> None:
        for name in ("promote_delay", "keep_old"):
            seconds = getattr(options, name)
            if not (math.isfinite(seconds) and seconds >= 0):
                raise InvalidOptions(
                    f"strategy 'blue_green': {name} must be a number of seconds from 0, not {seconds}",
                    next_step=f"write {name}=60, for instance",
                    option=name,
                )
        self._options = options

    def budget(self, goal: int) -> Budget:
        """Both sides at full strength."""
        return Budget(min_ready=goal, max_existing=2 * goal)

    def decide(self, view: View) -> Decision:
        """Fill the target, wait for the promotion, move everything at once."""
        if view.target.ready < view.goal:
            return Decision(view.goal, view.goal, Progress(), percent(0), "filling")
        if PROMOTION not in view.passed:
            return Decision(view.goal, view.goal, Wait("ready to be promoted", at=PROMOTION), percent(0), "preview")
        return Decision(view.old_live, view.goal, Done(self._options.keep_old), percent(100), "promoted")

    def gates(self) -> Mapping[str, tuple[PartRef, ...]]:
        """The options that are gates, as gates."""
        bound = []
        if not self._options.auto_promote:
            bound.append(PartRef("manual"))
        if self._options.promote_delay:
            bound.append(PartRef("delay", options={"seconds": self._options.promote_delay}))
        return {PROMOTION: tuple(bound)} if bound else {}
