"""Policies that spread: how evenly, by what, and what happens when the set changes."""

from collections import Counter
from collections.abc import Callable
from random import Random as Generator

import pytest

from flashcore.hookspecs.routing import Candidate, RoutingPolicy
from flashcore.testing.routing_kit import make_candidates, make_request
from flashcore_routing import First, LeastLoaded, Random
from flashcore_routing.first import FirstPolicy
from flashcore_routing.least_loaded import LeastLoadedPolicy
from flashcore_routing.uniform import RandomPolicy


def shares(policy: RoutingPolicy, candidates: tuple[Candidate, ...], choices: int = 6_000) -> dict[str, float]:
    """The share of the choices that each candidate gets while loads stay as they are."""
    policy.changed(candidates)
    counts = Counter(policy.choose(make_request(number), candidates).replica for number in range(choices))
    return {candidate.replica: counts[candidate.replica] / choices for candidate in candidates}


def busy(policy: RoutingPolicy, candidates: tuple[Candidate, ...], calls: int, at_once: int) -> list[int]:
    """Most in flight that each candidate ever has, with `at_once` calls in flight, the oldest ending first."""
    policy.changed(candidates)
    running: list[Candidate] = []
    most = dict.fromkeys((candidate.replica for candidate in candidates), 0)
    for number in range(calls):
        if len(running) == at_once:
            running.pop(0).in_flight -= 1
        chosen = policy.choose(make_request(number), candidates)
        chosen.in_flight += 1
        running.append(chosen)
        most[chosen.replica] = max(most[chosen.replica], chosen.in_flight)
    return list(most.values())


def test_random_follows_the_weights() -> None:
    """A replica of three times the weight gets three times the requests."""
    candidates = make_candidates(2)
    candidates[0].weight = 3.0

    got = shares(RandomPolicy(Random(), Generator(7)), candidates)

    assert got[candidates[0].replica] == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize(
    "make", [lambda: RandomPolicy(Random(), Generator(7)), lambda: LeastLoadedPolicy(LeastLoaded(), Generator(7))]
)
def test_shares_are_equal_after_every_change_of_the_set(make: Callable[[], RoutingPolicy]) -> None:
    """Who comes gets its share at once, who stays gets no more than its share."""
    policy = make()

    for count in (4, 3, 5, 8, 2):
        for share in shares(policy, make_candidates(count)).values():
            assert share == pytest.approx(1 / count, abs=0.03)


def test_least_loaded_keeps_loads_equal() -> None:
    """With calls of equal length nobody has more than its fair share in flight."""
    assert busy(LeastLoadedPolicy(LeastLoaded()), make_candidates(5), calls=2_000, at_once=20) == [4] * 5


def test_least_loaded_counts_in_places_not_in_calls() -> None:
    """Two calls on a replica with room for eight are less than one on a replica with room for one."""
    small, large = make_candidates(2)
    small.max_concurrency, small.in_flight = 1, 1
    large.max_concurrency, large.in_flight = 8, 2

    assert LeastLoadedPolicy(LeastLoaded()).choose(make_request(0), (small, large)) is large


def test_least_loaded_hears_of_calls_from_elsewhere() -> None:
    """Another gateway's calls are in the replica's report."""
    one, other = make_candidates(2)
    one.in_flight, one.reported_load = 0, 9.0
    other.in_flight, other.reported_load = 2, 2.0

    assert LeastLoadedPolicy(LeastLoaded()).choose(make_request(0), (one, other)) is other


@pytest.mark.parametrize("silence", [None, float("nan")])
def test_a_silent_replica_does_not_look_idle(silence: float | None) -> None:
    """Where one has no report, in-flight counts decide for all."""
    silent, honest = make_candidates(2)
    silent.in_flight, silent.reported_load = 2, silence
    honest.in_flight, honest.reported_load = 1, 3.0

    assert LeastLoadedPolicy(LeastLoaded()).choose(make_request(0), (silent, honest)) is honest


def test_ties_go_to_anybody() -> None:
    """Never always to the first of the idle ones."""
    got = shares(LeastLoadedPolicy(LeastLoaded(), Generator(7)), make_candidates(4))

    assert all(share == pytest.approx(0.25, abs=0.03) for share in got.values())


def test_first_fills_the_oldest_replica_before_the_next() -> None:
    """Six calls at once need two replicas with four places each; the third stays free for the scaler to take."""
    candidates = make_candidates(3)

    assert busy(FirstPolicy(First()), candidates[::-1], calls=200, at_once=6) == [0, 2, 4]


def test_first_takes_the_least_loaded_when_all_are_full() -> None:
    """Overfull or not, somebody has to."""
    candidates = make_candidates(3)
    for candidate, in_flight in zip(candidates, (6, 4, 5), strict=True):
        candidate.in_flight = in_flight

    assert FirstPolicy(First()).choose(make_request(0), candidates) is candidates[1]
