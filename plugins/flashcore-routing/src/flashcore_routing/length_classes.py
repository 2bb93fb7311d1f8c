"""Classes of body length whose boundaries follow the lengths that were seen."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import accumulate


class LengthClasses:
    """Sorts lengths into classes with equal bytes to do: many short requests in the first, few long in the last."""

    def __init__(self, window: int) -> None:
        self._seen: deque[int] = deque(maxlen=window)
        self._classes = 1
        self._boundaries: list[int] = []
        # Often enough to follow, seldom enough that sorting is not felt: an eighth of the window.
        self._every = max(1, window // 8)
        self._since = 0

    def divide(self, classes: int) -> None:
        """There are this many classes from now on."""
        self._classes = classes
        self._boundaries = boundaries(self._seen, classes)

    def observe(self, length: int) -> None:
        """A request of this length came."""
        self._seen.append(length)
        self._since += 1
        if self._since >= self._every:
            self._since = 0
            self._boundaries = boundaries(self._seen, self._classes)

    def of(self, length: int) -> range:
        """The classes that a length may go to: several where it is itself the boundary, all before any was seen."""
        if not self._boundaries:
            return range(self._classes)
        return range(bisect_left(self._boundaries, length), bisect_right(self._boundaries, length) + 1)


def boundaries(lengths: Sequence[int], classes: int) -> list[int]:
    """The upper ends of all classes but the last, none when there is nothing to go by."""
    ordered = sorted(lengths)
    sums = list(accumulate(ordered))
    if not sums or not sums[-1]:
        return []
    return [ordered[bisect_left(sums, sums[-1] * number / classes)] for number in range(1, classes)]
