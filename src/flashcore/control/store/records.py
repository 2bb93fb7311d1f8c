"""Typed records over a state backend: what the controller keeps, by kind and id, with the version of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from flashcore.hookspecs.state import Compacted, Entry, StateBackend
from flashcore.model.codec import CodecError, from_json, one_level
from flashcore.model.errors import StateCorrupt, StateTooNew

T = TypeVar("T")

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=one_level
)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A family of records: anything that `model.codec` can encode, and how it is named."""

    name: str
    """A segment of the key; lower-case, without `/`."""
    cls: type[T]
    identify: Callable[[T], str]
    """The record's id, unique within the kind: printable ASCII without spaces."""
    schema: int = 1
    """Grows when older flashcores could not read the records any more; they then refuse instead of guessing."""
    steps: tuple[Callable[[Any], Any], ...] = ()
    """How JSON of one form becomes that of the next: the first from form 1 to 2, and so on up to `schema`.

    A record is brought up when it is read, and written in the newest form with its next change.
    """

    def __post_init__(self) -> None:
        """Refuse a form that nothing leads to."""
        if len(self.steps) != self.schema - 1:
            raise ValueError(f"records {self.name!r} of form {self.schema} need {self.schema - 1} steps")


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A record as the store has it. `version` is what a compare-and-set expects."""

    kind: Kind[T]
    id: str
    value: T
    version: int


@dataclass(frozen=True, slots=True)
class Removed:
    """A record that is no more."""

    kind: Kind[Any]
    id: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All records of some kinds at one revision, which is where a watch goes on."""

    revision: int
    records: Mapping[str, Mapping[str, Stored[Any]]]

    def of(self, kind: Kind[T]) -> Mapping[str, Stored[T]]:
        """The records of a kind by id."""
        return self.records.get(kind.name, _NOTHING)


def encode(kind: Kind[T], value: T) -> bytes:
    """The stored form of a record: JSON with sorted keys, the schema number outside."""
    return _dump({"schema": kind.schema, "value": value})


def decode(kind: Kind[T], entry: Entry) -> Stored[T]:
    """The record of a stored entry.

    Raises StateTooNew when a newer flashcore wrote it, StateCorrupt when it cannot be read; both name the key.
    """
    try:
        envelope = json.loads(entry.value)
        schema = envelope["schema"]
        if schema > kind.schema:
            raise StateTooNew(
                f"{entry.key} was written in form {schema} of {kind.name!r}; this flashcore knows form {kind.schema}",
                next_step="run the flashcore that wrote it, or a newer one",
                key=entry.key,
            )
        value = from_json(kind.cls, _brought_up(kind, schema, envelope["value"]))
    except (CodecError, ValueError, KeyError, TypeError) as problem:
        raise _unreadable(entry.key, problem) from problem
    return Stored(kind, kind.identify(value), value, entry.version)


async def read_snapshot(backend: StateBackend, prefix: str, kinds: Mapping[str, Kind[Any]]) -> Snapshot:
    """All records of `kinds` below `prefix`, at one revision; begins again if that is compacted meanwhile."""
    while True:
        try:
            return await _read_once(backend, prefix, kinds)
        except Compacted:
            continue


async def _read_once(backend: StateBackend, prefix: str, kinds: Mapping[str, Kind[Any]]) -> Snapshot:
    records: dict[str, Mapping[str, Stored[Any]]] = {}
    revision: int | None = None
    for kind in kinds.values():
        found: dict[str, Stored[Any]] = {}
        after, more = "", True
        while more:
            page = await backend.read(f"{prefix}{kind.name}/", after=after, at=revision)
            revision, more = page.revision, page.more
            for entry in page.entries:
                stored = decode(kind, entry)
                found[stored.id] = stored
                after = entry.key
        records[kind.name] = found
    return Snapshot(revision or 0, records)


def _brought_up(kind: Kind[Any], schema: int, value: Any) -> Any:
    """The JSON of a record in the newest form."""
    if schema < 1:
        raise ValueError(f"there is no form {schema}")
    for step in kind.steps[schema - 1 :]:
        value = step(value)
    return value


def _unreadable(key: str, problem: Exception) -> StateCorrupt:
    return StateCorrupt(
        f"the record {key} cannot be read: {problem}",
        next_step="restore the state from a backup, or run the flashcore that wrote it; nothing was changed",
        key=key,
    )


def _dump(value: Any) -> bytes:
    return _ENCODER.encode(value).encode()
