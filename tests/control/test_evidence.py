"""Gates see what was counted since the checkpoint, whatever gateways counted before."""

from __future__ import annotations

import dataclasses

from flashcore.control.consult import Question
from flashcore.control.evidence import Evidence
from flashcore.hookspecs.strategies import SideView, View
from flashcore.model.declaration import Policy
from flashcore.model.deployment import Budget, Deployment, Rollout, Traffic
from flashcore.model.names import Digest, EndpointName, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointSignals, SideSignals

OLD, NEW = RevisionId("old"), RevisionId("new")
VIEW = View(1, 0.0, (SideView(OLD, 1, 1, 1),), SideView(NEW, 1, 1, 0), Traffic(0), "", 0.0, frozenset())
QUESTION = Question(EndpointName("e"), VIEW, None, "promotion", 0.0, promoted=False)


def deployment_at(generation: int) -> Deployment:
    """A deployment whose rollout has that number."""
    from flashcore.model.deployment import Surface

    surface = Surface("http", PartRef("p2c"), PartRef("http"), PartRef("fixed"))
    rollout = Rollout(generation, NEW, 0.0, Budget(1, 2))
    return Deployment(
        EndpointName("e"), "load_balanced", Policy(), Digest("d"), surface=surface, goal=1, stable=OLD, rollout=rollout
    )


def heard(gateway: str, requests: int, failures: int = 0) -> EndpointSignals:
    """What a gateway says that it counted of the new side since it started."""
    latency = {"0.1": requests}
    return EndpointSignals((SideSignals(OLD), SideSignals(NEW, 0, requests, failures, latency)), gateway=gateway)


def seen(evidence: Evidence, *signals: EndpointSignals, generation: int = 1) -> SideSignals | None:
    """The new side as a gate sees it."""
    return evidence.add_to(QUESTION, deployment_at(generation), signals).target_signals


def cold(evidence: Evidence, requests: int, *, cold: bool) -> tuple[int, int]:
    """All requests of the new side, and those of cold replicas, after one more look."""
    question = dataclasses.replace(QUESTION, cold=frozenset({NEW} if cold else ()))
    found = evidence.add_to(question, deployment_at(1), (heard("a", requests),))
    assert found.target_signals is not None
    assert found.target_cold is not None
    return found.target_signals.requests, found.target_cold.requests


def test_only_what_was_counted_since_the_checkpoint_is_seen() -> None:
    """The first look is the zero, and later counts are summed over gateways."""
    evidence = Evidence()

    assert seen(evidence, heard("a", 100, 7), heard("b", 50)) == SideSignals(NEW, latency={"0.1": 0})
    assert seen(evidence, heard("a", 110, 8), heard("b", 52)) == SideSignals(NEW, 0, 12, 1, {"0.1": 12})


def test_a_gateway_that_started_anew_is_counted_from_its_start() -> None:
    """Its counts begin at 0 again, and none of them is lost or negative."""
    evidence = Evidence()
    seen(evidence, heard("a", 100))

    assert seen(evidence, heard("a", 3)) == SideSignals(NEW, 0, 3, 0, {"0.1": 3})


def test_another_rollout_begins_at_zero() -> None:
    """What the last target did says nothing of this one."""
    evidence = Evidence()
    seen(evidence, heard("a", 100))
    seen(evidence, heard("a", 120))

    found = seen(evidence, heard("a", 120), generation=2)

    assert found is not None
    assert found.requests == 0


def test_away_from_a_checkpoint_nothing_is_added() -> None:
    """Between checkpoints no gate is asked."""
    away = dataclasses.replace(QUESTION, checkpoint=None)

    assert Evidence().add_to(away, deployment_at(1), (heard("a", 1),)) is away


def test_what_came_while_a_replica_was_cold_is_told_apart() -> None:
    """From the look that saw it cold to the first one that sees it warm, and again for a replica that is replaced."""
    evidence = Evidence()

    assert cold(evidence, 100, cold=True) == (0, 0)
    assert cold(evidence, 107, cold=True) == (7, 7)
    assert cold(evidence, 110, cold=False) == (10, 10)
    assert cold(evidence, 150, cold=False) == (50, 10)
    assert cold(evidence, 160, cold=True) == (60, 20)
    assert cold(evidence, 160, cold=False) == (60, 20)
    assert cold(evidence, 161, cold=False) == (61, 20)


def test_a_gate_that_compares_leaves_cold_counts_out() -> None:
    """Of the requests, the failures and the histogram alike."""
    everything = SideSignals(NEW, 3, 20, 5, {"0.1": 12, "+Inf": 20})
    first_calls = SideSignals(NEW, 0, 8, 4, {"0.1": 2, "+Inf": 8})

    assert everything.without(first_calls) == SideSignals(NEW, 3, 12, 1, {"0.1": 10, "+Inf": 12})
