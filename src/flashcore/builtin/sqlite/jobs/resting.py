"""Which jobs stay in memory although nothing needs them: those that were used last, within bounds."""

from __future__ import annotations

from collections import OrderedDict

MOST_JOBS = 10_000
MOST_BYTES = 32 << 20


class Resting:
    """Numbers of jobs with their sizes, the longest unused first."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[int, int] = OrderedDict()
        self._bytes = 0

    def add(self, n: int, size: int) -> None:
        """Note that a job was used now."""
        if n in self._sizes:
            self.discard(n)
        self._sizes[n] = size
        self._bytes += size

    def discard(self, n: int) -> None:
        """Forget a job that is needed again, or gone."""
        if n in self._sizes:
            self._bytes -= self._sizes.pop(n)

    def overdue(self) -> list[int]:
        """Take out what is beyond the bounds."""
        out: list[int] = []
        while self._sizes and (len(self._sizes) > MOST_JOBS or self._bytes > MOST_BYTES):
            n, size = self._sizes.popitem(last=False)
            self._bytes -= size
            out.append(n)
        return out
