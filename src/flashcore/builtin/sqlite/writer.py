"""One thread with the one connection to a database, and group commit.

Calls that arrive while a commit is under way wait for it and then share the next one: a sync to disk costs the same
for one call and for a hundred. An answer is given only after the commit that its call was part of, and the event
loop is woken once for each commit, not for each call.

The way to the thread and back takes longer than many a disk does. `write_here` spares it; what is not quick on any
disk, bringing the log back into the file, is left to the thread all the same.

One connection, since SQLite before 3.51.3 can corrupt a write-ahead log that two connections checkpoint at once. It
holds the file exclusively, so nobody else's connection can come between.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from flashcore.builtin.sqlite.committer import Call, Committer, Done, Failed, Outcome, bring_back
from flashcore.builtin.sqlite.schema import Schema
from flashcore.model.errors import StateError

T = TypeVar("T")

MOST_CALLS_PER_COMMIT = 1000

QUICK = 0.003
"""Seconds that a commit may take for the event loop to wait for one like it."""

LONG = 0.02
"""Seconds that anything else may take there: a disk on which it takes longer is not quick either."""

QUICK_IN_A_ROW = 32
"""Commits after which a disk is believed to be quick, until the first slow one, for which the loop stands still."""

ROWS_PER_CHECKPOINT = 4_000
"""Rows that the event loop writes before the thread brings the log back into the file. A commit would do that itself
once the log is long, and hold up the loop: with jobs of some kilobytes it does not come to that."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A call, and who waits for it."""

    call: Call[Any]
    future: asyncio.Future[Any]
    told: Callable[[Any], None] | None = None
    writes: bool = True


@dataclass(slots=True)
class _Group:
    """Calls that share a commit, and whether they are the last."""

    writes: list[_Asked] = field(default_factory=list)
    reads: list[_Asked] = field(default_factory=list)
    last: bool = False

    def add(self, asked: _Asked | None) -> None:
        """Add a call; None is the end."""
        if asked is None:
            self.last = True
        else:
            (self.writes if asked.writes else self.reads).append(asked)


class Writer:
    """The database at a path. Made with `open`; every method is for the event loop that opened it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loop = asyncio.get_running_loop()
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._opened: asyncio.Future[Committer] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        self._under_way = 0
        self._quick_in_a_row = 0
        self._rows_brought_back = 0

    @classmethod
    async def open(cls, path: Path, schema: Schema) -> Writer:
        """Open or create it, and own it until `close`.

        Raises Refused when another process owns it, StateTooNew, StateCorrupt, or StateError.
        """
        writer = cls(path)
        # A daemon: a store that nobody closed must not keep the process alive; what it acknowledged is on disk.
        threading.Thread(target=writer._live, args=(schema,), name=f"sqlite {path.name}", daemon=True).start()
        try:
            await writer._opened
        except asyncio.CancelledError:
            writer._asked.put(None)
            raise
        return writer

    def stamp_with(self, before_commit: Call[object]) -> None:
        """From now on, do this too in every transaction that wrote something."""
        self._opened.result().before_commit = before_commit

    def write(self, call: Call[T], told: Callable[[T], None] | None = None) -> asyncio.Future[T]:
        """Run a call in a transaction; its result comes once that is on disk.

        `told` hears the result first, in the order of commits, also when the caller has gone away by then.
        Raises what the call raised, StorageFull, or StateError.
        """
        return self._ask(_Asked(call, self._loop.create_future(), told))

    @property
    def is_at_hand(self) -> bool:
        """Whether a commit may be made by the event loop itself: the thread rests, and the disk has been quick."""
        return not self._under_way and not self._closing and self._quick_in_a_row >= QUICK_IN_A_ROW

    def write_here(self, call: Call[T]) -> T:
        """As `write`, in this thread, while the writer is at hand: on disk when it returns. Raises as `write` does."""
        committer = self._opened.result()
        began = time.perf_counter()
        (outcome,) = committer.write([call])
        self._took(time.perf_counter() - began)
        if committer.rows_written - self._rows_brought_back >= ROWS_PER_CHECKPOINT:
            self._rows_brought_back = committer.rows_written
            self.read(bring_back)
        result: T = _result_of(outcome)
        return result

    def read_here(self, call: Call[T]) -> T:
        """As `read`, in this thread, while the writer is at hand. Raises as `read` does."""
        began = time.perf_counter()
        outcome = self._opened.result().read(call)
        if time.perf_counter() - began > LONG:
            self._quick_in_a_row = 0
        result: T = _result_of(outcome)
        return result

    def read(self, call: Call[T], told: Callable[[T], None] | None = None) -> asyncio.Future[T]:
        """Run a call outside of a transaction: it sees all that was asked to be written before, and nothing halved.

        `told` hears the result in its order among those of the writes.
        """
        return self._ask(_Asked(call, self._loop.create_future(), told, writes=False))

    async def close(self) -> None:
        """Finish what was asked for, then let go of the file. Idempotent."""
        if not self._closing:
            self._closing = True
            self._asked.put(None)
        await asyncio.shield(self._ended)

    def _ask(self, asked: _Asked) -> asyncio.Future[Any]:
        if self._closing:
            raise StateError(f"{self.path} is closed", next_step="open it again", path=str(self.path))
        self._under_way += 1
        self._asked.put(asked)
        return asked.future

    def _served(self, asked: list[_Asked], outcomes: list[Outcome], took: float | None = None) -> None:
        self._under_way -= len(asked)
        if took is not None:
            self._took(took)
        _answer(asked, outcomes)

    def _took(self, seconds: float) -> None:
        self._quick_in_a_row = self._quick_in_a_row + 1 if seconds < QUICK else 0

    # From here on: the thread.

    def _live(self, schema: Schema) -> None:
        try:
            committer = Committer(self.path, schema)
        except Exception as problem:  # noqa: BLE001  # whoever opens the store waits for it
            self._tell(_fail, self._opened, problem)
            return
        self._tell(_succeed, self._opened, committer)
        while self._serve_group(committer):
            pass
        committer.close()
        self._tell(_succeed, self._ended, None)

    def _serve_group(self, committer: Committer) -> bool:
        """Serve those who wait; False when they were the last. Leaves nothing of theirs in this thread's memory."""
        group = self._next_group()
        if group.writes:
            began = time.perf_counter()
            outcomes = committer.write([asked.call for asked in group.writes])
            self._tell(self._served, group.writes, outcomes, time.perf_counter() - began)
        if group.reads:
            self._tell(self._served, group.reads, [committer.read(asked.call) for asked in group.reads])
        return not group.last

    def _next_group(self) -> _Group:
        group = _Group()
        group.add(self._asked.get())
        while not group.last and len(group.writes) < MOST_CALLS_PER_COMMIT:
            try:
                group.add(self._asked.get_nowait())
            except queue.Empty:
                break
        return group

    def _tell(self, say: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(say, *arguments)


def _answer(asked: list[_Asked], outcomes: list[Outcome]) -> None:
    for one, outcome in zip(asked, map(_tell, asked, outcomes), strict=True):
        if one.future.done():
            continue  # its caller has gone away
        if isinstance(outcome, Failed):
            one.future.set_exception(outcome.problem)
        else:
            one.future.set_result(outcome.result)


def _tell(one: _Asked, outcome: Outcome) -> Outcome:
    """What the call gave, or what became of it where it was told."""
    if isinstance(outcome, Done) and one.told is not None:
        try:
            one.told(outcome.result)
        except Exception as problem:  # noqa: BLE001  # it belongs to whoever waits for this call, not for the next one
            return Failed(problem)
    return outcome


def _result_of(outcome: Outcome) -> Any:
    if isinstance(outcome, Failed):
        raise outcome.problem
    return outcome.result


def _succeed(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], problem: Exception) -> None:
    if not future.done():
        future.set_exception(problem)
