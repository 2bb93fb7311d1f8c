"""State backends: where the control plane keeps what it knows, and where a gateway keeps jobs.

A backend is chosen by URL (`sqlite:///path`, `memory:`, `postgres://...`); the scheme is the part's name.
The part's factory is called without arguments and gives a `Stores`.

How unlike stores satisfy `StateBackend`:

* SQLite: one writer thread owns the only connection that writes. Every commit appends rows (revision, key, value
  or NULL) to one log table, so `read(at=...)` is a group-by on the log, `watch` is a scan of it, and compaction
  deletes superseded rows below a floor. The file lock is held for the process's life.
* Postgres: the same two tables. A commit takes the next revision from a one-row table it locks (`select ... for
  update`), so revisions become visible in order; the statement also returns `clock_timestamp()` for `now`.
  `watch` is LISTEN as a wake-up plus a scan of the log after the last revision seen.
* Redis: one hash for values, one stream for commits, all on one hash tag. A Lua script checks versions, increments
  the revision, writes both and returns `TIME`. `watch` is XREAD BLOCK. There is no history of values, so `read(at=)`
  raises `Compacted` as soon as anything in the range changed after `at`: the reader begins again, as it must anyway.
* Memory: a dict and a list, for tests and for `flashcore dev`.

Leases, fencing, history and repositories are core code on top of these five methods, equal for all stores.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flashcore.hookspecs.jobs import JobStore
from flashcore.hookspecs.markers import hookspec
from flashcore.hookspecs.records import Part
from flashcore.model import errors

API = range(1, 2)
"""Contract numbers of state backends that this version of flashcore understands."""

CAPABILITIES = frozenset({"state", "jobs", "shared"})
"""`state`: has a StateBackend. `jobs`: has a JobStore. `shared`: several machines may open it at once."""

MAX_KEY = 512
"""Longest key in characters; keys are printable ASCII without spaces, segments separated by `/`."""

MAX_VALUE = 1 << 20
"""Longest value in bytes."""


class StaleWrite(errors.Conflict):
    """A key was not at the version that the transaction expected. Nothing was written."""

    code = "stale_write"


class InvalidTransaction(errors.UsageError):
    """A transaction that no store takes: a key or a value out of bounds, or one key written twice."""

    code = "invalid_transaction"


class Compacted(errors.StateError):
    """The history up to the wanted revision is gone: read everything again, then watch from that revision."""

    code = "compacted"


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's value and the revision of the commit that wrote it."""

    key: str
    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries in key order, as of the store's `revision`; `more` says there are others."""

    entries: tuple[Entry, ...]
    revision: int
    more: bool


@dataclass(frozen=True, slots=True)
class Check:
    """Demand that a key is at this version; version 0 demands that the key is absent."""

    key: str
    version: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write a value."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Transaction:
    """Checks, puts and deletes, all or nothing. A key appears at most once among puts and deletes.

    What cannot be stored cannot be built: raises InvalidTransaction, so that no store has to look again.
    """

    checks: tuple[Check, ...] = ()
    puts: tuple[Put, ...] = ()
    deletes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse keys and values out of bounds, and a key that is written twice."""
        written = [*(put.key for put in self.puts), *self.deletes]
        for key in (*(check.key for check in self.checks), *written):
            if (reason := _reason_against_key(key)) is not None:
                raise InvalidTransaction(f"key {key[:80]!r} cannot be used: {reason}", key=key)
        for put in self.puts:
            if len(put.value) > MAX_VALUE:
                size = f"has {len(put.value)} bytes, {MAX_VALUE} are allowed"
                raise InvalidTransaction(f"the value of {put.key!r} {size}", key=put.key)
        if len(set(written)) != len(written):
            twice = next(key for key in written if written.count(key) > 1)
            raise InvalidTransaction(f"key {twice!r} is written twice in one transaction", key=twice)

    @property
    def writes(self) -> bool:
        """Whether it would change anything."""
        return bool(self.puts or self.deletes)


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit did to a key; `value` is None for a delete."""

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Batch:
    """All that one commit changed under the watched prefix; never split, never merged, never empty."""

    revision: int
    changes: tuple[Change, ...]


@runtime_checkable
class StateBackend(Protocol):
    """A small ordered key-value store with transactions and a change feed.

    Revisions are integers that grow by one with each commit that writes; their order is the order in which
    commits become visible. All methods raise `errors.StateError` when the store is away or unusable, and
    `errors.StorageFull` when it cannot grow; a call that raised either wrote nothing, or wrote all and lost only
    the answer (the epoch check on every commit of the core makes a repeat safe).
    """

    async def read(self, prefix: str, *, after: str = "", limit: int = 1000, at: int | None = None) -> Page:
        """Entries whose keys start with `prefix` and are greater than `after`, in key order, at most `limit`.

        With `at`, as of that revision, so that the pages of one listing agree. Raises Compacted if it is gone,
        ValueError for a revision that has not happened.
        """
        ...

    async def commit(self, transaction: Transaction) -> int:
        """Apply all of it and return the new revision, durable if the store is; or raise StaleWrite.

        A transaction that only checks writes nothing and returns the current revision.
        """
        ...

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        """Batches of the commits after revision `after`, in order, for ever. Raises Compacted from the iterator.

        Closing the iterator (`aclose`) ends it at once; closing the store ends it with StopAsyncIteration.
        """
        ...

    def now(self) -> float:
        """Seconds since 1970 by the store's clock; never goes back, also over a restart of this process.

        Local stores: wall time at opening plus a monotonic clock, with a persisted high-water mark. Server stores:
        the server's clock as of the last answer plus the local monotonic time since.
        """
        ...

    async def close(self) -> None:
        """Finish what was accepted, let go of files and connections. Idempotent."""
        ...


class Stores(Protocol):
    """What a state backend part makes. A method that the part's capabilities do not name may be absent."""

    async def open_state(self, url: str) -> StateBackend:
        """Open or create the state behind `url`.

        Raises errors.StateTooNew, errors.StateCorrupt (both leave the files as they are), or errors.Refused when
        another process owns it.
        """
        ...

    async def open_jobs(self, url: str) -> JobStore:
        """Open or create the job store behind `url`; raises as open_state does."""
        ...


def _reason_against_key(key: str) -> str | None:
    if not key:
        return "it is empty"
    if len(key) > MAX_KEY:
        return f"it has {len(key)} characters, {MAX_KEY} are allowed"
    if not key.isascii() or not key.isprintable() or " " in key:
        return "only printable ASCII without spaces is allowed"
    return None


@hookspec
def flashcore_state_backends() -> Mapping[str, Part]:  # type: ignore[empty-body]  # a hookspec has no body
    """Offer state backends by URL scheme."""
