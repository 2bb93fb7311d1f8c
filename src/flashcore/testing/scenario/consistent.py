"""A strategy that is asked everything twice: one that answers otherwise to an equal view cannot be replayed (I11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flashcore.hookspecs.strategies import BindsGates, Decision, Strategy, View
from flashcore.model.deployment import Budget
from flashcore.model.parts import PartRef


class AskedTwice:
    """A Strategy around another one."""

    def __init__(self, inner: Strategy, name: str, breach: Callable[[str], None]) -> None:
        self._inner = inner
        self._name = name
        self._breach = breach

    def budget(self, goal: int) -> Budget:
        """See Strategy."""
        first, second = self._inner.budget(goal), self._inner.budget(goal)
        self._compare(first, second, f"the budget for {goal} replicas")
        return first

    def decide(self, view: View) -> Decision:
        """See Strategy."""
        first, second = self._inner.decide(view), self._inner.decide(view)
        self._compare(first, second, "equal views")
        return first

    def gates(self) -> Mapping[str, tuple[PartRef, ...]]:
        """See BindsGates."""
        return self._inner.gates() if isinstance(self._inner, BindsGates) else {}

    def _compare(self, first: object, second: object, about: str) -> None:
        if first != second:
            self._breach(f"I11: strategy {self._name!r} says two things of {about}: {first}, then {second}")


def consistent(strategy: Strategy, name: str, breach: Callable[[str], None]) -> Strategy:
    """The strategy, with every answer of it compared; `breach` is told of each difference."""
    return AskedTwice(strategy, name, breach)
