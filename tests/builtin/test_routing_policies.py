"""The built-in routing policies: the kit that all policies pass, and what is particular to each."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.builtin.hash_routing import HashPolicy
from flashcore.builtin.p2c import PowerOfTwoChoices
from flashcore.builtin.round_robin import RoundRobin
from flashcore.builtin.sticky import StickyPolicy
from flashcore.hookspecs.routing import Candidate, RoutedRequest, RoutingPolicy
from flashcore.model.errors import InvalidOptions
from flashcore.model.names import InstanceId
from flashcore.model.parts import HashRouting, StickyRouting
from flashcore.testing.routing_kit import RoutingPolicyKit, make_candidates

ANY = RoutedRequest("GET", "/", {})


class TestP2c(RoutingPolicyKit):
    """The policy `p2c`."""

    def policy(self) -> RoutingPolicy:
        """As declared."""
        return PowerOfTwoChoices()


class TestRoundRobin(RoutingPolicyKit):
    """The policy `round_robin`."""

    def policy(self) -> RoutingPolicy:
        """As declared."""
        return RoundRobin()


class TestHash(RoutingPolicyKit):
    """The policy `hash`."""

    keeps = True

    def policy(self) -> RoutingPolicy:
        """As declared without options."""
        return HashPolicy(HashRouting())


class TestSticky(RoutingPolicyKit):
    """The policy `sticky`, with a memory whose end can be seen."""

    keeps = True

    def policy(self) -> RoutingPolicy:
        """Small bounds."""
        return StickyPolicy(StickyRouting(), most=500)


def ready(policy: RoutingPolicy, candidates: Sequence[Candidate]) -> RoutingPolicy:
    """The policy, told of the candidates."""
    policy.changed(candidates)
    return policy


def keyed(key: str, now: float = 0.0) -> RoutedRequest:
    """A request of the caller `key`, for hash and sticky alike."""
    return RoutedRequest("GET", "/", {"x-flashcore-key": key, "x-flashcore-session": key}, now=now)


def test_p2c_never_takes_the_busiest() -> None:
    """Two distinct ones are compared, so the one with most in flight always loses."""
    candidates = make_candidates(5)
    for position, candidate in enumerate(candidates):
        candidate.in_flight = position

    policy = ready(PowerOfTwoChoices(), candidates)

    assert {policy.choose(ANY, candidates).in_flight for _ in range(500)} == {0, 1, 2, 3}


def test_p2c_keeps_replicas_nearly_even() -> None:
    """Against chance alone, which leaves the fullest of 50 with three times the mean."""
    candidates = make_candidates(50)
    policy = ready(PowerOfTwoChoices(Random(1)), candidates)

    for _ in range(500):
        policy.choose(ANY, candidates).in_flight += 1

    assert max(candidate.in_flight for candidate in candidates) <= 13


def test_round_robin_takes_each_once_in_a_round() -> None:
    """And the same order round after round."""
    candidates = make_candidates(5)
    policy = ready(RoundRobin(), candidates)

    turns = [policy.choose(ANY, candidates).replica for _ in range(15)]

    assert len(set(turns[:5])) == 5
    assert turns[:5] == turns[5:10] == turns[10:]


def test_round_robin_heeds_weights_smoothly() -> None:
    """A replica of weight 5 is not chosen five times in a row."""
    candidates = make_candidates(3)
    candidates[0].weight = 5.0
    policy = ready(RoundRobin(), candidates)

    turns = [policy.choose(ANY, candidates).replica for _ in range(70)]

    assert Counter(turns) == {candidates[0].replica: 50, candidates[1].replica: 10, candidates[2].replica: 10}
    longest = max(len(run) for run in "".join("a" if turn == candidates[0].replica else " " for turn in turns).split())
    assert longest <= 5


@given(st.lists(st.integers(1, 8), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_round_robin_stays_fair_while_the_set_changes(sizes: list[int], chance: Random) -> None:
    """After a change, within the set, nobody is ahead of another by more than a couple of turns."""
    everybody = make_candidates(8)
    policy = RoundRobin(chance)
    for size in sizes:
        candidates = chance.sample(everybody, size)
        policy.changed(candidates)
        turns = Counter(policy.choose(ANY, candidates).replica for _ in range(10 * size))
        assert max(turns.values()) - min(turns.get(one.replica, 0) for one in candidates) <= 3


def test_round_robin_begins_elsewhere_in_each_gateway() -> None:
    """Else all gateways would send their first request after a change to the same replica."""
    candidates = make_candidates(8)

    firsts = {ready(RoundRobin(Random(seed)), candidates).choose(ANY, candidates).replica for seed in range(40)}

    assert len(firsts) > 4


def test_hash_is_the_same_in_every_gateway_and_after_a_restart() -> None:
    """Nothing of it depends on the process; these are the choices of the first release."""
    candidates = make_candidates(4)

    chosen = [ready(HashPolicy(HashRouting()), candidates).choose(keyed(f"user-{n}"), candidates) for n in range(8)]

    assert [candidates.index(one) for one in chosen] == [1, 1, 1, 2, 2, 1, 1, 0]


def test_hash_moves_only_the_keys_of_a_replica_that_left() -> None:
    """Everybody else stays where the caches are warm."""
    candidates = make_candidates(6)
    policy = ready(HashPolicy(HashRouting()), candidates)
    before = {n: policy.choose(keyed(str(n)), candidates).replica for n in range(300)}

    left = candidates[:2] + candidates[3:]
    policy.changed(left)
    after = {n: policy.choose(keyed(str(n)), left).replica for n in range(300)}

    moved = {n for n in before if before[n] != after[n]}
    assert moved == {n for n, replica in before.items() if replica == candidates[2].replica}
    assert len({after[n] for n in moved}) > 2


def test_hash_gives_a_larger_replica_more_keys() -> None:
    """By concurrency and weight."""
    candidates = make_candidates(3)
    candidates[0].max_concurrency *= 2
    policy = ready(HashPolicy(HashRouting()), candidates)

    counts = Counter(policy.choose(keyed(str(n)), candidates).replica for n in range(4000))

    assert 0.45 < counts[candidates[0].replica] / 4000 < 0.55


@given(st.floats(1.01, 3), st.integers(1, 60))
def test_hash_gives_no_replica_more_than_its_bound(bound: float, requests: int) -> None:
    """One key asked for by everybody spreads over as many replicas as it takes."""
    candidates = make_candidates(6)
    policy = ready(HashPolicy(HashRouting(bound=bound)), candidates)

    for total in range(1, requests + 1):
        chosen = policy.choose(keyed("popular"), candidates)
        chosen.in_flight += 1
        assert chosen.in_flight <= bound * total / 6 + 1


def test_hash_spills_over_to_the_same_next_replica() -> None:
    """A key's order is its own: the overflow of one key does not land everywhere."""
    candidates = make_candidates(6)
    policy = ready(HashPolicy(HashRouting()), candidates)
    first = policy.choose(keyed("popular"), candidates)
    first.in_flight = 100

    assert len({policy.choose(keyed("popular"), candidates).replica for _ in range(20)}) == 1
    assert policy.choose(keyed("popular"), candidates) is not first


@pytest.mark.parametrize("make", [lambda: HashPolicy(HashRouting()), lambda: StickyPolicy(StickyRouting())])
def test_without_a_key_the_lighter_of_two_is_taken(make: Callable[[], RoutingPolicy]) -> None:
    """Nothing to be known by, nothing to be kept for; Authorization is no such key."""
    candidates = make_candidates(2)
    candidates[0].in_flight = 3
    policy = ready(make(), candidates)

    for headers in ({}, {"x-flashcore-key": "", "x-flashcore-session": ""}, {"authorization": "Bearer x"}):
        assert policy.choose(RoutedRequest("GET", "/", headers), candidates) is candidates[1]


def test_headers_are_named_in_any_case() -> None:
    """Requests have them in lower case."""
    candidates = make_candidates(6)
    lower = ready(HashPolicy(HashRouting(header="x-user")), candidates)
    upper = ready(HashPolicy(HashRouting(header="X-User")), candidates)

    for n in range(20):
        request = RoutedRequest("GET", "/", {"x-user": str(n)})
        assert lower.choose(request, candidates) is upper.choose(request, candidates)


@pytest.mark.parametrize("bound", [1, 0.5, float("nan")])
def test_hash_refuses_a_bound_that_leaves_no_room(bound: float) -> None:
    """With exactly the fair share for each there may be no replica with room."""
    with pytest.raises(InvalidOptions, match="greater than 1"):
        HashPolicy(HashRouting(bound=bound))


def test_sticky_keeps_a_caller_while_it_is_heard_of() -> None:
    """However busy the replica is; after the idle timeout it may go elsewhere."""
    candidates = make_candidates(20)
    policy = ready(StickyPolicy(StickyRouting(idle_timeout=10), Random(3)), candidates)
    first = policy.choose(keyed("ada", 0), candidates)
    first.in_flight = 1000

    assert policy.choose(keyed("ada", 10), candidates) is first
    assert policy.choose(keyed("ada", 20), candidates) is first
    assert policy.choose(keyed("ada", 30.1), candidates) is not first


def test_sticky_moves_a_caller_whose_replica_went_and_remembers_it() -> None:
    """The new replica is kept as the old one was."""
    candidates = make_candidates(20)
    policy = ready(StickyPolicy(StickyRouting(), Random(3)), candidates)
    first = policy.choose(keyed("ada"), candidates)
    left = [candidate for candidate in candidates if candidate is not first]

    policy.changed(left)
    second = policy.choose(keyed("ada"), left)
    second.in_flight = 1000
    policy.changed(candidates)

    assert second is not first
    assert policy.choose(keyed("ada"), candidates) is second


def test_sticky_takes_another_life_of_a_replica_for_another_replica() -> None:
    """What the session was, the new process does not know."""
    candidates = make_candidates(20)
    policy = ready(StickyPolicy(StickyRouting(), Random(3)), candidates)
    first = policy.choose(keyed("ada"), candidates)
    reborn = [
        replace(candidate, instance=InstanceId("reborn"), in_flight=1000) if candidate is first else candidate
        for candidate in candidates
    ]

    policy.changed(reborn)

    assert policy.choose(keyed("ada"), reborn).replica != first.replica


def test_sticky_lends_a_caller_to_another_replica_for_a_retry() -> None:
    """Its own was left out of the try, and is still there: the next request goes back to it."""
    candidates = make_candidates(20)
    policy = ready(StickyPolicy(StickyRouting()), candidates)
    first = policy.choose(keyed("ada"), candidates)

    retried = policy.choose(keyed("ada"), [candidate for candidate in candidates if candidate is not first])

    assert retried is not first
    assert policy.choose(keyed("ada"), candidates) is first


def test_sticky_forgets_the_longest_idle_when_there_are_too_many() -> None:
    """A flood of callers costs a bounded amount of memory."""
    candidates = make_candidates(50)
    policy = ready(StickyPolicy(StickyRouting(), Random(5), most=3), candidates)
    homes = {name: policy.choose(keyed(name), candidates) for name in "abcd"}
    for home in homes.values():
        home.in_flight = 1000

    kept = {name for name in "bcd" if policy.choose(keyed(name), candidates) is homes[name]}

    assert kept == {"b", "c", "d"}
    assert policy.choose(keyed("a"), candidates) is not homes["a"]


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_sticky_refuses_a_timeout_of_nothing(timeout: float) -> None:
    """It would keep nobody."""
    with pytest.raises(InvalidOptions, match="greater than 0"):
        StickyPolicy(StickyRouting(idle_timeout=timeout))


def test_policies_with_chance_can_be_replayed() -> None:
    """A simulation gives the generator."""
    candidates = make_candidates(8)

    def turns(make: Callable[[Random], RoutingPolicy]) -> list[str]:
        policy = ready(make(Random(7)), candidates)
        return [policy.choose(ANY, candidates).replica for _ in range(50)]

    for make in (PowerOfTwoChoices, RoundRobin):
        assert turns(make) == turns(make)
    assert any(one != other for one, other in pairwise(turns(PowerOfTwoChoices)))
