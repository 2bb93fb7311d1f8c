"""When the tables get what is promised: once it is enough, or a moment has passed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial

from flashcore.builtin.sqlite.jobs.applying import apply
from flashcore.builtin.sqlite.jobs.backlog import Backlog, Segment
from flashcore.builtin.sqlite.jobs.files import Files

SOON = 1.0
"""Seconds after which what is promised is applied, however little it is."""


class Applier:
    """Empties a backlog. `settled` hears of jobs whose changes up to a batch are in the tables."""

    def __init__(self, files: Files, backlog: Backlog, settled: Callable[[Collection[int], int], None]) -> None:
        self._files = files
        self._backlog = backlog
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self._applying = False
        self._holds_off = False
        """The tables could not be written a moment ago."""
        self._reminder: asyncio.TimerHandle | None = None
        self._closed = False

    def look_at_backlog(self) -> None:
        """It has grown, or may be applied again."""
        if self._backlog.is_ripe and not self._holds_off:
            self._apply()
        elif self._backlog and self._reminder is None and not self._closed:
            self._reminder = self._loop.call_later(SOON, self.apply_soon)

    def apply_soon(self) -> None:
        """Apply what there is, though it may not be enough."""
        self._reminder, self._holds_off = None, False
        self._apply()

    def applied(self, segments: Sequence[Segment]) -> None:
        """The tables have these, whoever wrote them."""
        for segment in self._backlog.applied(segments):
            self._settled(segment.touched, segment.last)

    async def apply_all(self) -> None:
        """Apply all that there is, on disk when this returns. Raises StorageFull or StateError."""
        writer = self._files.writer
        await writer.read(partial(apply, self._backlog.all(), writer.give_way, synced=True))

    def close(self) -> None:
        """Apply nothing any more unless asked to."""
        self._closed = True
        if self._reminder is not None:
            self._reminder.cancel()

    def _apply(self) -> None:
        segments = self._backlog.first()
        if self._applying or self._closed or not segments:
            return
        writer, journal, last = self._files.writer, self._files.journal, segments[-1].last
        synced = journal.waits_for(last)

        def told(wrote: bool) -> None:  # noqa: FBT001 - what the thread tells
            if synced and wrote:
                journal.settle(last)
            self.applied(segments)

        work = partial(apply, segments, writer.give_way, synced=synced)
        writer.read(work, told).add_done_callback(self._ended)
        self._applying = True

    def _ended(self, written: asyncio.Future[bool]) -> None:
        self._applying = False
        # Where that failed nothing is lost; once there is no more room for what waits, callers hear why.
        self._holds_off = written.cancelled() or written.exception() is not None
        self.look_at_backlog()
