"""The built-in gates."""

import math

import pytest

from flashcore.builtin.delay import DelayGate
from flashcore.builtin.manual import ManualGate
from flashcore.hookspecs.gates import GateView, Hold, Pass
from flashcore.hookspecs.strategies import SideView
from flashcore.model.errors import InvalidOptions
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.parts import Delay, Manual


def at(seconds: float, *, promoted: bool = False) -> GateView:
    """So long after the rollout came to its checkpoint."""
    side = SideView(RevisionId("b"), 1, 1, 0)
    return GateView(EndpointName("hello"), "promotion", 100.0 + seconds, 100.0, promoted, side, side, None, None)


def test_a_delay_passes_at_its_end_and_says_when_that_is() -> None:
    """E19: not a moment earlier, and counted from the checkpoint."""
    gate = DelayGate(Delay(60))

    assert gate.verdict(at(59.9)) == Hold("promotion waits for 60 s", until=160.0)
    assert gate.verdict(at(60)) == Pass()


def test_no_delay_is_a_delay() -> None:
    """Nothing is waited for."""
    assert DelayGate(Delay(0)).verdict(at(0)) == Pass()


def test_a_person_cuts_a_delay_short() -> None:
    """Whoever promotes has seen enough."""
    assert DelayGate(Delay(60)).verdict(at(1, promoted=True)) == Pass()


@pytest.mark.parametrize("seconds", [-0.1, math.nan, math.inf])
def test_a_delay_that_is_none_is_refused(seconds: float) -> None:
    """By the name of the option."""
    with pytest.raises(InvalidOptions, match="seconds must be a number from 0"):
        DelayGate(Delay(seconds))


def test_a_person_is_waited_for_without_an_end() -> None:
    """E21: there is no time at which it gives up."""
    held = ManualGate(Manual()).verdict(at(1e9))

    assert isinstance(held, Hold)
    assert held.until is None
    assert ManualGate(Manual()).verdict(at(0, promoted=True)) == Pass()
