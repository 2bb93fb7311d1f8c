"""Whose turn it is on a connection: its thread's, or for a moment the event loop's.

The loop's thread may be interrupted between any two steps, as by Ctrl-C: also after it got a lock, before it knows so.
So the locks know themselves who has them, and the loop gives back whatever it has, in whichever step it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from threading import RLock
from typing import TypeVar

T = TypeVar("T")


class Busy(Exception):  # no error: whoever wanted a look asks the thread
    """The thread is in the middle of something that takes longer."""


class Turns:
    """The thread works in `held`, and gives way between two statements; the loop takes its turn then."""

    def __init__(self) -> None:
        self._held = RLock()
        self._next = RLock()
        """Had by who waits for `_held`. Without it the thread would take that again before another one woke up."""
        self._wanted = False
        """The loop waits for its turn, or was interrupted when it did."""

    @contextlib.contextmanager
    def held(self) -> Generator[None, None, None]:
        """The thread has the connection."""
        with self._next:
            self._held.acquire()
        try:
            yield
        finally:
            self._held.release()

    def give_way(self) -> None:
        """The thread has it, and lets the loop have it first."""
        if self._wanted:
            self._held.release()
            with self._next:
                self._held.acquire()

    def take(self, patience: float, work: Callable[[], T]) -> T:
        """The loop has the connection for some work.

        Raises Busy after at most twice so many seconds, or what that work does.
        """
        try:
            self._take(patience)
            return work()
        finally:
            try:
                self._give_back()
            finally:  # it may have been interrupted itself
                self._give_back()

    def _take(self, patience: float) -> None:
        self._wanted = True
        if not self._next.acquire(timeout=patience) or not self._held.acquire(timeout=patience):
            raise Busy
        self._next.release()
        self._wanted = False

    def _give_back(self) -> None:
        self._wanted = False
        _let_go(self._next)
        _let_go(self._held)


def _let_go(lock: RLock) -> None:
    """Give it back if this thread has it."""
    try:
        while True:
            lock.release()
    except RuntimeError:  # it has not, or no longer
        return
