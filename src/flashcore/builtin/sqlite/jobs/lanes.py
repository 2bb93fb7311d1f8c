"""Queues: what is at the head of each lane, and the choice among lanes.

A queue is the jobs of one endpoint, stand and priority. Each of its lanes keeps the numbers of its oldest jobs at hand,
and remembers whether there are more on disk. A claim merges the heads of its lanes, so that it costs the same
however many jobs wait behind them.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from flashcore.builtin.sqlite.jobs.entry import Account
from flashcore.builtin.sqlite.jobs.stands import Stand
from flashcore.model.job import LANES

AT_HAND = 64
"""Numbers that a lane keeps; the next ones are left on disk."""


@dataclass(slots=True, eq=False)
class Lane:
    """The oldest jobs of one lane of a queue."""

    queue: Queue
    number: int
    waiting: list[int] = field(default_factory=list)
    """Ascending. Numbers of jobs that are not queued any more are dropped when they come up."""
    tail: int = 0
    """While there is `more`, only numbers up to this one may be taken: others on disk may be smaller than the next."""
    more: bool = False
    """Beyond `tail`, there may be jobs on disk."""
    spilled: int = 0
    """The last batch that left a new job on disk alone."""

    def append(self, n: int, batch: int) -> bool:
        """Take a new job in, whose number is the greatest; False when the batch of that number leaves it on disk."""
        if self.more or len(self.waiting) >= AT_HAND:
            self.more = True
            self.spilled = batch
            return False
        self.waiting.append(n)
        self.tail = n
        return True

    def insert(self, n: int) -> None:
        """Take a job in at its old place."""
        place = bisect_left(self.waiting, n)
        if place == len(self.waiting) or self.waiting[place] != n:
            self.waiting.insert(place, n)
        if not self.more:
            self.tail = max(self.tail, n)

    def fill(self, numbers: Sequence[int], *, flushed: int, wanted: int) -> None:
        """Take in what was found on disk beyond `tail`, after the batch `flushed`, when `wanted` were asked for."""
        for n in numbers:
            self.insert(n)
        self.more = len(numbers) >= wanted or self.spilled > flushed
        known = numbers if self.more else self.waiting
        self.tail = max((self.tail, *known[-1:]))
        self.queue.tidy(self)

    def drop(self, position: int) -> None:
        """Take a number out."""
        del self.waiting[position]
        self.queue.tidy(self)

    def ready(self, position: int) -> bool:
        """Whether there is a number at that position that may be taken."""
        return position < len(self.waiting) and (not self.more or self.waiting[position] <= self.tail)


@dataclass(slots=True, eq=False)
class Queue:
    """The lanes of one endpoint, stand and priority."""

    account: Account
    stand: Stand
    priority: int
    deep: bool = False
    """Lanes that are not in `lanes` may have jobs on disk; otherwise they are empty."""
    lanes: dict[int, Lane] = field(default_factory=dict)

    def lane(self, number: int) -> Lane:
        """A lane, made when it is used."""
        lane = self.lanes.get(number)
        if lane is None:
            lane = self.lanes[number] = Lane(self, number, more=self.deep)
            if self.deep and len(self.lanes) == LANES:
                self.deep = False
                for known in list(self.lanes.values()):
                    self.tidy(known)
        return lane

    def tidy(self, lane: Lane) -> None:
        """Let go of a lane that is empty, so that a claim looks only at those that are not."""
        if not self.deep and not lane.waiting and not lane.more:
            self.lanes.pop(lane.number, None)

    def among(self, numbers: range) -> Iterator[Lane]:
        """The lanes of a range that may have jobs."""
        if self.deep:
            yield from map(self.lane, numbers)
        else:
            yield from (lane for lane in self.lanes.values() if lane.number in numbers)

    @property
    def empty(self) -> bool:
        """Whether it is known that nothing is queued."""
        return not self.deep and not self.lanes


class Use(Enum):
    """What to do with a job that came up."""

    TAKE = "take"
    LEAVE = "leave"
    """It is for others: leave it where it is."""
    DROP = "drop"
    """It is not claimable any more."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The jobs to hand out, in order; or the lanes that must be filled before one can tell."""

    picks: tuple[tuple[Lane, int], ...] = ()
    starving: tuple[Lane, ...] = ()


def choose(lanes: list[Lane], count: int, judge: Callable[[int], Use]) -> Choice:
    """The oldest `count` jobs over all of these lanes that `judge` says to take."""
    starving = tuple(lane for lane in lanes if lane.more and not lane.ready(0))
    if starving:
        return Choice(starving=starving)
    heads = [(lane.waiting[0], index, 0) for index, lane in enumerate(lanes) if lane.waiting]
    heapq.heapify(heads)
    picks: list[tuple[Lane, int]] = []
    while heads and len(picks) < count:
        n, index, position = heads[0]
        lane = lanes[index]
        use = judge(n)
        if use is Use.DROP:
            lane.drop(position)
        else:
            position += 1
            if use is Use.TAKE:
                picks.append((lane, n))
        if lane.ready(position):
            heapq.heapreplace(heads, (lane.waiting[position], index, position))
        elif lane.more and len(picks) < count:
            return Choice(starving=(lane,))
        else:
            heapq.heappop(heads)
    return Choice(picks=tuple(picks))
