"""SIGTERM and SIGINT: the first is a wish to end, the second an order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from flashcore.worker.loop_thread import LoopThread

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Counts stop signals and reports each, on the control loop, as its number.

    The interpreter runs handlers in the main thread, between two steps of its code: a signal is not heard while user
    code is inside a C function there. A provider says the same over the control socket, which is.
    """

    def __init__(self, threads: LoopThread, heard: Callable[[int], None]) -> None:
        self._threads = threads
        self._heard = heard
        self._count = 0
        self._process = os.getpid()

    def install(self) -> None:
        """Begin; must run in the main thread."""
        for number in _STOPPING:
            signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # A child that user code forked has inherited this handler; it is to end as any process does.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._count += 1
        self._threads.call(self._heard, self._count)
