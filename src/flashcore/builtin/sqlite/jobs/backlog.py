"""What is in the journal and not in the tables yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from flashcore.builtin.sqlite.jobs.batch import Batch
from flashcore.builtin.sqlite.jobs.changes import Changes

ENOUGH_JOBS = 256
"""Jobs of a segment: commits wait while one is applied."""
ENOUGH_BYTES = 1 << 20
"""Bytes of payloads of a segment."""
MOST_SEGMENTS = 8
"""Beyond them nothing is promised without being written to the tables, so that memory has a bound where these fail."""


@dataclass(slots=True, eq=False)
class Segment:
    """The changes of consecutive batches up to number `last`, applied together."""

    last: int = 0
    changes: Changes = field(default_factory=Changes)
    touched: set[int] = field(default_factory=set)
    """All jobs that these batches changed, also those of which nothing is left."""

    @property
    def is_enough(self) -> bool:
        """Whether it is to be applied now."""
        return is_enough(len(self.touched), self.changes)


def is_enough(jobs: int, changes: Changes) -> bool:
    """Whether so many jobs with these changes are to be written to the tables together."""
    return jobs >= ENOUGH_JOBS or changes.size >= ENOUGH_BYTES


class Backlog:
    """Segments in their order. The last one grows, until it is enough or somebody else has it."""

    def __init__(self) -> None:
        self._segments: deque[Segment] = deque()
        self._open: Segment | None = None

    def __bool__(self) -> bool:
        return bool(self._segments)

    def add(self, batch: Batch, changes: Changes) -> None:
        """A batch is in the journal."""
        segment = self._open
        if segment is None:
            segment = self._open = Segment()
            self._segments.append(segment)
        segment.last = batch.number
        segment.changes.add(changes)
        segment.touched.update(batch.moves)
        if segment.is_enough:
            self._open = None

    @property
    def is_ripe(self) -> bool:
        """Whether the first segment is enough to be applied."""
        return bool(self._segments) and self._segments[0] is not self._open

    def takes(self, batch: Batch, changes: Changes) -> bool:
        """Whether a batch may be in the journal alone for a while: not one that is enough by itself, or too many."""
        usual = changes.may_wait and not batch.is_unusual
        return usual and len(self._segments) <= MOST_SEGMENTS and not is_enough(len(batch.moves), changes)

    def first(self) -> list[Segment]:
        """The first segment, which does not grow any more."""
        return self._closed([*self._segments][:1])

    def all(self) -> list[Segment]:
        """All segments, which do not grow any more."""
        return self._closed([*self._segments])

    def applied(self, segments: Sequence[Segment]) -> list[Segment]:
        """Take out what is in the tables now; returns those of `segments` that were not taken out before."""
        taken = []
        while self._segments and segments and self._segments[0].last <= segments[-1].last:
            taken.append(self._segments.popleft())
        return taken

    def _closed(self, segments: list[Segment]) -> list[Segment]:
        if self._open is not None and self._open in segments:
            self._open = None
        return segments
