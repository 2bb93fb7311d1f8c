"""The last commits, kept so that watches that are up to date need not ask the database."""

from __future__ import annotations

from collections import deque

from flashcore.hookspecs.state import Batch

MOST_BATCHES = 1000
MOST_BYTES = 8 << 20


class RecentCommits:
    """Batches of consecutive revisions, the newest last, bounded in number and size."""

    def __init__(self, revision: int, history: int) -> None:
        """Begin with nothing, at the store's revision; keep no more commits than the store's history is long."""
        self.revision = revision
        self._most = min(MOST_BATCHES, history)
        self._batches: deque[Batch] = deque()
        self._bytes = 0

    def append(self, batch: Batch) -> None:
        """Add the commit that was written last."""
        if batch.revision != self.revision + 1:  # somebody interrupted the loop before the one between was added
            self._batches.clear()
            self._bytes = 0
        self.revision = batch.revision
        self._batches.append(batch)
        self._bytes += _size(batch)
        while len(self._batches) > self._most or self._bytes > MOST_BYTES:
            self._bytes -= _size(self._batches.popleft())

    def since(self, revision: int) -> list[Batch] | None:
        """All batches after a revision; None when some of them are not kept any more."""
        missing = self.revision - revision
        if missing > len(self._batches):
            return None
        return [self._batches[index] for index in range(len(self._batches) - missing, len(self._batches))]


def _size(batch: Batch) -> int:
    return sum(len(change.key) + len(change.value or b"") for change in batch.changes)
