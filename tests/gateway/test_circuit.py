"""Circuits: when a replica is left alone, when it is asked again, and what says nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flashcore.gateway.circuit import Circuit, CircuitRules, CircuitState
from flashcore.gateway.retrying import RESERVE, RetryBudget

RULES = CircuitRules(failures=3, least=4, rate=0.5, window=10.0, seconds=5.0, longest=20.0, trials=2)


def opened() -> Circuit:
    """A circuit that opened at 0."""
    circuit = Circuit(RULES)
    for _ in range(RULES.failures):
        circuit.failed(0.0, 0.0)
    return circuit


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    """Three in a row, not three in all."""
    circuit = Circuit(CircuitRules(failures=3))

    for good in (False, False, True, False, False):
        circuit.succeeded(0.0) if good else circuit.failed(0.0, 0.0)
    before = circuit.state
    circuit.failed(0.0, 0.0)

    assert (before, circuit.state) == (CircuitState.CLOSED, CircuitState.OPEN)


def test_half_of_a_windows_requests_open_it() -> None:
    """A replica that fails every other request never fails three times in a row."""
    circuit = Circuit(CircuitRules(failures=100, least=4, rate=0.5))

    for now in (1.0, 2.0):
        circuit.failed(now, now)
        circuit.succeeded(now)
    before = circuit.state
    circuit.failed(3.0, 3.0)

    assert (before, circuit.state) == (CircuitState.CLOSED, CircuitState.OPEN)


def test_a_share_counts_from_as_many_requests_as_are_asked_for() -> None:
    """One failure alone is all of nothing; of three requests, where three are asked for, two are enough."""
    circuit = Circuit(CircuitRules(failures=100, least=3, rate=0.5))

    circuit.failed(1.0, 1.0)
    circuit.succeeded(2.0)
    before = circuit.state
    circuit.failed(3.0, 3.0)

    assert (before, circuit.state) == (CircuitState.CLOSED, CircuitState.OPEN)


def test_failures_of_an_older_window_are_forgotten() -> None:
    """One failure every hour is no outage."""
    circuit = Circuit(CircuitRules(failures=100, least=2, rate=0.5, window=10.0))

    for now in range(0, 36_000, 3_600):
        circuit.failed(now, now)

    assert circuit.state is CircuitState.CLOSED


def test_at_most_k_trials_pass_while_it_is_half_open() -> None:
    """S56: of a hundred requests that come at once, two."""
    circuit = opened()

    refused = circuit.admits(4.9)
    passed = 0
    for _ in range(100):
        if circuit.admits(5.0):
            circuit.begin()
            passed += 1

    assert (refused, passed, circuit.state) == (False, RULES.trials, CircuitState.HALF_OPEN)


def test_it_closes_when_all_trials_succeed_and_opens_for_longer_when_one_fails() -> None:
    """S56: a replica that comes back is asked again; one that does not is left alone twice as long."""
    recovered, broken = opened(), opened()
    for circuit in (recovered, broken):
        for _ in range(RULES.trials):
            assert circuit.admits(5.0)
            circuit.begin()

    recovered.succeeded(5.0)
    half = recovered.state
    recovered.succeeded(5.0)
    broken.succeeded(5.0)
    broken.failed(5.0, 6.0)

    assert (half, recovered.state) == (CircuitState.HALF_OPEN, CircuitState.CLOSED)
    assert (broken.state, broken.until) == (CircuitState.OPEN, 6.0 + 2 * RULES.seconds)


def test_a_trial_that_says_nothing_is_neither_recovery_nor_failure() -> None:
    """S55: half-open and a 400 in answer: not recovered, and another trial may be made."""
    circuit = opened()
    for _ in range(10):
        assert circuit.admits(5.0)
        circuit.begin()
        circuit.ended_neutrally(5.0)

    assert circuit.state is CircuitState.HALF_OPEN


def test_requests_from_before_the_opening_are_no_trials() -> None:
    """A slow success from before the outage does not end it."""
    circuit = opened()
    assert circuit.admits(5.0)

    for _ in range(10):
        circuit.succeeded(4.0)

    assert circuit.state is CircuitState.HALF_OPEN


def test_trials_that_do_not_end_do_not_keep_it_out_for_ever() -> None:
    """A stream may take hours: after another while further trials are made."""
    circuit = opened()
    for _ in range(RULES.trials):
        circuit.admits(5.0)
        circuit.begin()

    assert not circuit.admits(14.9)
    assert circuit.admits(15.0)


@given(st.lists(st.tuples(st.sampled_from(["ok", "bad", "neutral"]), st.floats(0.0, 30.0))))
def test_a_replica_that_is_well_again_is_always_asked_again(past: list[tuple[str, float]]) -> None:
    """S56: whatever happened before: within the longest opening there are trials, and trials that succeed close it."""
    circuit, now = Circuit(RULES), 0.0
    for what, pause in past:
        now += pause
        if circuit.admits(now):
            circuit.begin()
            if what == "ok":
                circuit.succeeded(now)
            elif what == "bad":
                circuit.failed(now, now)
            else:
                circuit.ended_neutrally(now)

    now += RULES.longest
    for _ in range(2 * RULES.trials):
        if circuit.admits(now):
            circuit.begin()
            circuit.succeeded(now)
        now += RULES.longest

    assert circuit.state is CircuitState.CLOSED


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=20), st.floats(0.05, 1.0))
def test_retries_are_a_share_of_the_requests(bursts: list[tuple[int, int]], share: float) -> None:
    """Whatever fails: never more retries than the share, beside the reserve; and it is known before one is made."""
    budget, asked, made = RetryBudget(share), 0, 0

    for requests, retries in bursts:
        asked += requests
        for _ in range(requests):
            budget.deposit()
        for _ in range(retries):
            may = budget.has_any
            assert budget.withdraw() is may
            made += may

    assert made <= share * asked + RESERVE


def test_what_is_saved_up_is_the_reserve_and_not_more() -> None:
    """It is there at once, it is not made larger by quiet times, and comes back with the requests."""
    budget = RetryBudget(1.0)
    for _ in range(100):
        budget.deposit()

    assert [budget.withdraw() for _ in range(int(RESERVE) + 1)] == [True] * int(RESERVE) + [False]
    for _ in range(2):
        budget.deposit()
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]
