"""random: any replica, by weight. The baseline that other policies are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random as Generator

from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest
from flashcore_routing.forms import Random
from flashcore_routing.load import capacity


class RandomPolicy:
    """Looks at nothing but the weights."""

    body_need = BodyNeed.NONE
    body_limit = 0

    def __init__(self, options: Random, random: Generator | None = None) -> None:
        self.options = options
        self._random = random or Generator()  # noqa: S311 - spreads load, keeps no secret

    def choose(
        self,
        request: RoutedRequest,  # noqa: ARG002 - the contract has it
        candidates: Sequence[Candidate],
    ) -> Candidate:
        """Any of them, one of twice the capacity twice as often."""
        return self._random.choices(candidates, [capacity(candidate) for candidate in candidates])[0]

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is remembered."""
