"""Recreate: one revision at a time."""

from flashcore.builtin.recreate import RecreateStrategy
from flashcore.hookspecs.strategies import Done, Progress, SideView, View
from flashcore.model.deployment import Budget, Traffic
from flashcore.model.names import RevisionId
from flashcore.model.parts import Recreate

OLD, TARGET = RevisionId("a"), RevisionId("b")


def view(old: SideView | None, target: SideView) -> View:
    """A view of a goal of 2."""
    return View(2, 0.0, (old,) if old else (), target, Traffic(), "", 0.0, frozenset())


def test_nothing_is_started_while_an_old_replica_still_drains() -> None:
    """Draining is still there: it may hold what cannot be held twice."""
    decision = RecreateStrategy(Recreate()).decide(view(SideView(OLD, 1, 0, 0, leaving=1), SideView(TARGET, 0, 0, 0)))

    assert (decision.old, decision.target) == (0, 0)


def test_all_of_the_target_is_started_when_nothing_is_left() -> None:
    """Then it may be as fast as it likes."""
    decision = RecreateStrategy(Recreate()).decide(view(None, SideView(TARGET, 0, 0, 0)))

    assert (decision.target, decision.outcome) == (2, Progress())


def test_it_is_done_when_all_are_ready() -> None:
    """And not before."""
    assert RecreateStrategy(Recreate()).decide(view(None, SideView(TARGET, 2, 1, 1))).outcome == Progress()
    assert RecreateStrategy(Recreate()).decide(view(None, SideView(TARGET, 2, 2, 2))).outcome == Done()


def test_its_budget_rules_out_two_revisions_side_by_side() -> None:
    """The core enforces that, whatever is decided."""
    assert RecreateStrategy(Recreate()).budget(2) == Budget(min_ready=0, max_existing=2, exclusive=True)
