"""Ctrl-C that is pressed in the middle of what belongs together."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """Let the block come to its end, and raise KeyboardInterrupt then if it was due within.

    What the block starts can be interrupted as ever: a handler is not inherited, as an ignored signal would be.
    """
    if threading.current_thread() is not threading.main_thread():  # another one is interrupted by nobody
        yield
        return
    pressed: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        pressed.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
