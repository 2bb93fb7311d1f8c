"""The kit for routing policies sees each fault that it is there for."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest
from flashcore.testing import routing_kit as kit
from flashcore.testing.conformance import Nonconformance


class Sound:
    """A policy without a fault: any candidate."""

    body_need = BodyNeed.NONE
    body_limit = 0

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """Any."""
        return random.choice(candidates)

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is remembered."""


class Copies(Sound):
    """Returns an equal candidate, on which nobody would count."""

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """A copy."""
        return replace(candidates[0])


class Remembers(Sound):
    """Chooses from the set as it was told of it, not from what it is asked about."""

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """One of those it knows."""
        return self.known[0]

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Keeps the set."""
        self.known = candidates


class ClingsToLeavers(Sound):
    """Goes on with the first replica that it ever chose, by object."""

    def __init__(self) -> None:
        self.mine: Candidate | None = None

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """The same for ever."""
        self.mine = self.mine or candidates[0]
        return self.mine


class NeedsTwo(Sound):
    """Compares two, as if there always were two."""

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """The less loaded of two at random."""
        return min(random.sample(candidates, 2), key=lambda candidate: candidate.in_flight)


class NeedsAHeader(Sound):
    """Takes it for granted that callers send a header."""

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """By the length of the key."""
        return candidates[len(request.headers["x-flashcore-key"]) % len(candidates)]


class BelievesReports(Sound):
    """Counts with a report that may be no number."""

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """By the report, rounded."""
        return min(candidates, key=lambda candidate: int(candidate.reported_load or 0))


class Counts(Sound):
    """Counts what is in flight itself."""

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """The first, which then has one more."""
        candidates[0].in_flight += 1
        return candidates[0]


class ReadsTheBody(Sound):
    """Reads a body that it never asked for."""

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """By the first byte."""
        return candidates[sum(request.body_start[:1]) % len(candidates)]


class AsksForNothing(Sound):
    """Needs the body, and no byte of it."""

    body_need = BodyNeed.START


class ComparesPairs(Sound):
    """Looks at every pair of candidates."""

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """The one that most others do not beat."""
        return max(candidates, key=lambda one: sum([one.in_flight <= other.in_flight for other in candidates]))


class SearchesItsPast(Sound):
    """Looks through all that it has seen."""

    def __init__(self) -> None:
        self.past: list[str] = []

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """By how often the path came."""
        self.past.append(request.path)
        return candidates[sum([path == request.path for path in self.past]) % len(candidates)]


class NeverForgets(Sound):
    """Remembers every caller."""

    def __init__(self) -> None:
        self.callers: dict[str, str] = {}

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """Any, noted."""
        self.callers[request.path] = candidates[0].replica
        return candidates[0]


class PrefersTheFirst(Sound):
    """The least loaded, and of equals the first: while all are idle, one replica gets everything."""

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """The first of the least loaded."""
        return min(candidates, key=lambda candidate: candidate.in_flight)


class GoesByPosition(Sound):
    """Affinity by position, which another order of the same candidates breaks."""

    def choose(self, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
        """By the caller's number."""
        return candidates[int(request.now) % len(candidates)]


FAULTS: list[tuple[Callable[[], Sound], Callable[[Callable[[], Sound]], None]]] = [
    (Copies, kit.check_picks_a_candidate),
    (NeedsTwo, kit.check_single_candidate),
    (Remembers, kit.check_some_candidates_left_out),
    (ClingsToLeavers, kit.check_set_changes),
    (NeedsAHeader, kit.check_odd_requests),
    (BelievesReports, kit.check_odd_candidates),
    (Counts, kit.check_writes_nothing),
    (ReadsTheBody, kit.check_states_its_need),
    (AsksForNothing, kit.check_states_its_need),
    (ComparesPairs, kit.check_cost),
    (SearchesItsPast, kit.check_cost),
    (NeverForgets, kit.check_memory_ends),
    (PrefersTheFirst, kit.check_spread),
    (GoesByPosition, kit.check_affinity),
]


@pytest.mark.parametrize(("make", "check"), FAULTS)
def test_a_fault_is_seen(make: Callable[[], Sound], check: Callable[[Callable[[], Sound]], None]) -> None:
    """Either the kit says which rule is broken, or the policy raises."""
    with pytest.raises((Nonconformance, KeyError, ValueError, OverflowError)):
        check(make)


@pytest.mark.parametrize("check", [getattr(kit, name) for name in dir(kit) if name.startswith("check_")])
def test_every_check_has_a_fault_that_it_sees(check: Callable[[Callable[[], Sound]], None]) -> None:
    """A check that cannot fail is a defect."""
    assert check in {seen_by for _, seen_by in FAULTS}


class TestSound(kit.RoutingPolicyKit):
    """A policy without a fault passes, and skips what does not concern it."""

    def policy(self) -> Sound:
        """Nothing to configure."""
        return Sound()


def test_every_check_is_in_the_class() -> None:
    """Who subclasses the kit gets all of it."""
    assert set(kit.RoutingPolicyKit.checks.values()) == {
        getattr(kit, name) for name in dir(kit) if name.startswith("check_")
    }
