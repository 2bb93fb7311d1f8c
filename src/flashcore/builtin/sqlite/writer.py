"""One thread with the one connection to a database, and group commit.

Calls that arrive while a commit is under way wait for it and then share the next one: a sync to disk costs the same
for one call and for a hundred. An answer is given only after the commit that its call was part of, and the event
loop is woken once for each commit, not for each call.

The loop may be interrupted between any two steps, as by Ctrl-C, and then be run again until all is closed. So answers
lie where it finds them the next time that it is woken, whatever it was doing when it did not get to them.

The way to the thread and back takes longer than a query does. `look` spares it, where the thread does nothing that
takes longer.

One connection, since SQLite before 3.51.3 can corrupt a write-ahead log that two connections checkpoint at once. It
holds the file exclusively, so nobody else's connection can come between.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from flashcore.builtin.sqlite.committer import Call, Committer, Done, Failed, Outcome
from flashcore.builtin.sqlite.schema import Schema
from flashcore.model.errors import StateError

T = TypeVar("T")

MOST_CALLS_PER_COMMIT = 1000

A_MOMENT = 0.002
"""Seconds for which the event loop waits for its turn on the connection."""


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
        self.is_astray = False
        """Whether a crash could bring back what a caller of `write` was told had failed; until a later one succeeds."""
        self._loop = asyncio.get_running_loop()
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._opened: asyncio.Future[Committer] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._answers: deque[tuple[_Asked, Outcome]] = deque()
        self._closing = False
        self._let_go: Callable[[], None] = _nothing

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

    def close_with(self, let_go: Callable[[], None]) -> None:
        """Let go of something else that the thread uses too, in the thread, once the database is closed."""
        self._let_go = let_go

    def write(self, call: Call[T], told: Callable[[T], None] | None = None) -> asyncio.Future[T]:
        """Run a call in a transaction; its result comes once that is on disk.

        `told` hears the result first, in the order of commits, also when the caller has gone away by then.
        Raises what the call raised, StorageFull, or StateError; what it wrote is nowhere then, see `is_astray`.
        """
        return self._ask(_Asked(call, self._loop.create_future(), told))

    def look(self, call: Call[T]) -> T:
        """Run a call that only reads in this thread, at once: it sees part of what was asked to be written before.

        Raises what the call raises, StateError, and Busy when the thread is in the middle of something long.
        """
        return self._opened.result().look(call, A_MOMENT)

    def give_way(self) -> None:
        """For calls that run long in the thread, between two statements: whoever wants a look gets it now."""
        self._opened.result().turns.give_way()

    def read(self, call: Call[T], told: Callable[[T], None] | None = None) -> asyncio.Future[T]:
        """Run a call outside of a transaction: it sees all that was asked to be written before, and nothing halved.

        `told` hears the result in its order among those of the writes.
        """
        return self._ask(_Asked(call, self._loop.create_future(), told, writes=False))

    async def close(self) -> None:
        """Finish what was asked for, then let go of the file. Idempotent; happens though its caller gives up."""
        if not self._closing:
            self._closing = True
            self._asked.put(None)
        self._loop.call_soon(self._listen)
        await asyncio.shield(self._ended)

    def _ask(self, asked: _Asked) -> asyncio.Future[Any]:
        if self._closing:
            raise StateError(f"{self.path} is closed", next_step="open it again", path=str(self.path))
        self._asked.put(asked)
        return asked.future

    def _listen(self) -> None:
        """Hear what the thread has answered; where somebody ends the program meanwhile, hear the rest a turn later."""
        one: _Asked | None = None
        outcome: Outcome = Done(None)
        try:
            while self._answers:
                one, outcome = self._answers[0]
                del self._answers[0]
                outcome = _tell(one, outcome)
                _settle(one.future, outcome)
        except BaseException:
            self._loop.call_soon(self._listen)
            if one is not None:
                _settle(one.future, outcome)  # though not all may be done that follows from it
            raise

    # From here on: the thread.

    def _live(self, schema: Schema) -> None:
        try:
            committer = Committer(self.path, schema)
        except Exception as problem:  # noqa: BLE001  # whoever opens the store waits for it
            self._tell([(_Asked(_nothing, self._opened), Failed(problem))])
            return
        self._tell([(_Asked(_nothing, self._opened), Done(committer))])
        while self._serve_group(committer):
            pass
        committer.close()
        with contextlib.suppress(OSError):  # it is closed nevertheless
            self._let_go()
        self._tell([(_Asked(_nothing, self._ended), Done(None))])

    def _serve_group(self, committer: Committer) -> bool:
        """Serve those who wait; False when they were the last. Leaves nothing of theirs in this thread's memory."""
        group = self._next_group()
        if group.writes:
            outcomes = committer.write([asked.call for asked in group.writes])
            self.is_astray = committer.is_astray
            self._tell(zip(group.writes, outcomes, strict=True))
        if group.reads:
            self._tell([(asked, committer.read(asked.call)) for asked in group.reads])
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

    def _tell(self, answers: Iterable[tuple[_Asked, Outcome]]) -> None:
        self._answers.extend(answers)
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(self._listen)


def _nothing(*_: object) -> None:
    """Where the thread uses the database alone, or does not use it."""


def _tell(one: _Asked, outcome: Outcome) -> Outcome:
    """What the call gave, or what became of it where it was told."""
    if isinstance(outcome, Done) and one.told is not None:
        try:
            one.told(outcome.result)
        except Exception as problem:  # noqa: BLE001  # it belongs to whoever waits for this call, not for the next one
            return Failed(problem)
    return outcome


def _settle(future: asyncio.Future[Any], outcome: Outcome) -> None:
    if future.done():
        return  # its caller has gone away
    if isinstance(outcome, Failed):
        future.set_exception(outcome.problem)
    else:
        future.set_result(outcome.result)
