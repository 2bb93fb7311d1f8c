"""analysis: worse, no worse, or too early to tell, whenever it is asked."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.hookspecs.gates import Fail, GateView, Hold, Pass, Verdict
from flashcore.hookspecs.strategies import SideView
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.table import SideSignals
from flashcore_canary import Analysis
from flashcore_canary.analysis import LOOK_AGAIN, AnalysisGate
from flashcore_canary.confidence import interval

OLD, TARGET = RevisionId("a" * 64), RevisionId("b" * 64)
SINCE = 1_800_000_000.0
QUICK, SLOW = 0.02, 0.3


def counted(revision: RevisionId, calls: int, failures: int = 0, slow: int = 0) -> SideSignals:
    """Calls of which so many failed and so many took 0.3 s instead of 0.02."""
    latency = {"0.005": 0, "0.05": calls - slow, "0.1": calls - slow, "0.5": calls, "+Inf": calls}
    return SideSignals(revision, 0, calls, failures, latency)


def view(old: SideSignals | None, new: SideSignals | None, waited: float = 0.0, *, promoted: bool = False) -> GateView:
    """A checkpoint with these counts."""
    sides = SideView(OLD, 2, 2, 2), SideView(TARGET, 1, 1, 1)
    return GateView(EndpointName("one"), "step 1", SINCE + waited, SINCE, promoted, *sides, old, new)


def verdict(old: SideSignals | None, new: SideSignals | None, waited: float = 0.0, **options: object) -> Verdict:
    """What the gate says, with options beyond the defaults."""
    return AnalysisGate(replace(Analysis(), **options)).verdict(view(old, new, waited))  # type: ignore[arg-type]  # any option


def test_a_revision_like_the_old_one_passes() -> None:
    """Once there are calls enough to say so."""
    assert verdict(counted(OLD, 20_000, 20), counted(TARGET, 2_000, 2)) == Pass()


def test_a_revision_that_fails_more_often_is_refused() -> None:
    """With the shares that prove it."""
    said = verdict(counted(OLD, 2_000, 2), counted(TARGET, 100, 20))

    assert isinstance(said, Fail)
    assert "the new revision is worse: failed calls:" in said.reason
    assert "against" in said.reason


def test_a_revision_that_is_slower_is_refused() -> None:
    """Nothing failed, but half of the calls take longer than 0.1 s."""
    said = verdict(counted(OLD, 2_000), counted(TARGET, 400, slow=200))

    assert isinstance(said, Fail)
    assert "calls over 0.05 s" in said.reason


@pytest.mark.parametrize(("old", "new"), [(None, None), (None, counted(TARGET, 9)), (counted(OLD, 9), None)])
def test_nothing_counted_is_no_verdict(old: SideSignals | None, new: SideSignals | None) -> None:
    """M44: neither good nor bad."""
    assert verdict(old, new) == Hold("nothing is counted yet", until=SINCE + LOOK_AGAIN)


def test_too_few_calls_are_no_verdict() -> None:
    """And it is said how many there are, and what is open."""
    said = verdict(counted(OLD, 5_000, 3), counted(TARGET, 10))

    assert isinstance(said, Hold)
    assert "10 calls of warm replicas of the new revision" in said.reason
    assert said.until == SINCE + LOOK_AGAIN


def test_few_failures_of_few_calls_fail_nothing() -> None:
    """M42: one unlucky call in ten is no proof."""
    assert isinstance(verdict(counted(OLD, 5_000), counted(TARGET, 10, 1)), Hold)


@pytest.mark.parametrize(("choice", "expected"), [("hold", Hold), ("pass", Pass), ("fail", Fail)])
def test_patience_ends_as_was_asked(choice: str, expected: type) -> None:
    """M44: an open question goes to a person, unless something else was wanted."""
    early = verdict(counted(OLD, 10), counted(TARGET, 1), 59, patience=60, if_unsure=choice)
    late = verdict(counted(OLD, 10), counted(TARGET, 1), 60, patience=60, if_unsure=choice)

    assert isinstance(early, Hold)
    assert early.until == SINCE + 60
    assert isinstance(late, expected)
    assert not isinstance(late, Hold) or late.until is None


def test_a_person_who_promotes_is_believed() -> None:
    """Whatever the counts say."""
    worse = view(counted(OLD, 2_000, 2), counted(TARGET, 100, 50), promoted=True)

    assert AnalysisGate(Analysis()).verdict(worse) == Pass()


def test_a_dry_run_lets_everything_pass_and_says_what_it_found() -> None:
    """M45: worse and open are notes; no worse needs none, nor does what a person promotes."""
    worse = verdict(counted(OLD, 2_000, 2), counted(TARGET, 100, 20), dry_run=True)
    unsure = verdict(counted(OLD, 5_000, 3), counted(TARGET, 10), dry_run=True)
    fine = verdict(counted(OLD, 20_000, 20), counted(TARGET, 2_000, 2), dry_run=True)

    assert isinstance(worse, Pass)
    assert worse.note.startswith("would have failed: the new revision is worse: failed calls:")
    assert isinstance(unsure, Pass)
    assert unsure.note.startswith("would have waited: 10 calls of warm replicas")
    assert fine == Pass()


@given(
    trials=st.integers(0, 5_000),
    share=st.floats(0, 1),
    risk=st.sampled_from((0.5, 0.05, 0.001)),
)
def test_an_interval_holds_what_was_seen(trials: int, share: float, risk: float) -> None:
    """Bounds are in order, within 0 and 1, and a smaller risk makes no narrower interval."""
    hits = round(trials * share)
    found, wider = interval(hits, trials, risk), interval(hits, trials, risk / 2)

    assert 0 <= found.low <= (hits / trials if trials else 0.5) <= found.high <= 1
    assert wider.low <= found.low
    assert found.high <= wider.high


@given(hits=st.integers(0, 40), more=st.integers(0, 400), risk=st.sampled_from((0.1, 0.01)))
def test_hits_and_misses_are_treated_alike(hits: int, more: int, risk: float) -> None:
    """The share of the ones is one less the share of the others."""
    found, other = interval(hits, hits + more, risk), interval(more, hits + more, risk)

    assert found.low == pytest.approx(1 - other.high, abs=1e-9)
    assert found.high == pytest.approx(1 - other.low, abs=1e-9)


def calls(seed: int, total: int, failing: float) -> Iterator[int]:
    """Failures so far, after each call."""
    chance, failures = random.Random(seed), 0
    for _ in range(total):
        failures += chance.random() < failing
        yield failures


def test_an_interval_is_right_at_every_look() -> None:
    """Of 100 worlds, looked at after each call, not more than the risk are ever shown a wrong interval."""
    risk, failing, wrong = 0.2, 0.1, 0
    for seed in range(100):
        looks = enumerate(calls(seed, 100, failing), start=1)
        found = (interval(hits, count, risk) for count, hits in looks)
        wrong += any(not one.low <= failing <= one.high for one in found)

    assert wrong <= 100 * risk


@pytest.mark.parametrize(("failing", "most"), [(0.5, 60), (0.2, 250), (0.1, 900)])
def test_worse_revisions_are_found_with_few_calls(failing: float, most: int) -> None:
    """With an old side that hardly ever fails, seen a lot."""
    old = counted(OLD, 10_000, 10)
    needed = []
    for seed in range(20):
        looks = enumerate(calls(seed, most, failing), start=1)
        needed.append(next((n for n, hits in looks if isinstance(verdict(old, counted(TARGET, n, hits)), Fail)), most))

    assert sorted(needed)[len(needed) // 2] < most


def test_slow_first_calls_of_a_cold_replica_are_not_held_against_the_revision() -> None:
    """Half of its calls were slow, all of them while it had only just become ready: the others are what counts."""
    old, new = counted(OLD, 20_000, 20), counted(TARGET, 4_000, 2, slow=2_000)
    told = replace(view(old, new), target_cold=counted(TARGET, 2_000, 0, slow=2_000))
    gate = AnalysisGate(Analysis())

    assert isinstance(gate.verdict(view(old, new)), Fail)
    assert gate.verdict(told) == Pass()
