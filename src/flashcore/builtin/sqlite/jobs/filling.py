"""Bringing the next jobs of lanes from disk to hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial

from flashcore.builtin.sqlite.jobs import loading
from flashcore.builtin.sqlite.jobs.book import Book
from flashcore.builtin.sqlite.jobs.desk import Desk
from flashcore.builtin.sqlite.jobs.entry import Loaded
from flashcore.builtin.sqlite.jobs.lanes import Lane

LOW = 8
"""A lane with fewer numbers at hand is filled together with one that is empty."""
FEWEST, MOST, IN_ALL = 8, 48, 1_600
"""How many jobs are read for one lane, and for all of them together."""


class Filler:
    """Fills lanes, for one caller at a time: the next one mostly finds that it has been done."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._turn = asyncio.Lock()

    async def fill(self, lanes: Iterable[Lane]) -> None:
        """Read what is next in these lanes, and in those beside them that will soon be empty."""
        asked = [(lane, lane.tail) for lane in lanes]
        async with self._turn:
            wanting = [lane for lane, tail in asked if lane.more and lane.tail == tail]
            wanting = [lane for lane in wanting if self._desk.book.queues.owns(lane)]
            if wanting:
                await self._fill(wanting)

    async def _fill(self, wanting: list[Lane]) -> None:
        queues = {id(lane.queue): lane.queue for lane in wanting}.values()
        beside = [lane for queue in queues for lane in queue.lanes.values() if lane.more and len(lane.waiting) < LOW]
        lanes = list(dict.fromkeys([*wanting, *beside]))
        most = max(FEWEST, min(MOST, IN_ALL // len(lanes)))
        keys = [_key(lane) for lane in lanes]

        def hear(book: Book, flushed: int, found: Sequence[list[Loaded]]) -> None:
            for lane, loaded in zip(lanes, found, strict=True):
                book.fill(lane, loaded, flushed=flushed, wanted=most)

        await self._desk.read(partial(loading.lanes, keys, most), hear)


def _key(lane: Lane) -> loading.LaneKey:
    queue = lane.queue
    account = queue.account
    return loading.LaneKey(account.e, account.round, queue.stand, queue.priority, lane.number, lane.tail)
