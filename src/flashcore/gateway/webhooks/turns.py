"""So many to one place at a time: who is slow there holds up nobody elsewhere."""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class _Place:
    free: Semaphore
    wanted: int = 0
    """By how many who are there or wait."""


class Turns:
    """Belongs to one event loop. It remembers no place that nobody wants to go to."""

    def __init__(self, at_a_time: int) -> None:
        self._at_a_time = at_a_time
        self._places: dict[str, _Place] = {}

    def __len__(self) -> int:
        """How many places are wanted."""
        return len(self._places)

    @asynccontextmanager
    async def at(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block is left."""
        place = self._places.setdefault(name, _Place(Semaphore(self._at_a_time)))
        place.wanted += 1
        try:
            async with place.free:
                yield
        finally:
            place.wanted -= 1
            if not place.wanted:
                del self._places[name]
