"""least_loaded: the replica with the smallest expected wait."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest
from flashcore_routing.forms import LeastLoaded
from flashcore_routing.load import capacity, lightest, occupancy


class LeastLoadedPolicy:
    """Compares what replicas have to do: in flight here, and what they report of calls from elsewhere."""

    body_need = BodyNeed.NONE
    body_limit = 0

    def __init__(self, options: LeastLoaded, random: Random | None = None) -> None:
        self.options = options
        self._random = random or Random()  # noqa: S311 - breaks ties, keeps no secret

    def choose(
        self,
        request: RoutedRequest,  # noqa: ARG002 - the contract has it
        candidates: Sequence[Candidate],
    ) -> Candidate:
        """The one with the least to do for what it can do.

        Reports count only where every candidate gives one: beside the others a silent replica would look idle.
        """
        reported = all(map(_reports, candidates))
        return lightest(candidates, _expected_wait if reported else occupancy, self._random)

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is remembered."""


def _reports(candidate: Candidate) -> bool:
    return candidate.reported_load is not None and math.isfinite(candidate.reported_load)


def _expected_wait(candidate: Candidate) -> float:
    # The sum, not the greater of the two: a report is old by the time it is used, what is in flight is known now.
    return (candidate.in_flight + (candidate.reported_load or 0.0)) / capacity(candidate)
