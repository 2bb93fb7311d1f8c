"""The clock of tests, and the clock of local stores on top of it."""

import pytest

from flashcore.builtin.local.clock import store_clock
from flashcore.testing.clock import VirtualClock


def test_time_moves_only_when_it_is_told_to() -> None:
    """On all of its faces."""
    clock = VirtualClock(start=100.0)

    clock.advance(5.0)

    assert (clock(), clock.wall(), clock.monotonic()) == (105.0, 105.0, 5.0)


def test_time_does_not_go_back() -> None:
    """Only a wall clock can be set."""
    clock = VirtualClock(start=100.0)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1.0)

    clock.set_wall(7.0)
    clock.advance(1.0)

    assert (clock(), clock.wall(), clock.monotonic()) == (101.0, 8.0, 1.0)


@pytest.mark.parametrize(("mark", "opened"), [(0.0, 100.0), (100.0, 100.0), (140.0, 140.0)])
def test_a_store_goes_on_from_its_mark_or_the_wall_clock(mark: float, opened: float) -> None:
    """Whichever is later; from then on only the monotonic clock counts."""
    clock = VirtualClock(start=100.0)
    now = store_clock(mark, clock.wall, clock.monotonic)

    clock.set_wall(1e9)
    clock.advance(3.0)

    assert now() == opened + 3.0
