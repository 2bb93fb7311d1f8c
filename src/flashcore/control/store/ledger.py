"""The control plane's store of one scope: records to load and watch, the journal, and workspaces to write with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any

from flashcore.control.store import epoch
from flashcore.control.store.journal import Journal, Recorded, decode_event
from flashcore.control.store.keys import Keys
from flashcore.control.store.records import Kind, Removed, Snapshot, Stored, decode, read_snapshot
from flashcore.control.store.watched import WatchedState
from flashcore.control.store.workspace import Workspace
from flashcore.hookspecs.state import Batch, Change, Entry, StateBackend
from flashcore.model.errors import StateError
from flashcore.model.names import Scope


@dataclass(frozen=True, slots=True)
class Changes:
    """What one commit did to the records and the log; never split, never empty."""

    revision: int
    stored: tuple[Stored[Any], ...]
    removed: tuple[Removed, ...]
    events: tuple[Recorded, ...]


class Ledger:
    """One scope of a state backend, in terms of records and events.

    Raises ValueError when two kinds have one name.
    """

    def __init__(self, backend: StateBackend, scope: Scope, kinds: Iterable[Kind[Any]]) -> None:
        self.backend = WatchedState(backend)
        self.keys = Keys(scope)
        listed = tuple(kinds)
        self._kinds = {kind.name: kind for kind in listed}
        if len(self._kinds) != len(listed):
            raise ValueError(f"two kinds of records have one name: {[kind.name for kind in listed]}")
        self.journal = Journal(self.backend, self.keys)

    def now(self) -> float:
        """Seconds since 1970 by the store's clock."""
        return self.backend.now()

    async def load(self, *, at_least: int = 0) -> Snapshot:
        """All records at one revision, from which `watch` goes on.

        Raises StateError when that is before `at_least`: a store that lags behind what was written to it would have a
        leader end what it does not know of.
        """
        snapshot = await read_snapshot(self.backend, self.keys.records, self._kinds)
        if snapshot.revision < at_least:
            raise StateError(
                f"the state is read as it was at revision {snapshot.revision}, and {at_least} was written",
                next_step="have the control plane read where it writes, not from a copy that lags behind",
            )
        return snapshot

    async def watch(self, after: int) -> AsyncGenerator[Changes, None]:
        """The commits after a revision that touched records or the log, decoded, in order, for ever.

        Raises Compacted when the history is gone (load again), StateCorrupt or StateTooNew for what cannot be read.
        """
        async with contextlib.aclosing(self.backend.watch(self.keys.scope.prefix, after)) as batches:
            async for batch in batches:
                changes = self._decode(batch)
                if changes.stored or changes.removed or changes.events:
                    yield changes

    async def take_over(self, holder: str, duration: float) -> epoch.Leadership:
        """Begin a new epoch whatever the lease says; for stores that only one process can have open."""
        return await epoch.take_over(self.backend, self.keys, holder, duration)

    async def acquire(self, holder: str, duration: float) -> epoch.Leadership | epoch.Held:
        """Begin a new epoch if nobody leads, else say who does. `duration` of the lease is in seconds."""
        return await epoch.acquire(self.backend, self.keys, holder, duration)

    async def campaign(self, holder: str, duration: float) -> epoch.Leadership:
        """Wait until leadership can be had, and take it."""
        return await epoch.campaign(self.backend, self.keys, holder, duration)

    def workspace(self, leadership: epoch.Leadership) -> Workspace:
        """An empty workspace for one pass."""
        return Workspace(leadership, self.keys)

    def _decode(self, batch: Batch) -> Changes:
        stored: list[Stored[Any]] = []
        removed: list[Removed] = []
        events: list[Recorded] = []
        for change in batch.changes:
            decoded = self._decode_change(change, batch.revision)
            match decoded:
                case Stored():
                    stored.append(decoded)
                case Removed():
                    removed.append(decoded)
                case Recorded():
                    events.append(decoded)
                case None:
                    pass  # the lease, the epoch, a kind that this process does not keep, an event that retention took
        return Changes(batch.revision, tuple(stored), tuple(removed), tuple(sorted(events, key=lambda e: e.cursor)))

    def _decode_change(self, change: Change, revision: int) -> Stored[Any] | Removed | Recorded | None:
        if (record := self.keys.split_record(change.key)) is not None:
            kind = self._kinds.get(record[0])
            if kind is None:
                return None
            if change.value is None:
                return Removed(kind, record[1])
            return decode(kind, Entry(change.key, change.value, revision))
        if change.value is not None and self.keys.split_event(change.key) is not None:
            return decode_event(self.keys, Entry(change.key, change.value, revision))
        return None
