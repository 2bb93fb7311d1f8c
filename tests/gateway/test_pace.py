"""How many jobs a worker of RunPod's SDK is given at a time."""

from hypothesis import given
from hypothesis import strategies as st

from flashcore.model.names import JobId
from flashcore.wire.pace import LONGEST_LIST, MANY_SLOTS, PATIENCE, SETTLE, InHand, Pace


def test_before_anything_is_known_it_gets_what_it_asks_for() -> None:
    """Its jobs may take hours."""
    assert Pace().allowance(1) == 1
    assert Pace().allowance(50) == 50


def test_long_jobs_are_given_as_they_are_asked_for() -> None:
    """A list would be stuck behind its first job, and slots would stay empty."""
    pace = Pace()
    pace.took(3.0)

    assert (pace.allowance(50), pace.in_batches) == (50, False)


def test_few_slots_with_short_jobs_get_a_second_of_work() -> None:
    """The package would sleep for a second after each of them."""
    pace = Pace()
    pace.took(0.05)

    assert pace.allowance(1) == 20
    assert not pace.in_batches


def test_many_slots_with_short_jobs_are_never_filled() -> None:
    """The package sleeps only when it is full."""
    pace = Pace()
    pace.allowance(50)
    pace.took(0.01)

    assert (pace.allowance(50), pace.in_batches) == (20, True)


def test_jobs_that_become_long_are_noticed() -> None:
    """After a few."""
    pace = Pace()
    for seconds in (0.01, 0.01, 2.0, 2.0):
        pace.took(seconds)

    assert pace.allowance(1) == 1


def test_a_long_job_keeps_short_ones_waiting_for_a_second_at_most() -> None:
    """Q25, Q30: one that was cancelled is never reported, and others may take hours; the slots beside them are free."""
    pace = Pace(slots=50)
    pace.took(0.01)
    hand = InHand(pace)
    hand.take([JobId("long"), JobId("short")], now=10.0)
    hand.end(JobId("short"), now=10.01)

    assert hand.due_in(10.25) == PATIENCE - 0.25
    assert hand.due_in(10.0 + PATIENCE) == 0

    hand.take([JobId("next")], now=20.0)
    hand.end(JobId("next"), now=20.01)

    assert 0 < hand.due_in(20.02) < SETTLE


def test_pacing_can_be_switched_off() -> None:
    """`poll_pacing = 0`."""
    pace = Pace(enabled=False)
    pace.took(0.01)

    assert pace.allowance(1) == 1


@given(slots=st.integers(1, 200), seconds=st.floats(0, 10), asked=st.integers(1, 200))
def test_an_allowance_is_never_nothing_and_never_without_bounds(slots: int, seconds: float, asked: int) -> None:
    """Whatever was measured."""
    pace = Pace(slots=slots)
    pace.took(seconds)

    allowance = pace.allowance(asked)

    assert 1 <= allowance <= max(asked, LONGEST_LIST)
    assert pace.slots < MANY_SLOTS or allowance <= asked
