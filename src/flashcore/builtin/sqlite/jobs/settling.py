"""Letting go of what memory does not need any more, in small steps.

Callers wait for all else that the event loop does, and nobody for this. So it is done when callers and workers have
just been told something, and the loop is likely to wait for them.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice

from flashcore.builtin.sqlite.jobs.book import Book

FEWEST = 64
"""Jobs of a step."""

PART = 4
"""A step has one part in so many of all that wait: it never becomes much more, however quickly it comes."""


QUIET = 0.01
"""Seconds after which there is a step where callers were told of nothing meanwhile."""


class Settling:
    """Jobs whose changes are in the tables, in the order in which they came there."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Iterator[int], int]] = deque()
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, numbers: Collection[int], last: int) -> None:
        """Batches up to `last` changed these jobs."""
        self._waiting.append((iter(numbers), last))
        self._count += len(numbers)

    def step(self, book: Book) -> None:
        """Settle some of them."""
        left = max(FEWEST, self._count // PART)
        while left > 0 and self._waiting:
            numbers, last = self._waiting[0]
            some = list(islice(numbers, left))
            if len(some) < left:
                self._waiting.popleft()
            book.settle(some, last)
            self._count -= len(some)
            left -= len(some)

    def clear(self) -> None:
        """Memory was filled anew."""
        self._waiting.clear()
        self._count = 0


class Settler:
    """When there is a step; `book` is what memory is then."""

    def __init__(self, loop: AbstractEventLoop, book: Callable[[], Book]) -> None:
        self._loop = loop
        self._book = book
        self._waiting = Settling()
        self._is_due = False
        self._timer: TimerHandle | None = None

    def add(self, numbers: Collection[int], last: int) -> None:
        """As `Settling.add`."""
        self._waiting.add(numbers, last)
        self._step_later()

    def callers_are_told(self) -> None:
        """A batch was promised: in the next turn those who waited go on, in the one after it they tell others."""
        if self._waiting and not self._is_due:
            self._is_due = True
            soon = self._loop.call_soon
            soon(soon, soon, self._step)

    def clear(self) -> None:
        """As `Settling.clear`."""
        self._waiting.clear()

    def close(self) -> None:
        """Take no step by the clock any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _step(self) -> None:
        self._is_due = False
        self._waiting.step(self._book())
        self._step_later()

    def _step_later(self) -> None:
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(QUIET, self._step_in_quiet)

    def _step_in_quiet(self) -> None:
        self._timer = None
        self._step()
