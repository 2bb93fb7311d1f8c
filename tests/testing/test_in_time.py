"""Parts that take real time are interrupted in a simulation."""

import asyncio
import signal
import time

import pytest

from flashcore.control.consult import Calling, PartFailed
from flashcore.testing.in_time import InTime


def sleeping(calling: Calling) -> None:
    """A part that sleeps, and catches whatever it is told."""
    calling("strategy 'sleepy'")
    try:
        time.sleep(600)
    except Exception:  # noqa: BLE001  # as careless parts do
        time.sleep(600)


def test_a_part_that_sleeps_is_interrupted_and_named_and_not_asked_again() -> None:
    """The second time costs nothing."""
    isolation = InTime(deadline=0.3)

    for _ in range(2):
        with pytest.raises(PartFailed, match=r"strategy 'sleepy': it did not answer within 0\.3 s"):
            asyncio.run(isolation.call("web", sleeping))


def test_a_part_that_answers_is_left_alone_and_so_is_who_else_has_set_a_timer() -> None:
    """The test runner's timeout uses the same one."""
    before = signal.getitimer(signal.ITIMER_REAL)
    handler = signal.getsignal(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 1000.0)
    try:
        assert asyncio.run(InTime().call("web", lambda _calling: 7)) == 7
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
        assert signal.getsignal(signal.SIGALRM) is handler
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
