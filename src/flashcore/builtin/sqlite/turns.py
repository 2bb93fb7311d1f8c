"""Whose turn it is on a connection: its thread's, or for a moment the event loop's."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from threading import Lock


class Busy(Exception):  # no error: whoever wanted a look asks the thread
    """The thread is in the middle of something that takes longer."""


class Turns:
    """The thread works in `held`, and gives way between two statements; the loop takes its turn then."""

    def __init__(self) -> None:
        self._held = Lock()
        self._next = Lock()
        """Had by who waits for `_held`. Without it the thread would take that again before another one woke up."""

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
        if self._next.locked():
            self._held.release()
            with self._next:
                self._held.acquire()

    def take(self, patience: float) -> None:
        """The loop has the connection until it gives it back. Raises Busy after at most twice so many seconds."""
        if not self._next.acquire(timeout=patience):
            raise Busy
        try:
            came = self._held.acquire(timeout=patience)
        finally:
            self._next.release()
        if not came:
            raise Busy

    def give_back(self) -> None:
        """The loop has it no longer."""
        self._held.release()
