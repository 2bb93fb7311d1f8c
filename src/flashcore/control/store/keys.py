"""Where things lie under a scope's prefix. Nothing else in the control plane spells a key.

APP/ENVIRONMENT/
  lease                     who leads, and until when; renewed
  epoch                     changes only when leadership does; every commit checks it
  records/KIND/ID           what the controller keeps
  events/CURSOR/ENDPOINT    the one log; `-` for an event of no endpoint
"""

from __future__ import annotations

from dataclasses import dataclass

from flashcore.model.names import Scope

_OF_NOBODY = "-"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one scope."""

    scope: Scope

    @property
    def lease(self) -> str:
        """The key that the leader renews."""
        return f"{self.scope.prefix}lease"

    @property
    def epoch(self) -> str:
        """The key that fences."""
        return f"{self.scope.prefix}epoch"

    @property
    def records(self) -> str:
        """The start of every record's key."""
        return f"{self.scope.prefix}records/"

    @property
    def events(self) -> str:
        """The start of every event's key."""
        return f"{self.scope.prefix}events/"

    def record(self, kind: str, identity: str) -> str:
        """The key of one record."""
        return f"{self.records}{kind}/{identity}"

    def event(self, cursor: str, endpoint: str | None) -> str:
        """The key of one event; the endpoint is in it so that a reader can skip values it does not want."""
        return f"{self.events}{cursor}/{endpoint or _OF_NOBODY}"

    def split_record(self, key: str) -> tuple[str, str] | None:
        """Kind and id of a record's key, None for any other key."""
        if not key.startswith(self.records):
            return None
        kind, _, identity = key.removeprefix(self.records).partition("/")
        return kind, identity

    def split_event(self, key: str) -> tuple[str, str | None] | None:
        """Cursor and endpoint of an event's key, None for any other key."""
        if not key.startswith(self.events):
            return None
        cursor, _, endpoint = key.removeprefix(self.events).partition("/")
        return cursor, None if endpoint == _OF_NOBODY else endpoint
