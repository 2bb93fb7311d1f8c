"""Who is told next: a receiver that does not answer keeps nobody else waiting, nor do fifty of them.

A turn is for one job, for as long as it takes. They are of three kinds, of each so many at a time:

first     the only one at its place, whatever is known of that: a new receiver goes ahead at once
proven    at places that took what they were sent last; each of them may have many
further   at all other places together, beside their first one
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

_REMEMBERED = 1024
"""Proven places that are kept in mind while nobody wants to go there."""


@dataclass(frozen=True, slots=True)
class Room:
    """How many turns there are of each kind, and how many at one place."""

    first: int = 64
    proven: int = 48
    further: int = 16
    at_one_place: int = 32


class _Kind(Enum):
    FIRST = "first"
    PROVEN = "proven"
    FURTHER = "further"


@dataclass(slots=True, eq=False)
class _Place:
    taken: int = 0
    waiting: deque[Future[_Kind]] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Turn:
    """One job's."""

    went_well: bool | None = None
    """Whether the receiver took what it was sent; None: nothing was sent."""


class Turns:
    """Belongs to one event loop. Of a place that nobody wants to go to it remembers that it is proven, at most."""

    def __init__(self, room: Room) -> None:
        self._at_one_place = room.at_one_place
        self._free = {_Kind.FIRST: room.first, _Kind.PROVEN: room.proven, _Kind.FURTHER: room.further}
        self._places: dict[str, _Place] = {}
        self._proven: dict[str, None] = {}

    def __len__(self) -> int:
        """How many places are wanted."""
        return len(self._places)

    @asynccontextmanager
    async def at(self, name: str) -> AsyncIterator[Turn]:
        """Wait for a turn, and have it until the block is left; what is said of it there counts for the next ones."""
        place = self._places.setdefault(name, _Place())
        kind = await self._wait(name, place)
        turn = Turn()
        try:
            yield turn
        finally:
            self._note(name, turn)
            self._give_back(name, place, kind)

    async def _wait(self, name: str, place: _Place) -> _Kind:
        granted: Future[_Kind] = asyncio.get_running_loop().create_future()
        place.waiting.append(granted)
        self._serve((name,))
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._give_back(name, place, granted.result())
            else:
                place.waiting.remove(granted)
                self._forget(name, place)
            raise

    def _give_back(self, name: str, place: _Place, kind: _Kind) -> None:
        place.taken -= 1
        self._free[kind] += 1
        self._forget(name, place)
        self._serve(tuple(self._places))

    def _serve(self, names: Iterable[str]) -> None:
        """One more turn for each of these places that may have one, again and again; who was served goes last."""
        served = [name for name in names if self._serve_one(name)]
        while served:
            served = [name for name in served if self._serve_one(name)]

    def _serve_one(self, name: str) -> bool:
        place = self._places.get(name)
        kind = None if place is None or not place.waiting else self._next_kind(name, place)
        if place is None or kind is None:
            return False
        self._free[kind] -= 1
        place.taken += 1
        place.waiting.popleft().set_result(kind)
        self._places[name] = self._places.pop(name)
        return True

    def _next_kind(self, name: str, place: _Place) -> _Kind | None:
        if not place.taken and self._free[_Kind.FIRST]:
            return _Kind.FIRST
        kind = _Kind.PROVEN if name in self._proven else _Kind.FURTHER
        return kind if self._free[kind] and place.taken < self._at_one_place else None

    def _note(self, name: str, turn: Turn) -> None:
        if turn.went_well is None:
            return
        self._proven.pop(name, None)
        if turn.went_well:
            self._proven[name] = None
            if len(self._proven) > _REMEMBERED:
                del self._proven[next(iter(self._proven))]

    def _forget(self, name: str, place: _Place) -> None:
        if not place.taken and not place.waiting:
            self._places.pop(name, None)
