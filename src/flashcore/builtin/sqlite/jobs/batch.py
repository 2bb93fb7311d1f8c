"""The changes of one transaction."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from flashcore.builtin.sqlite.jobs.entry import Account, Entry
from flashcore.model.job import Job, StreamItem
from flashcore.model.names import EndpointName


@dataclass(slots=True)
class Move:
    """A job before and after the transaction; None where it does not exist. `round` is of the queue it is in after."""

    n: int
    e: int
    before: Job | None
    after: Job | None
    round: int


@dataclass(frozen=True, slots=True)
class ChunkAdded:
    """A chunk at the end of a job's stream."""

    n: int
    item: StreamItem
    size: int
    """Bytes of the chunk, which may be in a file."""


@dataclass(frozen=True, slots=True)
class StreamDropped:
    """All chunks of a job that nobody has read: their attempt is over without a result."""

    n: int


AccountRow = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Batch:
    """What the calls of a moment changed, and who waits for it."""

    number: int
    moves: dict[int, Move] = field(default_factory=dict)
    streams: list[ChunkAdded | StreamDropped] = field(default_factory=list)
    accounts: dict[int, Account] = field(default_factory=dict)
    forgotten: list[int] = field(default_factory=list)
    """Endpoints that have no name any more."""
    purged: list[int] = field(default_factory=list)
    """Endpoints whose queues were purged."""
    enqueued: set[EndpointName] = field(default_factory=set)
    """Endpoints that got a job that can be claimed, until somebody was told."""
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    is_spoiled: bool = False
    """Whether a change was interrupted halfway, so that nothing of all this is to be written."""

    @property
    def writes(self) -> bool:
        """Whether there is anything to write, or to undo."""
        return bool(self.accounts or self.forgotten or self.moves or self.is_spoiled)

    @property
    def may_be_claimed(self) -> bool:
        """Whether jobs are queued where it changes something."""
        return any(account.queued for account in self.accounts.values())

    @property
    def is_unusual(self) -> bool:
        """Whether it says more than what became of jobs and how many there are."""
        return bool(self.streams or self.forgotten or self.purged)

    def stage(self, entry: Entry, before: Job | None, after: Job | None) -> None:
        """Note what became of a job."""
        move = self.moves.get(entry.n)
        if move is None:
            self.moves[entry.n] = Move(entry.n, entry.account.e, before, after, entry.round)
        else:
            move.after = after
            move.round = entry.round
        entry.pending = self.number
        self.accounts[entry.account.e] = entry.account

    def touch(self, account: Account) -> None:
        """Note that an endpoint's numbers are to be written."""
        self.accounts[account.e] = account

    def account_rows(self, now: float) -> list[AccountRow]:
        """The endpoints' rows as they are at this moment."""
        gone = set(self.forgotten)
        return [
            (
                account.e,
                None if account.e in gone else account.name,
                account.round,
                *account.counts,
                account.retried,
                account.low,
                now,
            )
            for account in self.accounts.values()
        ]
