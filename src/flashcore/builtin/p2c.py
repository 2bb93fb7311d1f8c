"""p2c: of two replicas at random, the one with fewer requests in flight.

Nearly as even as looking at all of them, at the cost of two, and no herd: gateways that know equally much do not all
pick the same replica (Mitzenmacher, "The power of two choices in randomized load balancing", 1996).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest


class PowerOfTwoChoices:
    """Remembers nothing. `random` is given by simulations."""

    body_need = BodyNeed.NONE
    body_limit = 0

    def __init__(self, random: Random | None = None) -> None:
        self._random = (random or Random()).random  # noqa: S311 - spreads load, keeps no secret

    def choose(
        self,
        request: RoutedRequest,  # noqa: ARG002 - the contract has it
        candidates: Sequence[Candidate],
    ) -> Candidate:
        """Two distinct candidates are compared; of equals either may win."""
        count = len(candidates)
        if count == 1:
            return candidates[0]
        first = int(self._random() * count)
        second = int(self._random() * (count - 1))
        if second >= first:
            second += 1
        one, other = candidates[first], candidates[second]
        # Which of the two was drawn first is chance already, so a tie needs no further draw.
        return one if one.in_flight <= other.in_flight else other

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is remembered."""
