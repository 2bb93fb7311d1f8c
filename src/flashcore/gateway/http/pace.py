"""Noticing a client that sends a body so slowly that it only holds a place."""

from __future__ import annotations

from math import inf


class BodyPace:
    """One body's, from its first piece on: in each stretch of so many seconds, so many bytes have to come.

    It stands still while nobody reads from the client, who is not to blame for a slow replica. A body is too slow only
    when two looks in a row find it so: between them the loop reads, and what came while this process was busy, or did
    not run at all, counts.
    """

    __slots__ = ("_came", "_is_suspect", "_least", "_left", "_seconds", "due")

    def __init__(self, least: float, seconds: float, now: float) -> None:
        self._least = least
        self._seconds = seconds
        self._came = 0
        self._is_suspect = False
        self.due = now + seconds
        """When it is to be looked at next."""
        self._left = inf

    def came(self, size: int) -> None:
        """So many bytes more."""
        self._came += size

    def hold(self, now: float) -> None:
        """The client is not read from."""
        if self.due != inf:
            self._left = self.due - now
            self.due = inf

    def release(self, now: float) -> None:
        """It is again."""
        if self.due == inf:
            self.due = now + self._left

    def is_too_slow(self, now: float) -> bool:
        """Whether too little came, as of this look."""
        if now < self.due:
            return False
        if self._came >= self._least:
            self._begin(now)
            return False
        was_suspect, self._is_suspect = self._is_suspect, True
        return was_suspect

    def _begin(self, now: float) -> None:
        self._came = 0
        self._is_suspect = False
        self.due = now + self._seconds
