"""What code costs is counted as it should be."""

import sys
from collections import OrderedDict, deque

from flashcore.testing.measure import Instructions, reachable


def test_instructions_grow_with_the_work() -> None:
    """Ten times the turns of a loop, ten times the instructions."""
    with Instructions() as short:
        sum(number for number in range(100))
    with Instructions() as long:
        sum(number for number in range(1_000))

    assert 8 < long.count / short.count < 12


def test_tracing_is_left_as_it_was() -> None:
    """A debugger goes on to work."""
    before = sys.gettrace()

    with Instructions():
        pass

    assert sys.gettrace() is before


class Holder:
    """Holds on to something."""

    def __init__(self, held: object) -> None:
        self.held = held


def test_what_is_held_is_reachable_through_all_containers() -> None:
    """Keys of dicts among it."""
    thing = ["deep inside"]
    held = {"by key": 1, "in": [deque([OrderedDict(a=(thing,))])]}

    found = reachable(Holder(held))

    assert thing in found
    assert "by key" in found
    assert "deep inside" in found


def test_code_is_not_held() -> None:
    """A function leads to its module, and a module to everything."""
    assert sys not in reachable(Holder([test_code_is_not_held, Holder, sys]))
