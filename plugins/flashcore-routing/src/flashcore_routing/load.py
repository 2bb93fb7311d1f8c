"""How much a replica has to do, and which has the least of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from flashcore.hookspecs.routing import Candidate


def capacity(candidate: Candidate) -> float:
    """What a replica can do beside others: the calls it works on at a time, by its weight. Never 0."""
    return max(candidate.max_concurrency * candidate.weight, 1e-9)


def occupancy(candidate: Candidate) -> float:
    """Calls in flight as a share of what the replica can do."""
    return candidate.in_flight / capacity(candidate)


def lightest(candidates: Sequence[Candidate], load: Callable[[Candidate], float], random: Random) -> Candidate:
    """The candidate of least load; any of them where several are equal.

    Always taking the first of equals would send everything to one replica while all are idle.
    """
    loads = [load(candidate) for candidate in candidates]
    least = min(loads)
    return random.choice(
        [candidate for candidate, its_load in zip(candidates, loads, strict=True) if its_load == least]
    )


def out_of_balance(chosen: Candidate, least: Candidate, imbalance: float, slack: int) -> bool:
    """Whether `chosen` has so much more to do than `least` that affinity is not worth the wait."""
    return chosen.in_flight > least.in_flight + slack and chosen.in_flight > least.in_flight * imbalance
