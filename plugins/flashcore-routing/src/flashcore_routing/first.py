"""first: fill one replica before the next one is used."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest
from flashcore_routing.forms import First
from flashcore_routing.load import lightest, occupancy


class FirstPolicy:
    """Keeps the order by age: the oldest replicas work, the youngest idle, and a scaler takes the idle ones away."""

    body_need = BodyNeed.NONE
    body_limit = 0

    def __init__(self, options: First, random: Random | None = None) -> None:
        self.options = options
        self._random = random or Random()  # noqa: S311 - breaks ties, keeps no secret

    def choose(
        self,
        request: RoutedRequest,  # noqa: ARG002 - the contract has it
        candidates: Sequence[Candidate],
    ) -> Candidate:
        """The oldest with a free place, the least loaded when all are full."""
        free = [candidate for candidate in candidates if candidate.in_flight < candidate.max_concurrency]
        return min(free, key=_age) if free else lightest(candidates, occupancy, self._random)

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is remembered."""


def _age(candidate: Candidate) -> tuple[float, str]:
    # The id decides between replicas of one moment, so that every gateway fills the same one.
    return candidate.warm_since, candidate.replica
