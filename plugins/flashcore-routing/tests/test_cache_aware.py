"""cache_aware: prompts go where most of their beginning is known, unless that costs too much waiting."""

import dataclasses
import json

import pytest

from flashcore.hookspecs.routing import RoutedRequest
from flashcore.model.names import InstanceId
from flashcore.testing.routing_kit import make_candidates
from flashcore_routing import CacheAware
from flashcore_routing.cache_aware import CacheAwarePolicy
from flashcore_routing.prefix_owners import MOST_OWNERS, PrefixOwners, block_keys

A, B, C = "a" * 10, "b" * 10, "c" * 10


def prompt(text: str) -> RoutedRequest:
    """A request with this prompt."""
    body = json.dumps({"prompt": text}).encode()
    return RoutedRequest("POST", "/generate", {}, len(body), body)


def policy(**options: float) -> CacheAwarePolicy:
    """Blocks of ten characters."""
    return CacheAwarePolicy(dataclasses.replace(CacheAware(block=10), **options))  # type: ignore[arg-type]  # by name


def test_a_conversation_stays_where_it_began() -> None:
    """Each turn begins with all the turns before it."""
    routing, candidates = policy(), make_candidates(8)
    text = "system: be kind. user: hello there. "
    first = routing.choose(prompt(text), candidates)

    for turn in range(20):
        text += f"assistant: answer {turn}. user: and {turn}? "
        assert routing.choose(prompt(text), candidates) is first


def test_the_owner_of_the_longest_beginning_wins() -> None:
    """Both know A, one knows A B."""
    routing, (one, other) = policy(), make_candidates(2)
    routing.choose(prompt(A + B), (one,))
    routing.choose(prompt(A + C), (other,))

    assert routing.choose(prompt(A + B + C), (one, other)) is one
    assert routing.choose(prompt(A + C + B), (one, other)) is other


def test_a_beginning_that_all_prompts_share_is_not_enough() -> None:
    """One known block in five would draw every caller to one replica."""
    routing, (one, other) = policy(match=0.5), make_candidates(2)
    routing.choose(prompt(A + B * 4), (one,))
    one.in_flight = 1

    assert routing.choose(prompt(A + C * 4), (one, other)) is other


def test_an_owner_out_of_balance_is_passed_over_and_the_other_becomes_an_owner() -> None:
    """Waiting costs more than computing the prefix again."""
    routing, (one, other) = policy(imbalance=1.5, slack=4), make_candidates(2)
    routing.choose(prompt(A + B), (one,))
    one.in_flight = 4
    assert routing.choose(prompt(A + B), (one, other)) is one

    one.in_flight = 5
    assert routing.choose(prompt(A + B), (one, other)) is other

    one.in_flight = other.in_flight + 1
    assert routing.choose(prompt(A + B), (one, other)) is other


def test_a_replica_that_was_started_again_has_an_empty_cache() -> None:
    """S60: owners are lives of replicas; the replica's id says nothing."""
    routing, (one, other) = policy(), make_candidates(2)
    routing.choose(prompt(A + B), (one,))
    reborn = dataclasses.replace(one, instance=InstanceId("reborn"), in_flight=1)

    assert routing.choose(prompt(A + B), (reborn, other)) is other


@pytest.mark.parametrize("text", ["", "short", "x" * 9])
def test_prompts_shorter_than_a_block_go_to_the_least_loaded(text: str) -> None:
    """They are computed as fast as looked up."""
    routing, (one, other) = policy(), make_candidates(2)
    one.in_flight = 1

    assert routing.choose(prompt(text), (one, other)) is other


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    """And of one prompt, its end before its beginning."""
    owners, one = PrefixOwners(blocks=3), InstanceId("one")
    old, new = block_keys(A + B, 10), block_keys(C + A, 10)

    owners.remember(old, one)
    owners.remember(new, one)

    assert len(owners) == 3
    assert owners.longest(old, {one}) == (1, [one])
    assert owners.longest(new, {one}) == (2, [one])


def test_few_owners_are_remembered_for_a_block() -> None:
    """The latest ones."""
    owners, keys = PrefixOwners(blocks=10), block_keys(A, 10)
    lives = [InstanceId(str(number)) for number in range(20)]

    for life in lives:
        owners.remember(keys, life)

    assert owners.longest(keys, set(lives)) == (1, lives[: -MOST_OWNERS - 1 : -1])


def test_memory_is_bounded_by_the_blocks_even_for_one_endless_prompt() -> None:
    """A prompt with more blocks than can be remembered keeps its beginning."""
    routing, candidates = policy(blocks=50), make_candidates(3)

    first = routing.choose(prompt("".join(f"{number:10}" for number in range(900))), candidates)
    again = routing.choose(prompt("".join(f"{number:10}" for number in range(60))), candidates)

    assert again is first


def test_keys_stand_for_all_the_text_before_them() -> None:
    """Equal blocks behind unequal ones are not equal."""
    assert block_keys(A + C, 10)[1] != block_keys(B + C, 10)[1]
    assert block_keys(A + C, 10)[0] == block_keys(A + B, 10)[0]
    assert len(block_keys(A + "rest", 10)) == 1
