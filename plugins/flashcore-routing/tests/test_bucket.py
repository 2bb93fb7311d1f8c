"""bucket: short requests stay clear of long ones, by boundaries that follow what is seen."""

from collections import defaultdict
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.hookspecs.routing import Candidate, RoutedRequest
from flashcore.testing.routing_kit import make_candidates
from flashcore_routing import Bucket
from flashcore_routing.bucket import BucketPolicy
from flashcore_routing.length_classes import LengthClasses, boundaries

SHORT, LONG = 100, 10_000


def request(length: int | None) -> RoutedRequest:
    """A request with a body of this length."""
    return RoutedRequest("POST", "/", {}, length)


def prepared(candidates: tuple[Candidate, ...], lengths: list[int], **options: int) -> BucketPolicy:
    """A policy that has seen these lengths."""
    policy = BucketPolicy(Bucket(window=len(lengths), **options), Random(7))
    policy.changed(candidates)
    for length in lengths:
        policy.choose(request(length), candidates)
    return policy


def mixed() -> list[int]:
    """A hundred short ones for every long one: equal bytes."""
    return [SHORT] * 800 + [LONG] * 8


def test_short_and_long_requests_have_no_replica_in_common() -> None:
    """Where each half of the bytes has half of the replicas."""
    candidates = make_candidates(4)
    policy = prepared(candidates, mixed(), classes=2)

    used = {length: {policy.choose(request(length), candidates).replica for _ in range(50)} for length in (50, LONG)}

    assert len(used[50]) == len(used[LONG]) == 2
    assert used[50].isdisjoint(used[LONG])


def test_boundaries_follow_the_lengths_that_come() -> None:
    """What was long yesterday is short today."""
    candidates = make_candidates(2)
    policy = prepared(candidates, mixed(), classes=2)
    before = policy.choose(request(LONG), candidates)

    for length in ([LONG] * 100 + [100 * LONG]) * 8:
        policy.choose(request(length), candidates)

    assert policy.choose(request(LONG // 2), candidates) is not before


def test_lengths_all_alike_use_all_replicas() -> None:
    """A boundary that is the length itself separates nothing."""
    candidates = make_candidates(4)
    policy = prepared(candidates, [SHORT] * 64)

    assert len({policy.choose(request(SHORT), candidates).replica for _ in range(200)}) == 4


def test_a_class_out_of_balance_lends_from_the_others() -> None:
    """A burst of short ones does not wait while the others idle."""
    candidates = make_candidates(2)
    policy = prepared(candidates, mixed(), classes=2, slack=4)
    short, long = (policy.choose(request(length), candidates) for length in (50, LONG))

    short.in_flight = 4
    assert policy.choose(request(50), candidates) is short
    short.in_flight = 5
    assert policy.choose(request(50), candidates) is long


def test_a_class_without_replicas_borrows() -> None:
    """A retry may have left none of its own."""
    candidates = make_candidates(2)
    policy = prepared(candidates, mixed(), classes=2)
    short = policy.choose(request(50), candidates)
    left = tuple(candidate for candidate in candidates if candidate is not short)

    assert policy.choose(request(50), left) is left[0]


def test_bodies_of_unknown_length_go_to_the_least_loaded() -> None:
    """And teach nothing."""
    candidates = make_candidates(3)
    policy = prepared(candidates, mixed())
    candidates[0].in_flight = candidates[1].in_flight = 1

    assert policy.choose(request(None), candidates) is candidates[2]


@pytest.mark.parametrize(("replicas", "classes"), [(1, 4), (3, 4), (4, 4), (9, 4), (10, 3)])
def test_every_class_has_its_fair_number_of_replicas(replicas: int, classes: int) -> None:
    """As even as it goes, whatever the numbers are."""
    candidates = make_candidates(replicas)
    lengths = [length for length in range(1, 400) for _ in range(3)]
    policy = prepared(candidates, lengths, classes=classes)
    used: dict[str, set[int]] = defaultdict(set)

    for length in lengths:
        used[policy.choose(request(length), candidates).replica].add(length)

    assert len(used) == replicas


@given(st.lists(st.integers(0, 10**6), max_size=60), st.integers(1, 8))
def test_boundaries_are_ordered_and_were_seen(lengths: list[int], classes: int) -> None:
    """One fewer than there are classes, or none at all."""
    found = boundaries(lengths, classes)

    assert found == sorted(found)
    assert set(found) <= set(lengths)
    assert len(found) == (classes - 1 if any(lengths) else 0)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60), st.integers(1, 8), st.integers(0, 10**6))
def test_every_length_has_a_class(lengths: list[int], classes: int, length: int) -> None:
    """Within those that there are."""
    sorted_out = LengthClasses(window=16)
    sorted_out.divide(classes)
    for seen in lengths:
        sorted_out.observe(seen)

    found = sorted_out.of(length)

    assert len(found) >= 1
    assert set(found) <= set(range(classes))
