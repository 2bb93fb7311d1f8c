"""When time does something to running jobs."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from flashcore.builtin.sqlite.jobs.entry import Entry
from flashcore.model import job_steps
from flashcore.model.job import JobStatus

_FEWEST = 2000
"""Marks that are kept whatever has become of their attempts."""


class Deadlines:
    """A mark for each attempt, the earliest first: a lease that is extended is looked at when its first end has come.

    `entries` are the jobs in memory by their numbers, all that run among them.
    """

    def __init__(self, entries: Mapping[int, Entry]) -> None:
        self._entries = entries
        self._marks: list[tuple[float, int]] = []
        self._most = _FEWEST

    def __len__(self) -> int:
        return len(self._marks)

    def watch(self, entry: Entry) -> None:
        """A job is running."""
        heapq.heappush(self._marks, (job_steps.due_at(entry.job), entry.n))
        if len(self._marks) > self._most:
            self._let_go()

    def overdue(self, now: float) -> list[Entry]:
        """Running jobs to which time has done something."""
        found: dict[int, Entry] = {}  # some have a mark of an earlier attempt, too
        while self._marks and self._marks[0][0] <= now:
            _, n = heapq.heappop(self._marks)
            entry = self._entries.get(n)
            if entry is None or entry.job.status is not JobStatus.IN_PROGRESS:
                continue
            if (due := job_steps.due_at(entry.job)) <= now:
                found[n] = entry
            else:
                heapq.heappush(self._marks, (due, n))
        return list(found.values())

    def _let_go(self) -> None:
        """Forget attempts that are over: most end long before their time, and there may be many a second."""
        marked = {n: entry for _, n in self._marks if (entry := self._entries.get(n)) is not None}
        running = [entry for entry in marked.values() if entry.job.status is JobStatus.IN_PROGRESS]
        self._marks = [(job_steps.due_at(entry.job), entry.n) for entry in running]
        heapq.heapify(self._marks)
        self._most = max(_FEWEST, 2 * len(running))
