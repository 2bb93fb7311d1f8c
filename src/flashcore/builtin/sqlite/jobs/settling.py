"""Letting go of what memory does not need any more, in small steps.

Callers wait for all else that the event loop does, and nobody for this. So it is done when callers and workers have
just been told something, and the loop is likely to wait for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice

from flashcore.builtin.sqlite.jobs.book import Book

FEWEST = 64
"""Jobs of a step."""

PART = 4
"""A step has one part in so many of all that wait: it never becomes much more, however quickly it comes."""


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
