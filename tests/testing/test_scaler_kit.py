"""The kit for scalers sees each fault that it is there for."""

import math
from collections.abc import Callable

import pytest

from flashcore.hookspecs.scalers import Scaler, ScaleView
from flashcore.testing import scaler_kit as kit
from flashcore.testing.conformance import Nonconformance
from flashcore.testing.scaler_kit import ScalerKit


class Sound:
    """A scaler without a fault: one replica for every ten calls."""

    def desired(self, view: ScaleView) -> int:
        """Rounded up."""
        return math.ceil((view.queued + view.in_flight) / 10)


class TestSound(ScalerKit):
    """A scaler without a fault passes."""

    def scaler(self) -> Scaler:
        """Nothing to configure."""
        return Sound()


class Fractions:
    """Half a replica."""

    def desired(self, view: ScaleView) -> int:
        """Not rounded."""
        return (view.queued + view.in_flight) / 10  # type: ignore[return-value]  # that is the fault


class Swings:
    """Counts the load per replica that there is, and so up and down for ever."""

    def desired(self, view: ScaleView) -> int:
        """Few when there are many, many when there are few."""
        return 1 if view.goal > 1 else 2


class GivesUp:
    """Takes replicas away when the queue is long."""

    def desired(self, view: ScaleView) -> int:
        """Nobody for a long queue."""
        return 0 if view.queued > 50 else 3


FAULTS: list[tuple[Callable[[], Scaler], Callable[[Callable[[], Scaler]], None]]] = [
    (Fractions, kit.check_number),
    (Swings, kit.check_settles),
    (GivesUp, kit.check_more_load_never_takes_away),
]


@pytest.mark.parametrize(("make", "check"), FAULTS)
def test_a_fault_is_seen(make: Callable[[], Scaler], check: Callable[[Callable[[], Scaler]], None]) -> None:
    """The kit says which rule is broken."""
    with pytest.raises(Nonconformance):
        check(make)


def test_every_check_has_a_fault_that_it_sees() -> None:
    """A check that cannot fail is a defect."""
    assert set(ScalerKit.checks.values()) == {check for _, check in FAULTS}
