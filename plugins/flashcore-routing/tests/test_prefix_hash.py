"""prefix_hash: affinity by how a body begins, with bounded load."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.hookspecs.routing import Candidate, RoutedRequest
from flashcore.testing.routing_kit import make_candidates
from flashcore_routing import PrefixHash
from flashcore_routing.prefix_hash import PrefixHashPolicy
from flashcore_routing.rendezvous import preferred


def prompt(text: str) -> RoutedRequest:
    """A request with this prompt."""
    body = f'{{"prompt": "{text}"}}'.encode()
    return RoutedRequest("POST", "/generate", {}, len(body), body)


def owner(policy: PrefixHashPolicy, text: str, candidates: tuple[Candidate, ...]) -> str:
    """The replica to which a prompt goes."""
    return policy.choose(prompt(text), candidates).replica


def test_prompts_that_begin_alike_go_to_the_same_replica() -> None:
    """What comes behind the first characters makes no difference."""
    policy, candidates = PrefixHashPolicy(PrefixHash(characters=10)), make_candidates(8)

    assert len({owner(policy, f"0123456789{tail}", candidates) for tail in range(50)}) == 1


def test_prompts_that_begin_differently_are_spread() -> None:
    """Within the characters that count, every difference counts."""
    policy, candidates = PrefixHashPolicy(PrefixHash(characters=10)), make_candidates(8)

    assert len({owner(policy, f"{head:05}56789", candidates) for head in range(200)}) == 8


def test_another_gateway_chooses_alike() -> None:
    """Nothing is remembered or seeded."""
    candidates = make_candidates(8)

    one, other = PrefixHashPolicy(PrefixHash()), PrefixHashPolicy(PrefixHash())

    assert all(owner(one, str(text), candidates) == owner(other, str(text), candidates[::-1]) for text in range(100))


def test_only_the_keys_of_a_replica_that_leaves_move() -> None:
    """And nobody else's."""
    policy, candidates = PrefixHashPolicy(PrefixHash()), make_candidates(8)
    before = {str(text): owner(policy, str(text), candidates) for text in range(400)}

    after = {text: owner(policy, text, candidates[1:]) for text in before}

    moved = {text for text in before if before[text] != after[text]}
    assert moved == {text for text in before if before[text] == candidates[0].replica}


def test_a_replica_that_comes_takes_its_share_from_all() -> None:
    """A ninth of the keys, and no key moves between the others."""
    policy, candidates = PrefixHashPolicy(PrefixHash()), make_candidates(9)
    before = {str(text): owner(policy, str(text), candidates[:8]) for text in range(2_000)}

    after = {text: owner(policy, text, candidates) for text in before}

    moved = [after[text] for text in before if before[text] != after[text]]
    assert set(moved) == {candidates[8].replica}
    assert len(moved) / 2_000 == pytest.approx(1 / 9, abs=0.03)


def test_shares_follow_capacity() -> None:
    """A replica with three times the places gets three times the keys."""
    small, large = make_candidates(2)
    large.max_concurrency = 3 * small.max_concurrency

    counts = Counter(preferred(str(key).encode(), (small, large), 1.25).replica for key in range(4_000))

    assert counts[large.replica] / 4_000 == pytest.approx(0.75, abs=0.03)


def test_a_popular_prefix_spills_over_when_its_replica_has_too_much() -> None:
    """No replica gets more than 1.25 times its fair share, rounded up."""
    policy, candidates = PrefixHashPolicy(PrefixHash()), make_candidates(4)

    for number in range(1, 101):
        policy.choose(prompt("everybody asks this"), candidates).in_flight += 1
        assert max(candidate.in_flight for candidate in candidates) <= math.ceil(1.25 * number / 4)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=8),
    st.binary(max_size=16),
    st.floats(1.01, 4.0),
)
def test_nobody_gets_more_than_the_bound(loads: list[tuple[int, int]], key: bytes, bound: float) -> None:
    """Whatever the loads and capacities are: the one chosen had room, and there always is one."""
    candidates = make_candidates(len(loads))
    for candidate, (in_flight, places) in zip(candidates, loads, strict=True):
        candidate.in_flight, candidate.max_concurrency = in_flight, places

    chosen = preferred(key, candidates, bound)

    total, places = sum(in_flight for in_flight, _ in loads), sum(count for _, count in loads)
    assert chosen.in_flight + 1 <= math.ceil(bound * (total + 1) * chosen.max_concurrency / places)


@pytest.mark.parametrize("body", [b"", b"no json", b'{"other": "text"}'])
def test_bodies_without_the_field_go_to_the_least_loaded(body: bytes) -> None:
    """They have no affinity to keep."""
    candidates = make_candidates(3)
    candidates[0].in_flight = candidates[2].in_flight = 1

    request = RoutedRequest("POST", "/generate", {}, len(body), body)

    assert PrefixHashPolicy(PrefixHash()).choose(request, candidates) is candidates[1]
