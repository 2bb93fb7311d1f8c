"""round_robin: replicas in turn, each as often as its weight says, and not several times in a row for it.

Smooth weighted round-robin: at each choice everybody's credit grows by its weight, the greatest credit is chosen and
pays the sum of all weights. Weights 5, 1, 1 give a a b a c a a, not a a a a a b c.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest
from flashcore.model.names import ReplicaId


class RoundRobin:
    """Remembers a credit for each replica. `random` is given by simulations."""

    body_need = BodyNeed.NONE
    body_limit = 0

    def __init__(self, random: Random | None = None) -> None:
        self._random = random or Random()  # noqa: S311 - spreads load, keeps no secret
        self._credit: dict[ReplicaId, float] = {}

    def choose(
        self,
        request: RoutedRequest,  # noqa: ARG002 - the contract has it
        candidates: Sequence[Candidate],
    ) -> Candidate:
        """The one that has waited longest for its share."""
        total = 0.0
        chosen, most = candidates[0], float("-inf")
        for candidate in candidates:
            total += candidate.weight
            credit = self._credit.get(candidate.replica, 0.0) + candidate.weight
            self._credit[candidate.replica] = credit
            if credit > most:
                chosen, most = candidate, credit
        self._credit[chosen.replica] = most - total
        return chosen

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Those who stay keep their credit; who comes gets a small one at random.

        Without chance, all gateways would send their first request to the same new replica.
        """
        self._credit = {
            candidate.replica: self._credit.get(candidate.replica, self._random.random() * candidate.weight)
            for candidate in candidates
        }
        # Who left took or owed something: the rest share it, so that nobody who comes is ahead or behind for long.
        if self._credit:
            drift = sum(self._credit.values()) / len(self._credit)
            for replica in self._credit:
                self._credit[replica] -= drift
