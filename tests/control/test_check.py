"""Decisions held against the invariants, as arithmetic."""

from hypothesis import given
from hypothesis import strategies as st

from flashcore.control.check import Checked, Ground, check, largest_share, nonsense_in_budget
from flashcore.hookspecs.strategies import Decision, Done, Progress
from flashcore.model.deployment import Budget, Traffic, percent

COUNT = st.integers(0, 12)


@st.composite
def grounds(draw: st.DrawFn) -> Ground:
    """Any state of the sides that a sound budget may be held against."""
    goal = draw(st.integers(1, 10))
    floor = draw(st.integers(0, goal))
    budget = Budget(floor, draw(st.integers(goal if floor < goal else goal + 1, 2 * goal + 2)), draw(st.booleans()))
    old_live, target_live, retiring = draw(COUNT), draw(COUNT), draw(st.integers(0, 4))
    return Ground(
        goal=goal,
        budget=budget,
        traffic=Traffic(draw(st.one_of(st.none(), st.integers(0, 100)))),
        old_live=old_live,
        old_ready=draw(st.integers(0, old_live)),
        old_exists=old_live + draw(st.integers(0, 3)),
        target_live=target_live,
        target_ready=draw(st.integers(0, target_live)),
        target_exists=target_live + draw(st.integers(0, 3)),
        retiring_live=retiring,
        retiring_exists=retiring,
        stable=draw(st.booleans()),
        hard_quota=draw(st.booleans()),
    )


DECISIONS = st.builds(
    Decision,
    old=COUNT,
    target=COUNT,
    outcome=st.one_of(st.just(Progress()), st.just(Done())),
    traffic=st.builds(Traffic, st.one_of(st.none(), st.integers(0, 100))),
)


def kept(ready: int, live: int, wanted: int) -> int:
    """Ready replicas that are left when the unready ones go first."""
    return min(ready, wanted) if wanted < live else ready


@given(DECISIONS, grounds())
def test_i1_what_carries_traffic_never_falls_below_the_floor_by_our_doing(decision: Decision, ground: Ground) -> None:
    """In total, and for each side below its share."""
    done = check(decision, ground)
    old, target = (
        kept(ground.old_ready, ground.old_live, done.old),
        kept(ground.target_ready, ground.target_live, done.target),
    )
    floor, share = ground.budget.min_ready, done.traffic.percent
    before = {None: ground.old_ready + ground.target_ready, 0: ground.old_ready, 100: ground.target_ready}
    after = {None: old + target, 0: old, 100: target}
    carrying = share if share in (0, 100) else None
    assert after[carrying] >= min(before[carrying], floor)
    if share is not None and 0 < share < 100 and floor:
        assert target >= min(ground.target_ready, max(1, share * floor // 100))
        assert old >= min(ground.old_ready, max(1, (100 - share) * floor // 100))


@given(DECISIONS, grounds())
def test_i2_no_more_are_made_than_may_exist(decision: Decision, ground: Ground) -> None:
    """Draining ones count under a hard quota; what is too much already is not made more."""
    done = check(decision, ground)
    made = max(0, done.old - ground.old_live) + max(0, done.target - ground.target_live)
    if not made:
        return
    if ground.hard_quota:
        exist = ground.old_exists + ground.target_exists + ground.retiring_exists + made
    else:
        exist = done.old + done.target + ground.retiring_live - done.evict
    assert exist <= ground.budget.max_existing


@given(DECISIONS, grounds())
def test_i3_traffic_moves_only_to_what_can_carry_it(decision: Decision, ground: Ground) -> None:
    """More to the target only as far as its ready replicas go, less only as far as the old ones do."""
    done = check(decision, ground)
    now = ground.traffic.percent
    if done.traffic.percent is None or now is None:
        return
    if done.traffic.percent > now:
        assert done.traffic.percent <= largest_share(ground.target_ready, ground.budget)
    if done.traffic.percent < now:
        assert 100 - done.traffic.percent <= largest_share(ground.old_ready, ground.budget)


@given(DECISIONS, grounds())
def test_i4_no_old_side_grows_without_a_stable_one(decision: Decision, ground: Ground) -> None:
    """There would be nobody to make."""
    if not ground.stable:
        assert check(decision, ground).old <= ground.old_live


@given(DECISIONS, grounds())
def test_an_exclusive_budget_never_makes_one_side_beside_the_other(decision: Decision, ground: Ground) -> None:
    """Draining replicas of the other side are still there."""
    done = check(decision, ground)
    if not ground.budget.exclusive:
        return
    if done.target > ground.target_live:
        assert not ground.old_exists
    if done.old > ground.old_live:
        assert not ground.target_exists


@given(DECISIONS, grounds())
def test_done_is_believed_only_of_a_target_that_can_carry_everything(decision: Decision, ground: Ground) -> None:
    """One ready replica at the least."""
    done = check(decision, ground)
    if isinstance(done.outcome, Done):
        assert ground.target_ready >= max(1, ground.budget.min_ready)


@given(grounds())
def test_staying_as_it_is_is_never_clamped_into_growing(ground: Ground) -> None:
    """A strategy that changes nothing makes nothing."""
    stay = Decision(ground.old_live, ground.target_live, Progress(), ground.traffic)
    done = check(stay, ground)
    assert (done.old, done.target) == (ground.old_live, ground.target_live)
    assert done.traffic == ground.traffic


def ground(old: int = 4, target: int = 0, **others: object) -> Ground:
    """Four old ready replicas, a goal of four, one more may exist."""
    return Ground(
        goal=4,
        budget=Budget(4, 5),
        traffic=others.pop("traffic", Traffic()),  # type: ignore[arg-type]  # a Traffic
        old_live=old,
        old_ready=old,
        old_exists=old,
        target_live=target,
        target_ready=target,
        target_exists=target,
        **others,  # type: ignore[arg-type]  # fields of a Ground
    )


def test_a_clamp_says_which_rule_and_what_was_asked() -> None:
    """For the status, and for whoever wrote the strategy."""
    done: Checked = check(Decision(0, 9, Done(), percent(50)), ground())

    assert {clamp.rule for clamp in done.clamps} == {"traffic", "min_ready", "max_existing", "done_too_early"}
    assert (done.old, done.target, done.traffic) == (4, 1, percent(0))


def test_retired_replicas_make_room_before_anything_is_refused() -> None:
    """They are kept for convenience."""
    done = check(Decision(4, 1, Progress()), ground(retiring_live=3, retiring_exists=3))

    assert (done.target, done.evict) == (1, 3)


def test_budgets_that_leave_no_room_are_named() -> None:
    """Also those that are none."""
    assert nonsense_in_budget(Budget(4, 4), 4) is not None
    assert nonsense_in_budget(Budget(5, 9), 4) is not None
    assert nonsense_in_budget(Budget(0, 0), 4) is not None
    assert nonsense_in_budget(None, 4) is not None
    assert nonsense_in_budget(Budget(3, 4), 4) is None
    assert nonsense_in_budget(Budget(0, 4), 4) is None
