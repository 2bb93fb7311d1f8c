"""Requests that wait at the gateway for a replica: first come, first served, never too many, never for ever."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from flashcore.gateway.http.route import Choice, Unavailable
from flashcore.gateway.targets import Target
from flashcore.model.job import Waiting


class Request(Protocol):
    """Somebody who waits."""

    @property
    def for_preview(self) -> bool:
        """Whether nobody but the preview may answer it."""
        ...

    def attempt(self) -> Choice | None:
        """A replica now, or the news that there will be none; None: wait on."""
        ...

    def may_use(self, target: Target) -> bool:
        """Whether it may go to this replica."""
        ...

    def overdue(self) -> Unavailable:
        """What is said when it waited too long."""
        ...


# Compared by identity: two requests are never the same one.
@dataclass(slots=True, eq=False)
class _Place:
    request: Request
    future: Future[Choice]
    since: float
    timer: TimerHandle | None = None


class WaitingRoom:
    """The requests of one endpoint that wait, oldest first. A caller who leaves gives the place back."""

    def __init__(self, loop: AbstractEventLoop, seconds: float, limit: int, changed: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._limit = limit
        self._changed = changed
        self.places: dict[_Place, None] = {}
        """In their order. Whether there are any is asked on the path of every request."""

    def __len__(self) -> int:
        """How many wait."""
        return len(self.places)

    @property
    def oldest(self) -> float:
        """Seconds that the first in the line has waited; 0 when nobody does."""
        return next((self._loop.time() - place.since for place in self.places), 0.0)

    @property
    def is_full(self) -> bool:
        """Whether nobody else can wait."""
        return len(self.places) >= self._limit

    def waiting(self, counts: Callable[[Request], bool]) -> Waiting:
        """How many of those wait that count, and for how long the first of them has."""
        since = [place.since for place in self.places if counts(place.request)]
        return Waiting(len(since), self._loop.time() - since[0] if since else 0.0)

    def enter(self, request: Request) -> Future[Choice]:
        """Wait. The caller has seen that the room is not full."""
        place = _Place(request, self._loop.create_future(), self._loop.time())
        place.timer = self._loop.call_later(self._seconds, self._expire, place)
        place.future.add_done_callback(lambda _: self._leave(place))
        self.places[place] = None
        self._changed()
        return place.future

    def serve_all(self) -> None:
        """Everything may have changed: ask for each of them again, in their order."""
        for place in list(self.places):
            self._serve(place)

    def serve_one(self, target: Target) -> None:
        """A replica has room for one more: it goes to the first in the line that may go there."""
        for place in self.places:
            if not place.future.done() and place.request.may_use(target):
                self._serve(place)
                return

    def close(self) -> None:
        """Send everybody away."""
        for place in list(self.places):
            place.future.cancel()

    def _serve(self, place: _Place) -> None:
        if place.future.done():
            return
        choice = place.request.attempt()
        if choice is not None:
            place.future.set_result(choice)
            self._leave(place)

    def _expire(self, place: _Place) -> None:
        if not place.future.done():
            place.future.set_result(place.request.overdue())

    def _leave(self, place: _Place) -> None:
        if self.places.pop(place, place) is None:
            self._changed()
        if place.timer is not None:
            place.timer.cancel()
            place.timer = None
