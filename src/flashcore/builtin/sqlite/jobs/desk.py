"""Group commit: calls of a moment share a transaction, and nobody is answered before it is on disk.

    idle -> a call changes something -> one turn of the loop later, or two, the batch goes to the disk
         -> meanwhile calls gather in the next batch -> it is there: the next batch goes -> callers wake up

Two turns where something is queued after the first, so that a job and its claim are written together: the doorbell
rings when a job is taken in, not when it is on disk; who waits for work hears it in the next turn and claims by the end
of the one after. That spares a job that is alone one of three syncs, and any other a row that is written twice. Nobody
is promised anything earlier for it: the caller hears that its job is accepted, and the worker gets it, after the one
transaction that has both. When that fails, or the process or the machine dies before its end, neither has happened, and
as the worker never heard of the job, the same one may have it later without using an attempt's token twice. Writing
claims without a sync would not spare more: a worker that is never idle has its claims in the transactions of its
results.

What is promised is one record of the journal. The tables have it later, with what was promised before and after it:
see `applying.py`. Meanwhile every job that it changed is in memory. Batches that memory should not keep, and the seldom
ones of other kinds, are written to the tables at once, after all that waits for that.

The tables are written by the database's thread, while the event loop goes on. It promises what is not large itself
where the disk has been quick: the way to the thread and back takes longer than that.

When a batch fails, everything that was decided since may rest on what was not written: the callers of that batch and
of the next one get the error, and memory is filled from the disk again: see `recovering.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from flashcore.builtin.local.clock import Clock
from flashcore.builtin.sqlite.committer import Call
from flashcore.builtin.sqlite.jobs.applier import Applier
from flashcore.builtin.sqlite.jobs.applying import Clash, Seen, promise, require_new, see, write_through
from flashcore.builtin.sqlite.jobs.backlog import Backlog, Segment
from flashcore.builtin.sqlite.jobs.batch import Batch
from flashcore.builtin.sqlite.jobs.book import Book, Standing
from flashcore.builtin.sqlite.jobs.changes import Changes
from flashcore.builtin.sqlite.jobs.entry import Entry, Loaded
from flashcore.builtin.sqlite.jobs.files import Files
from flashcore.builtin.sqlite.jobs.records import encode
from flashcore.builtin.sqlite.jobs.recovering import Found, Recovery
from flashcore.builtin.sqlite.jobs.replaying import end_life
from flashcore.builtin.sqlite.jobs.settling import Settler
from flashcore.builtin.sqlite.turns import Busy
from flashcore.model.errors import FlashcoreError, StateError
from flashcore.model.names import EndpointName

T = TypeVar("T")
R = TypeVar("R")

_MOST_CLASHES = 3

_MOST_HERE = 256 << 10
"""Bytes that the event loop promises itself where the disk is quick: it stands still meanwhile."""


class Desk:
    """Where every change of a job is asked for.

    `enqueued` hears of the endpoints that got a job that can be claimed, before that is on disk; `on_disk` of each
    batch that was written to the tables at once; `freed` of the files that no job needs any more.
    """

    def __init__(
        self,
        files: Files,
        standing: Standing,
        clock: Clock,
        enqueued: Callable[[frozenset[EndpointName]], None],
        on_disk: Callable[[Batch], None],
        freed: Callable[[tuple[str, ...]], None],
    ) -> None:
        self.book = Book(standing, Batch(1))
        """Valid from one `await` to the next, no longer."""
        self.handed_over = 0
        """The number of the last batch that was given to the database's thread."""
        self._writer = files.writer
        self._journal = files.journal
        self._clock = clock
        self._enqueued = enqueued
        self._on_disk = on_disk
        self._freed = freed
        self._loop = asyncio.get_running_loop()
        self._backlog = Backlog()
        self._settler = Settler(self._loop, lambda: self.book)
        self._applier = Applier(files, self._backlog, self._settler.add)
        self._recovery = Recovery(files, self._backlog, self._refill)
        self._flying = False
        self._scheduled = False
        self._outdated = False
        self._closed = False

    async def run(self, change: Callable[[Book], T], prepare: Callable[[], Awaitable[object]] | None = None) -> T:
        """Change something, and return what `change` does once that is on disk.

        `change` runs without interruption; what it raises, it must raise before it changes anything. `prepare` is
        awaited when a job of the batch turned out to exist on disk: it loads what `change` has to know.
        """
        for _ in range(_MOST_CLASHES):
            try:
                if self._outdated or self._closed:
                    await self.ready()
                result = change(self.book)
                self._ring()
                if (settled := self._until_settled()) is not None:
                    await settled
            except Clash:
                if prepare is not None:
                    await prepare()
            except (KeyboardInterrupt, SystemExit):
                self._spoil()
                raise
            else:
                return result
        raise StateError("jobs of one id or key are submitted again and again", next_step="use ids that are unique")

    def _spoil(self) -> None:
        """Somebody ends the program: what was changed may be half of it, and others may go by it already."""
        self.book.batch.is_spoiled = True
        self.when_settled(_nothing)

    async def load(self, query: Call[list[Loaded]]) -> list[tuple[Loaded, Entry | None]]:
        """Read jobs from the tables; each with its entry in memory, None for one that was taken out meanwhile."""
        return await self._read(list, query, lambda book, _, rows: [(loaded, book.adopt(loaded)) for loaded in rows])

    async def load_all(self, query: Call[list[Loaded]]) -> list[tuple[Loaded, Entry | None]]:
        """As `load`, for a query that looks for jobs in a state: it also sees what the tables do not have yet."""
        return await self.read(query, lambda book, _, rows: [(loaded, book.adopt(loaded)) for loaded in rows])

    async def read(self, query: Call[T], hear: Callable[[Book, int, T], R]) -> R:
        """Read from disk, and return what `hear` makes of it.

        `hear` gets the book, a batch up to which the query saw all, and the result; it is called in the order of
        commits, so that what is not in memory at that moment has not changed since it was read.
        """
        return await self._read(self._backlog.all, query, hear)

    async def _read(
        self, promised: Callable[[], list[Segment]], query: Call[T], hear: Callable[[Book, int, T], R]
    ) -> R:
        heard: list[R] = []

        def told(segments: list[Segment], book: Book, flushed: int, seen: Seen[T]) -> None:
            if seen.applied:
                self._applier.applied(segments)
            if book is self.book and not self._outdated:
                heard.append(hear(book, flushed, seen.result))

        while not heard:
            await self.ready()
            segments = promised()
            # A batch on its way may go into the journal, where the query does not look.
            flushed = self.handed_over - self._flying
            await self._writer.read(partial(see, segments, query), partial(told, segments, self.book, flushed))
        return heard[0]

    async def ready(self) -> None:
        """Wait until memory is what is on disk again, after a batch has failed. Raises StateError when it is closed."""
        self._require_open()
        while self._outdated:
            await asyncio.shield(self._recovery.begin(self.book.promised))
            self._require_open()

    def _require_open(self) -> None:
        if self._closed:
            raise StateError("the job store is closed", next_step="open it again")

    async def settled(self) -> None:
        """Wait until everything that was changed so far is on disk, or undone. Raises StorageFull or StateError."""
        while (settled := self._until_settled()) is not None:
            try:
                await settled
            except Clash:  # it belongs to whoever submitted that job, and makes the batch once more
                await self.ready()
            else:
                return

    def when_settled(self, told: Callable[[], None]) -> None:
        """Call `told` once everything that was changed so far is on disk, or never will be."""

        def heard(settled: asyncio.Future[None]) -> None:
            if not settled.cancelled():
                settled.exception()  # whoever asked for the changes hears of it
            told()

        if (settled := self._until_settled()) is None:
            told()
        else:
            settled.add_done_callback(heard)

    def _until_settled(self) -> asyncio.Future[None] | None:
        """What to wait for until everything that was changed so far is on disk; None if it is, or never will be."""
        batch = self.book.batch
        if self._outdated or not (self._flying or batch.writes):
            return None
        settled = self._loop.create_future()
        batch.waiting.append(settled)
        self._schedule()
        return settled

    async def close(self) -> None:
        """Write what was asked for, and accept nothing more."""
        self._closed = True
        self._applier.close()
        try:
            await self._take_up()
            with contextlib.suppress(Exception):  # whatever it is, those who asked have been told
                await self.settled()
            await self._recovery.ended()
            with contextlib.suppress(FlashcoreError):  # the journal's life ends, if all else goes well
                await self._recovery.take_back(self.book.promised)
            with contextlib.suppress(FlashcoreError):  # all of it is in the journal, and will be found there
                await self._applier.apply_all()
                await self._writer.write(partial(end_life, self.book.promised))
        finally:
            self._stop()

    async def _take_up(self) -> None:
        """What was interrupted before anything began goes on: what the thread tells, and what is to be written."""
        with contextlib.suppress(FlashcoreError):  # the database's end is heard by those who use it
            await self._writer.read(_nothing)
        self._hand_over()

    def _stop(self) -> None:
        """What was not handed over by now never will be: its files are about to be closed."""
        self._outdated = True
        self._settler.close()
        _refuse(self.book.batch, StateError("the job store is closed", next_step="open it again"))

    def _ring(self) -> None:
        enqueued = self.book.batch.enqueued
        if enqueued:
            self._enqueued(frozenset(enqueued))
            enqueued.clear()

    def _schedule(self) -> None:
        if not self._scheduled and not self._flying:
            self._scheduled = True
            self._loop.call_soon(self._hand_over_or_wait)

    def _hand_over_or_wait(self) -> None:
        waits = True  # also where somebody ends the program in this moment
        try:
            waits = self.book.batch.may_be_claimed
        finally:
            if waits:
                self._loop.call_soon(self._hand_over)
        if not waits:
            self._hand_over()

    def _hand_over(self) -> None:
        batch = self.book.batch
        try:
            self._scheduled = False
            if self._outdated or self._flying:
                return
            if not batch.writes:  # its callers only waited for the batch before
                _release(batch)
                return
            if batch.is_spoiled:
                raise _interruption()
            self._flying = True
            self.book.batch = Batch(batch.number + 1)
            self.handed_over = batch.number
            changes = Changes.of(batch, batch.account_rows(self._clock()))
            record = encode(changes) if self._backlog.takes(batch, changes) else b""
            # Where a crash would bring a batch back that failed, nothing is promised elsewhere: it would come after it.
            if record and not self._writer.is_astray and self._journal.takes(len(record)):
                self._promise(batch, changes, record)
            else:
                self._write_through(batch, changes)
        except Exception as problem:  # whatever no table holds: it belongs to whoever asked for it
            if batch.number <= self.book.promised:
                raise
            self._failed(batch, problem)
        except BaseException:
            self._interrupted(batch)
            raise

    def _promise(self, batch: Batch, changes: Changes, record: bytes) -> None:
        if len(record) > _MOST_HERE or not self._journal.is_quick:
            self._promise_there(batch, changes, record)
            return
        try:
            if any(self.book.must_look(row[2], row[1], row[3]) for row in changes.jobs.values()):
                self._writer.look(partial(require_new, changes))
            self._journal.append(batch.number, record)
        except Busy:
            self._promise_there(batch, changes, record)
        else:
            self._promised(batch, changes)

    def _promise_there(self, batch: Batch, changes: Changes, record: bytes) -> None:
        """In the database's thread."""
        work = partial(promise, self._journal, batch.number, record, changes)
        told = partial(self._promised, batch, changes)
        self._writer.read(work, told).add_done_callback(partial(self._ended, batch, told))

    def _promised(self, batch: Batch, changes: Changes, _: None = None) -> None:
        try:
            self._backlog.add(batch, changes)
        except BaseException:  # somebody ends the program; all that is promised gets to the tables nevertheless
            self._backlog.add(batch, changes)
            raise
        finally:
            self.book.promised = batch.number
            self._flying = False
            try:
                if self.book.batch.waiting:
                    self._hand_over()  # before all else: the disk works while callers are told
            finally:
                _release(batch)
        self._applier.look_at_backlog()
        self._settler.callers_are_told()

    def _write_through(self, batch: Batch, changes: Changes) -> None:
        segments = self._backlog.all()
        work = partial(write_through, batch.number, changes, batch.streams, segments)
        told = partial(self._landed, batch, segments)
        self._writer.write(work, told).add_done_callback(partial(self._ended, batch, told))

    def _landed(self, batch: Batch, segments: list[Segment], freed: tuple[str, ...]) -> None:
        self.book.promised = batch.number
        self._flying = False
        try:
            self._journal.settle(batch.number)
            self._applier.applied(segments)
            if self.book.batch.waiting:
                self._hand_over()  # as above
        finally:
            _release(batch)
        self.book.settle(batch.moves, batch.number)
        self._freed(freed)
        self._on_disk(batch)
        self._settler.callers_are_told()

    def _ended(self, batch: Batch, told: Callable[[Any], None], written: asyncio.Future[Any]) -> None:
        """The thread is done with a batch."""
        if batch.number <= self.book.promised:
            _release(batch)  # again, for those who were not told when somebody interrupted that
        elif (problem := written.exception()) is None:
            told(written.result())  # again, as above
        else:
            self._failed(batch, problem)

    def _interrupted(self, batch: Batch) -> None:
        """Somebody ends the program, and waits for this store to be closed."""

        def ended(_: asyncio.Future[None]) -> None:
            if batch.number <= self.book.promised:
                _release(batch)
            else:
                self._failed(batch, _interruption())

        if batch is self.book.batch:
            self._flying = self._scheduled = False
            self._schedule()
        else:  # whether the thread has it shows when that is done with all that it was given
            self._writer.read(_nothing).add_done_callback(ended)

    def _failed(self, batch: Batch, problem: BaseException) -> None:
        self._flying = False
        self._outdated = True
        for one in (batch, self.book.batch):
            _refuse(one, problem)
        self._recovery.begin(self.book.promised)

    def _refill(self, found: Found) -> None:
        self.book = found.book(Batch(self.handed_over + 1), self.book.promised)
        self._settler.clear()
        if found.applied:
            self._applier.applied(found.segments)
        self._outdated = False


def _interruption() -> StateError:
    return StateError("a change was interrupted", next_step="ask for it again")


def _nothing(*_: object) -> None:
    """Where it only matters that it is called."""


def _refuse(batch: Batch, problem: BaseException) -> None:
    for waiting in batch.waiting:
        if not waiting.done():
            waiting.set_exception(problem)


def _release(batch: Batch) -> None:
    for waiting in batch.waiting:
        if not waiting.done():
            waiting.set_result(None)
    batch.waiting.clear()
