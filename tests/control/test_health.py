"""Probe answers to health, by the scenario ids of the readiness state machine. S is a success, F a failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.control.health import Judgement, step
from flashcore.hookspecs.probes import Answer
from flashcore.model.declaration import ProbePolicy
from flashcore.model.names import InstanceId
from flashcore.model.replica import HEALTH_MOVES, Health

INSTANCE = InstanceId("one")
POLICY = ProbePolicy()
TERMINAL = ProbePolicy(failed_terminal=True)
POLICIES = st.builds(
    ProbePolicy,
    success_threshold=st.integers(1, 4),
    failure_threshold=st.integers(1, 4),
    liveness_factor=st.integers(1, 4),
    pending_factor=st.integers(1, 4),
    failed_terminal=st.booleans(),
)
ANSWERS = {"S": Answer.OK, "F": Answer.FAILING, "-": Answer.NEUTRAL}


def after(health: Health, answers: str, policy: ProbePolicy = POLICY, *, deadline: bool = False) -> Judgement:
    """The judgement after these answers, beginning in that state."""
    judgement = Judgement(INSTANCE, health)
    for letter in answers:
        judgement = step(judgement, ANSWERS[letter], "refused" if letter == "F" else "", policy, deadline=deadline)
    return judgement


def test_s3_two_successes_in_a_row_are_needed() -> None:
    """S3: pending after the first, healthy after the second, counters cleared."""
    assert after(Health.NOT_CHECKED, "S").health is Health.NOT_CHECKED
    assert after(Health.NOT_CHECKED, "SS") == Judgement(INSTANCE, Health.HEALTHY)


def test_s4_thirty_attempts_without_two_successes_in_a_row_are_a_failure() -> None:
    """S4: even when the thirtieth is a success."""
    assert after(Health.NOT_CHECKED, "FS" * 14 + "F").health is Health.NOT_CHECKED
    assert after(Health.NOT_CHECKED, "FS" * 15).health is Health.FAILED


def test_s5_twenty_nine_failures_are_pending_and_never_unhealthy() -> None:
    """S5: then one more is the end."""
    assert after(Health.NOT_CHECKED, "F" * 29).health is Health.NOT_CHECKED
    assert after(Health.NOT_CHECKED, "F" * 30).health is Health.FAILED


def test_a_success_promotes_before_the_cap_is_looked_at() -> None:
    """The thirtieth attempt is the second success in a row."""
    assert after(Health.NOT_CHECKED, "F" * 28 + "SS").health is Health.HEALTHY


def test_s8_the_cause_of_a_failure_is_kept() -> None:
    """S8: and shown with the state that it led to."""
    assert after(Health.HEALTHY, "FFF").detail == "refused"


def test_s9_a_transition_clears_the_counters() -> None:
    """S9: into failed as into any other state."""
    assert after(Health.NOT_CHECKED, "F" * 30).failures == 0


def test_s10_only_the_third_failure_in_a_row_makes_unhealthy() -> None:
    """S10, E57: a success between them begins the count again."""
    assert after(Health.HEALTHY, "FFSFF").health is Health.HEALTHY
    assert after(Health.HEALTHY, "FFSFFF") == Judgement(INSTANCE, Health.UNHEALTHY, detail="refused")


def test_s11_nine_more_failures_make_failed() -> None:
    """S11: the twelfth in a row, seen from healthy."""
    assert after(Health.UNHEALTHY, "F" * 8).health is Health.UNHEALTHY
    assert after(Health.UNHEALTHY, "F" * 9).health is Health.FAILED
    assert after(Health.HEALTHY, "F" * 12).health is Health.FAILED


def test_s12_unhealthy_recovers_after_two_successes_in_a_row() -> None:
    """S12: not after one, and not after two with a failure between them."""
    assert after(Health.UNHEALTHY, "SFS").health is Health.UNHEALTHY
    assert after(Health.UNHEALTHY, "SFSS").health is Health.HEALTHY


def test_s13_terminal_failure_stays() -> None:
    """S13, S14: no number of successes helps, and nothing is counted."""
    assert after(Health.FAILED, "S" * 50, TERMINAL) == Judgement(INSTANCE, Health.FAILED)


def test_s15_ordinary_failure_recovers() -> None:
    """S15: after as many successes as anybody needs."""
    assert after(Health.FAILED, "S").health is Health.FAILED
    assert after(Health.FAILED, "SS").health is Health.HEALTHY


def test_with_an_initial_delay_no_attempt_counts_against_a_replica_that_warms_up() -> None:
    """The delay is the only deadline there."""
    assert after(Health.NOT_CHECKED, "F" * 500, deadline=True).health is Health.NOT_CHECKED
    assert after(Health.NOT_CHECKED, "F" * 500 + "SS", deadline=True).health is Health.HEALTHY


@pytest.mark.parametrize("health", list(Health))
def test_neutral_answers_count_nowhere(health: Health) -> None:
    """Busy and still loading are no evidence."""
    assert after(health, "-" * 100) == Judgement(INSTANCE, health)
    assert after(Health.HEALTHY, "F-F-F").health is Health.UNHEALTHY


@given(
    answers=st.text("SF-", max_size=200),
    policy=POLICIES,
    deadline=st.booleans(),
    start=st.sampled_from(Health),
)
def test_every_transition_is_a_legal_move(answers: str, policy: ProbePolicy, deadline: bool, start: Health) -> None:  # noqa: FBT001  # hypothesis passes by name
    """Whatever the answers; a healthy replica is never called unchecked again by them."""
    judgement = Judgement(INSTANCE, start)
    for letter in answers:
        before = judgement.health
        judgement = step(judgement, ANSWERS[letter], "", policy, deadline=deadline)
        assert judgement.health is before or judgement.health in HEALTH_MOVES[before]
        assert judgement.health is not Health.NOT_CHECKED or before is Health.NOT_CHECKED


def by_the_book(answers: str, policy: ProbePolicy, start: Health, *, deadline: bool) -> Health:
    """What a reader of the table of parameters would say, looking at the whole history instead of counting."""
    health, since = start, ""
    for letter in answers.replace("-", ""):
        since += letter
        if health is Health.FAILED and policy.failed_terminal:
            continue
        patience = policy.failure_threshold * (policy.liveness_factor if health is Health.UNHEALTHY else 1)
        if health is not Health.HEALTHY and since.endswith("S" * policy.success_threshold):
            health, since = Health.HEALTHY, ""
        elif health is Health.NOT_CHECKED:
            if not deadline and len(since) >= policy.failure_threshold * policy.pending_factor:
                health, since = Health.FAILED, ""
        elif health is not Health.FAILED and since.endswith("F" * patience):
            health, since = (Health.UNHEALTHY if health is Health.HEALTHY else Health.FAILED), ""
    return health


@given(
    answers=st.one_of(st.text("SF-", max_size=150), st.text("SFFFFF", max_size=150), st.text("SSSF", max_size=40)),
    policy=POLICIES,
    deadline=st.booleans(),
    start=st.sampled_from(Health),
)
def test_the_machine_says_what_the_table_of_parameters_says(
    answers: str,
    policy: ProbePolicy,
    deadline: bool,  # noqa: FBT001  # hypothesis passes by name
    start: Health,
) -> None:
    """S3, S4, S5, S9, S10, S11, S12, S13, S15: for any thresholds and any answers, from any state."""
    assert after(start, answers, policy, deadline=deadline).health is by_the_book(
        answers, policy, start, deadline=deadline
    )


@given(answers=st.text("SF-", max_size=100), policy=POLICIES, start=st.sampled_from(Health))
def test_no_count_outlives_the_state_that_it_belongs_to(answers: str, policy: ProbePolicy, start: Health) -> None:
    """S9: entering a state clears the counters; what is counted never reaches what would have ended the state."""
    judgement = Judgement(INSTANCE, start)
    for letter in answers:
        before = judgement
        judgement = step(judgement, ANSWERS[letter], "", policy, deadline=False)
        if judgement.health is not before.health:
            assert (judgement.successes, judgement.failures, judgement.attempts) == (0, 0, 0)
        assert judgement.health is Health.HEALTHY or judgement.successes < policy.success_threshold
