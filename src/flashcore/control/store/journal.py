"""The one event log: history, outbox and replay source at once.

An event is written in the commit of what it tells, under a cursor made of the epoch's number and a counter, so that
the order of cursors is the order in which a leader's decisions were committed, over any change of leaders.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from flashcore.control.store.epoch import Leadership
from flashcore.control.store.keys import Keys
from flashcore.hookspecs.state import Entry, StateBackend, Transaction
from flashcore.model.codec import CodecError, from_json, one_level
from flashcore.model.errors import StateCorrupt
from flashcore.model.events import Event
from flashcore.model.names import EndpointName

_PAGE = 500

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=one_level)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and its place in the log. Reading goes on after `cursor`; `revision` is of the commit that wrote it."""

    cursor: str
    revision: int
    event: Event


class Journal:
    """Reads the log of one scope, and cuts its old end off. A `Workspace` writes to it."""

    def __init__(self, backend: StateBackend, keys: Keys) -> None:
        self._backend = backend
        self._keys = keys

    async def read(
        self, *, after: str = "", endpoint: EndpointName | None = None, limit: int = _PAGE
    ) -> tuple[Recorded, ...]:
        """At most `limit` events after a cursor, oldest first; with `endpoint`, only its own."""
        found: list[Recorded] = []
        async for entry in self._entries(after):
            if len(found) == limit:
                break
            if self._concerns(entry.key, endpoint):
                found.append(decode_event(self._keys, entry))
        return tuple(found)

    async def tail(self, count: int, *, endpoint: EndpointName | None = None) -> tuple[Recorded, ...]:
        """The newest `count` events, oldest first; with `endpoint`, of its own ones. Walks the whole log."""
        newest: deque[Entry] = deque(maxlen=count)
        async for entry in self._entries(""):
            if self._concerns(entry.key, endpoint):
                newest.append(entry)
        return tuple(decode_event(self._keys, entry) for entry in newest)

    async def prune(self, leadership: Leadership, *, keep: int, before: float, limit: int = _PAGE) -> int:
        """Delete the oldest events, at most `limit`: those recorded before `before` and beyond the newest `keep`.

        Returns how many went; call again while that is `limit`.
        """
        oldest: deque[Entry] = deque()
        beyond: list[Entry] = []
        async for entry in self._entries(""):
            oldest.append(entry)
            if len(oldest) > keep:
                beyond.append(oldest.popleft())
            if len(beyond) == limit:
                break
        gone = [entry.key for entry in beyond if decode_event(self._keys, entry).event.at < before]
        if gone:
            await leadership.commit(Transaction(deletes=tuple(gone)))
        return len(gone)

    async def _entries(self, after: str) -> AsyncGenerator[Entry, None]:
        """All entries after a cursor; events that arrive meanwhile may be among them."""
        key = f"{self._keys.events}{after}\x7f" if after else ""
        more = True
        while more:
            page = await self._backend.read(self._keys.events, after=key, limit=_PAGE)
            more = page.more
            for entry in page.entries:
                key = entry.key
                yield entry

    def _concerns(self, key: str, endpoint: EndpointName | None) -> bool:
        split = self._keys.split_event(key)
        return endpoint is None or (split is not None and split[1] == endpoint)


def encode_event(event: Event) -> bytes:
    """The stored form of an event."""
    return _ENCODER.encode(event).encode()


def decode_event(keys: Keys, entry: Entry) -> Recorded:
    """The event of a stored entry; raises StateCorrupt, naming the key."""
    split = keys.split_event(entry.key)
    try:
        if split is None:
            raise CodecError(entry.key, "is no event's key")
        event = from_json(Event, json.loads(entry.value))
    except ValueError as problem:
        raise StateCorrupt(
            f"the event {entry.key} cannot be read: {problem}",
            next_step="run the flashcore that wrote it, or restore the state from a backup",
            key=entry.key,
        ) from problem
    return Recorded(split[0], entry.version, event)
