"""Replace replicas a few at a time."""

from __future__ import annotations

import re
from fractions import Fraction

from flashcore.hookspecs.strategies import Decision, Done, Progress, View
from flashcore.model.deployment import Budget
from flashcore.model.errors import InvalidOptions
from flashcore.model.parts import Rolling

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")


class RollingStrategy:
    """Keeps `goal - max_unavailable` replicas ready and `goal + max_surge` in existence at most.

    Shares are exact: 28 % of 25 is 7, which floats make 7.000000000000001 and round up to 8.
    """

    def __init__(self, options: Rolling) -> None:
        self._surge = _amount("max_surge", options.max_surge)
        self._unavailable = _amount("max_unavailable", options.max_unavailable)
        if not self._surge.quantity and not self._unavailable.quantity:
            raise InvalidOptions(
                "strategy 'rolling': with max_surge 0 and max_unavailable 0 no replica could ever be replaced",
                next_step="let max_surge or max_unavailable be at least 1",
            )

    def budget(self, goal: int) -> Budget:
        """Surge rounds up, unavailable rounds down; where both come to nothing, one may be unavailable."""
        surge = self._surge.ceiling(goal)
        unavailable = self._unavailable.floor(goal)
        if surge == 0 and unavailable == 0:
            unavailable = 1
        return Budget(min_ready=max(0, goal - unavailable), max_existing=goal + surge)

    def decide(self, view: View) -> Decision:
        """Keep of the old what the ready replicas of the target do not make up for; fill the room with the target.

        Old replicas that died are not asked for again: their room is the target's.
        """
        if view.target.ready >= view.goal:
            return Decision(0, view.goal, Done())
        budget = self.budget(view.goal)
        old = min(view.old_live, max(0, budget.min_ready - view.target.ready))
        return Decision(old, min(view.goal, budget.max_existing - old), Progress())


class _Amount:
    """A count, or a share of the goal; in whole numbers, because a budget is asked for at every look."""

    def __init__(self, quantity: Fraction, *, relative: bool) -> None:
        self.quantity = quantity
        self._relative = relative
        self._parts, self._whole = quantity.numerator, quantity.denominator * (100 if relative else 1)

    def ceiling(self, goal: int) -> int:
        return -(-self._parts * (goal if self._relative else 1) // self._whole)

    def floor(self, goal: int) -> int:
        return self._parts * (goal if self._relative else 1) // self._whole


def _amount(name: str, given: int | str) -> _Amount:
    if isinstance(given, int) and given >= 0:
        return _Amount(Fraction(given), relative=False)
    written = _PERCENT.fullmatch(given) if isinstance(given, str) else None
    if written is None:
        raise InvalidOptions(
            f"strategy 'rolling': {name} must be a count from 0 or a share like '25%', not {given!r}",
            next_step=f"write {name}=1 or {name}='25%'",
            option=name,
        )
    return _Amount(Fraction(written[1]), relative=True)
