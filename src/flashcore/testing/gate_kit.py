"""What every gate has to do, as functions that need no test framework, and as a class for pytest.

A gate's whole test file:

    from flashcore.testing.gate_kit import GateKit
    from flashcore_acme import OfficeHours, OfficeHoursGate

    class TestOfficeHours(GateKit):
        def gate(self): return OfficeHoursGate(OfficeHours())

The functions take a callable that makes the gate, and raise Nonconformance.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace

from flashcore.hookspecs.gates import Fail, Gate, GateView, Hold, Pass, Verdict
from flashcore.hookspecs.strategies import SideView
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.table import SideSignals
from flashcore.testing.conformance import require
from flashcore.testing.kit import Check, Kit, checks_of

Make = Callable[[], Gate]

STABLE, TARGET = RevisionId("a" * 64), RevisionId("b" * 64)
_SINCE = 1_800_000_000.0


def gate_views() -> Iterator[GateView]:
    """A checkpoint as gates meet it: just reached and long ago, with and without signals, promoted and not."""
    for waited in (0.0, 1.0, 3_600.0, 1e7):
        for promoted in (False, True):
            for stable, target in _signals():
                old = SideView(STABLE, 2, 2, 2) if stable is not None else None
                yield GateView(
                    EndpointName("tested"),
                    "promotion",
                    now=_SINCE + waited,
                    since=_SINCE,
                    promoted=promoted,
                    stable=old,
                    target=SideView(TARGET, 2, 2, 0),
                    stable_signals=stable,
                    target_signals=target,
                )


def check_verdict(make: Make) -> None:
    """Whatever it is shown, it answers Pass, Hold or Fail, and says why it does not pass."""
    for view in gate_views():
        verdict = make().verdict(view)
        require(isinstance(verdict, Pass | Hold | Fail), "a verdict is Pass, Hold or Fail", verdict)
        if not isinstance(verdict, Pass):
            require(verdict.reason.strip(), "Hold and Fail say why", verdict)


def check_pure(make: Make) -> None:
    """Equal views give equal verdicts: a gate is asked at every pass, by a controller that may have been restarted."""
    gate = make()
    for view in gate_views():
        first = gate.verdict(view)
        require(gate.verdict(replace(view)) == first, "equal views give equal verdicts", view)
        require(make().verdict(view) == first, "a gate remembers nothing: a new one says the same", view)


def check_wakes_later(make: Make) -> None:
    """A Hold that names a time names one to come, at which the verdict may be another."""
    for view in gate_views():
        verdict: Verdict = make().verdict(view)
        if isinstance(verdict, Hold) and verdict.until is not None:
            require(verdict.until > view.now, "Hold.until is in the future: else the controller never sleeps", verdict)


class GateKit(Kit):
    """Subclass it, call the subclass Test..., and say how to make the gate."""

    checks = checks_of(globals())

    @abstractmethod
    def gate(self) -> Gate:
        """A fresh gate."""

    def examine(self, check: Check) -> None:
        """Run one check."""
        check(self.gate)


def _signals() -> Iterator[tuple[SideSignals | None, SideSignals | None]]:
    def counted(revision: RevisionId, requests: int, failures: int) -> SideSignals:
        return SideSignals(revision, 1, requests, failures, {"0.1": requests // 2, "+Inf": requests})

    yield None, None
    yield None, counted(TARGET, 0, 0)
    for requests, failures in ((0, 0), (1, 1), (1_000, 0), (1_000, 3), (1_000, 1_000)):
        yield counted(STABLE, 10_000, 10), counted(TARGET, requests, failures)
