"""An event loop whose time is virtual: when nothing is left to do, it is the time of the next timer at once.

    run_virtual(scenario())         # a day of sleeps takes as long as what happens in it

A loop with nothing to do and no timer would wait for ever: that is a deadlock of what is tested, and raised as one.
Threads and sockets have no part in virtual time; use twins in memory.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START = 1_767_225_600.0
"""Seconds since 1970 at which virtual time begins: 2026-01-01."""


class Deadlocked(RuntimeError):
    """Every task waits, and no timer will ever wake one."""


class VirtualSelector(selectors.SelectSelector):
    """Instead of waiting it moves the time on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, without waiting for it. Raises Deadlocked when there is nothing to wait for."""
        if timeout is None:
            ready = super().select(0)
            if not ready:
                raise Deadlocked("every task waits, and no timer will ever wake one")
            return ready
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time is seconds since 1970, and moves only when nothing else can happen."""

    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)
        # Seconds since 1970 have no nanoseconds in a float: with the real resolution no timer would ever be due.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """The virtual time."""
        return self._virtual.now


class VirtualTime:
    """The clock that goes with the running VirtualLoop; also a StateBackend's and a provider's clock."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ahead = 0.0

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self._loop.time() + self._ahead

    def now(self) -> float:
        """Seconds since 1970."""
        return self._loop.time() + self._ahead

    async def sleep_until(self, when: float) -> None:
        """Return at that time; at once when it has come."""
        if (remaining := when - self.now()) > 0:
            await asyncio.sleep(remaining)

    def jump(self, seconds: float) -> None:
        """Set the clock forward, or back where it is negative. Who sleeps already sleeps as long as it meant to."""
        self._ahead += seconds


def run_virtual(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time. Raises what it raises, and Deadlocked."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
