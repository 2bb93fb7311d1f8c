"""Calling parts where one stands, in virtual time, and interrupting those that take real time.

In production a part has a thread of its own and a deadline. In a simulation the clock stands still while a part is
asked, so one that sleeps or never ends would hold up everything; here it is interrupted after a while by the real
clock, and said to hang, as it would be there.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from flashcore.control.consult import Calling, PartFailed, Problem

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds of real time. More than in production, where a part has a moment: a run must not end otherwise because the
machine had something else to do."""
AGAIN = 0.1
"""Seconds after which a part that has caught the interruption is interrupted again."""


class _TakesTooLong(BaseException):
    """Not an Exception, so that a part that catches those is interrupted too."""


class InTime:
    """An Isolation for the main thread, where alone a program can be interrupted; in others it only calls.

    A part that hung once is taken to hang for as long as the simulation lasts: no real time is spent on it twice.
    """

    def __init__(self, deadline: float = PATIENCE) -> None:
        self._deadline = deadline
        self._hanging: dict[str, str] = {}

    async def call(self, key: str, work: Callable[[Calling], T]) -> T:
        """See Isolation."""
        if key in self._hanging:
            raise self._overdue(self._hanging[key])
        asked: list[str] = ["a plugin"]
        try:
            with _interrupting(self._deadline):
                return work(asked.append)
        except _TakesTooLong:
            self._hanging[key] = asked[-1]
            raise self._overdue(asked[-1]) from None

    def _overdue(self, part: str) -> PartFailed:
        return PartFailed(Problem(part, f"it did not answer within {self._deadline:g} s"))


@contextmanager
def _interrupting(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGALRM, _interrupt)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        # Whoever else waits for this timer, the test runner's timeout for one, goes on waiting.
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise _TakesTooLong
