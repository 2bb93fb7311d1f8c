"""Decisions held against the invariants, case by case: what is sound passes as it is, what is not by one is held."""

from typing import Any

import pytest

from flashcore.control.check import Checked, Ground, check, largest_share, nonsense, nonsense_in_budget
from flashcore.hookspecs.strategies import Decision, Done, Failed, Progress, Wait
from flashcore.model.deployment import Budget, Traffic


def ground(**changes: Any) -> Ground:
    """Four of the old revision, ready, none of the target; one more may exist."""
    usual: dict[str, Any] = {
        "goal": 4,
        "budget": Budget(4, 5),
        "traffic": Traffic(),
        **dict.fromkeys(("old_live", "old_ready", "old_exists"), 4),
        **dict.fromkeys(("target_live", "target_ready", "target_exists"), 0),
        **dict.fromkeys(("retiring_live", "retiring_exists"), 0),
        "stable": True,
        "hard_quota": False,
    }
    return Ground(**{**usual, **changes})


def both_ready(**changes: Any) -> Ground:
    """Both sides are there, whole."""
    target = dict.fromkeys(("target_live", "target_ready", "target_exists"), 4)
    return ground(**{"budget": Budget(4, 8), **target, **changes})


def counts(checked: Checked) -> tuple[int, int, int]:
    """Old, target, and how many retired ones go."""
    return checked.old, checked.target, checked.evict


SOUND = [
    Decision(0, 0, Progress()),
    Decision(1, 2, Wait("for a reason", until=1.5, at="promotion"), Traffic(50), "a step"),
    Decision(0, 3, Done(keep_old=0.0)),
    Decision(0, 3, Done(keep_old=7)),
    Decision(0, 3, Failed("it cannot be")),
]
UNSOUND = {
    "old and target": Decision(-1, 0, Progress()),
    "whole numbers": Decision(0, True, Progress()),
    "traffic must be a Traffic": Decision(0, 0, Progress(), 50),  # type: ignore[arg-type]  # that is what is wrong
    "step must be text": Decision(0, 0, Progress(), step=1),  # type: ignore[arg-type]  # as above
    "a wait must end at a time": Decision(0, 0, Wait("", until=float("nan"))),
    "a checkpoint is a name": Decision(0, 0, Wait("", at=1)),  # type: ignore[arg-type]  # as above
    "keep_old": Decision(0, 0, Done(keep_old=-1.0)),
    "outcome must be": Decision(0, 0, "done"),  # type: ignore[arg-type]  # as above
}


@pytest.mark.parametrize("decision", SOUND)
def test_a_decision_that_can_be_meant_is_none_of_nonsense(decision: Decision) -> None:
    """Whatever its outcome."""
    assert nonsense(decision) is None


@pytest.mark.parametrize("rule", UNSOUND)
def test_a_decision_that_cannot_be_meant_is_told_its_rule(rule: str) -> None:
    """The first that it breaks."""
    assert rule in (nonsense(UNSOUND[rule]) or "")


def test_one_in_place_is_a_budget() -> None:
    """A single replica may be replaced where it is."""
    assert nonsense_in_budget(Budget(0, 1), 1) is None
    assert nonsense_in_budget(Budget(1, 2), 1) is None
    assert "leave no room" in (nonsense_in_budget(Budget(1, 1), 1) or "")


@pytest.mark.parametrize(("ready", "share"), [(0, 0), (1, 49), (2, 74), (3, 99), (4, 100), (9, 100)])
def test_the_largest_share_is_what_rounds_down_to_as_many_as_are_ready(ready: int, share: int) -> None:
    """With a floor of four, one carries 49 %: a half would need two."""
    assert largest_share(ready, Budget(4, 8)) == share


def test_a_step_that_just_fits_is_not_clamped() -> None:
    """Neither in what may exist, nor in what must be ready."""
    done = check(Decision(4, 1, Progress()), ground())

    assert (counts(done), done.clamps) == ((4, 1, 0), ())


def test_each_side_keeps_what_its_own_share_needs_and_no_more() -> None:
    """Half of the traffic needs half of the floor."""
    done = check(Decision(2, 4, Progress(), Traffic(50)), both_ready(traffic=Traffic(50)))

    assert (counts(done), done.clamps) == ((2, 4, 0), ())


def test_a_side_below_what_its_share_needs_is_held() -> None:
    """One is too few for a half of four."""
    done = check(Decision(1, 4, Progress(), Traffic(50)), both_ready(traffic=Traffic(50)))

    assert counts(done) == (2, 4, 0)
    assert [clamp.rule for clamp in done.clamps] == ["min_ready"]


def test_a_side_without_traffic_may_go_at_once() -> None:
    """However many of it are ready."""
    done = check(Decision(0, 4, Done(), Traffic(100)), both_ready(traffic=Traffic(100)))

    assert (counts(done), done.clamps) == ((0, 4, 0), ())


def test_the_room_of_what_goes_is_had_by_what_comes() -> None:
    """A rollout that is taken back: unready ones of the target make room for the old revision."""
    half = ground(
        budget=Budget(2, 4), old_live=2, old_ready=2, old_exists=2, target_live=2, target_ready=0, target_exists=2
    )

    done = check(Decision(4, 0, Progress()), half)

    assert (counts(done), done.clamps) == ((4, 0, 0), ())


def test_retired_replicas_stay_while_nobody_needs_their_room() -> None:
    """Also where there is more than may exist: who does not grow takes nothing from them."""
    crowded = ground(budget=Budget(3, 4), retiring_live=2, retiring_exists=2)

    assert counts(check(Decision(4, 0, Progress()), crowded)) == (4, 0, 0)


def test_retired_replicas_go_for_as_many_as_are_to_come() -> None:
    """And no more of them."""
    crowded = ground(budget=Budget(4, 6), retiring_live=2, retiring_exists=2)

    done = check(Decision(4, 1, Progress()), crowded)

    assert (counts(done), done.clamps) == ((4, 1, 1), ())


def test_a_side_without_traffic_stays_while_the_other_has_nobody_ready() -> None:
    """I3: whoever is left answers, so that letting it go would be an outage of our making."""
    back = check(Decision(4, 0, Progress(), Traffic(0)), both_ready(old_ready=0, traffic=Traffic(0)))
    ahead = check(Decision(0, 4, Progress(), Traffic(100)), both_ready(target_ready=0, traffic=Traffic(100)))

    assert (counts(back), counts(ahead)) == ((4, 4, 0), (4, 4, 0))


def test_retired_replicas_make_room_for_one_that_tolerates_nobody_beside_it() -> None:
    """All of them, and only when something is to start; it starts when they are gone."""
    alone = {"budget": Budget(0, 4, exclusive=True), **dict.fromkeys(("old_live", "old_ready", "old_exists"), 0)}
    retired = {"retiring_live": 2, "retiring_exists": 2}

    assert counts(check(Decision(0, 4, Progress()), ground(**alone, **retired))) == (0, 0, 2)
    assert counts(check(Decision(4, 0, Progress()), ground(**alone, **retired))) == (0, 0, 2)
    assert counts(check(Decision(0, 0, Progress()), ground(**alone, **retired))) == (0, 0, 0)
    assert counts(check(Decision(0, 4, Progress()), ground(**alone, retiring_exists=2))) == (0, 0, 0)
