"""The kit for gates sees each fault that it is there for, and passes the built-in ones."""

from collections.abc import Callable

import pytest

from flashcore.builtin.delay import DelayGate
from flashcore.builtin.manual import ManualGate
from flashcore.hookspecs.gates import Fail, Gate, GateView, Hold, Pass, Verdict
from flashcore.model.parts import Delay, Manual
from flashcore.testing import gate_kit as kit
from flashcore.testing.conformance import Nonconformance
from flashcore.testing.gate_kit import GateKit


class TestManual(GateKit):
    """The built-in `manual`."""

    def gate(self) -> Gate:
        """It has no options."""
        return ManualGate(Manual())


class TestDelay(GateKit):
    """The built-in `delay`."""

    def gate(self) -> Gate:
        """A minute."""
        return DelayGate(Delay(60.0))


class SaysNothing:
    """Holds without a reason."""

    def verdict(self, view: GateView) -> Verdict:
        """An empty reason."""
        return Hold("")


class Counts:
    """Passes when it was asked often enough."""

    def __init__(self) -> None:
        self.asked = 0

    def verdict(self, view: GateView) -> Verdict:
        """The third time."""
        self.asked += 1
        return Pass() if self.asked > 3 else Fail("asked too seldom")


class WakesInThePast:
    """Wants to be asked again before it was asked."""

    def verdict(self, view: GateView) -> Verdict:
        """When the checkpoint was reached."""
        return Hold("an hour", until=view.since)


FAULTS: list[tuple[Callable[[], Gate], Callable[[Callable[[], Gate]], None]]] = [
    (SaysNothing, kit.check_verdict),
    (Counts, kit.check_pure),
    (WakesInThePast, kit.check_wakes_later),
]


@pytest.mark.parametrize(("make", "check"), FAULTS)
def test_a_fault_is_seen(make: Callable[[], Gate], check: Callable[[Callable[[], Gate]], None]) -> None:
    """The kit says which rule is broken."""
    with pytest.raises(Nonconformance):
        check(make)


def test_every_check_has_a_fault_that_it_sees() -> None:
    """A check that cannot fail is a defect."""
    assert set(GateKit.checks.values()) == {check for _, check in FAULTS}
