"""One pass of a controller, as one commit: what it wants to write is collected, then written at once or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from flashcore.control.store.epoch import Leadership
from flashcore.control.store.journal import Recorded, encode_event
from flashcore.control.store.keys import Keys
from flashcore.control.store.records import Kind, Removed, Stored, encode
from flashcore.hookspecs.state import Check, Put, Transaction
from flashcore.model.events import Event

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit wrote: the records with their new versions, those that are gone, the events with their cursors."""

    revision: int
    stored: tuple[Stored[Any], ...]
    removed: tuple[Removed, ...]
    events: tuple[Recorded, ...]


class Workspace:
    """Collects the writes of one pass. Make a new one for each pass: a commit that failed is decided anew.

    Each record may be staged once. What is staged is checked against the version that the caller had seen, so a
    pass that decided on an outdated view fails with StaleWrite as a whole.
    """

    def __init__(self, leadership: Leadership, keys: Keys) -> None:
        self._leadership = leadership
        self._keys = keys
        self._checks: dict[str, int] = {}
        self._puts: dict[str, tuple[Kind[Any], Any]] = {}
        self._deletes: dict[str, Stored[Any]] = {}
        self._events: list[Event] = []

    @property
    def changed(self) -> bool:
        """Whether a commit would write anything."""
        return bool(self._puts or self._deletes or self._events)

    def create(self, kind: Kind[T], value: T) -> None:
        """Stage a record that must not exist yet."""
        self._stage(kind, kind.identify(value), 0)
        self._puts[self._keys.record(kind.name, kind.identify(value))] = (kind, value)

    def replace(self, stored: Stored[T], value: T) -> None:
        """Stage a new value for a record as it was seen. An equal value writes nothing."""
        if value == stored.value:
            return
        if stored.kind.identify(value) != stored.id:
            raise ValueError(f"{stored.kind.name} {stored.id!r} cannot become {stored.kind.identify(value)!r}")
        self._stage(stored.kind, stored.id, stored.version)
        self._puts[self._keys.record(stored.kind.name, stored.id)] = (stored.kind, value)

    def remove(self, stored: Stored[Any]) -> None:
        """Stage the removal of a record as it was seen."""
        self._stage(stored.kind, stored.id, stored.version)
        self._deletes[self._keys.record(stored.kind.name, stored.id)] = stored

    def require(self, stored: Stored[Any]) -> None:
        """Demand that a record that the pass only looked at is still as it was seen."""
        self._checks.setdefault(self._keys.record(stored.kind.name, stored.id), stored.version)

    def emit(self, event: Event) -> None:
        """Stage an event; events keep the order in which they were emitted."""
        self._events.append(event)

    async def commit(self) -> Committed | None:
        """Write all of it under the leader's epoch; None, and no write, when nothing was staged.

        Raises StaleWrite (look again, decide again), LostLeadership (stop), StateError or StorageFull (try later).
        """
        if not self.changed:
            return None
        logged = [(self._leadership.next_cursor(), event) for event in self._events]
        puts = [Put(key, encode(kind, value)) for key, (kind, value) in self._puts.items()]
        puts += [Put(self._keys.event(cursor, event.endpoint), encode_event(event)) for cursor, event in logged]
        checks = tuple(Check(key, version) for key, version in self._checks.items())
        revision = await self._leadership.commit(Transaction(checks, tuple(puts), tuple(self._deletes)))
        return Committed(
            revision,
            tuple(Stored(kind, kind.identify(value), value, revision) for kind, value in self._puts.values()),
            tuple(Removed(stored.kind, stored.id) for stored in self._deletes.values()),
            tuple(Recorded(cursor, revision, event) for cursor, event in logged),
        )

    def _stage(self, kind: Kind[Any], identity: str, version: int) -> None:
        key = self._keys.record(kind.name, identity)
        if key in self._puts or key in self._deletes:
            raise ValueError(f"{kind.name} {identity!r} is staged twice in one pass")
        self._checks[key] = version
