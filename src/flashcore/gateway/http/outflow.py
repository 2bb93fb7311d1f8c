"""Noticing a peer that does not take what it is sent."""

from __future__ import annotations

from asyncio import WriteTransport
from math import inf


class Outflow:
    """Watches what is written to one connection while the peer is behind.

    A slow peer may take as long as it likes, as long as it takes something between two looks.
    """

    __slots__ = ("_deadline", "_seconds", "_transport", "_unsent")

    def __init__(self, transport: WriteTransport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._deadline = inf
        self._unsent = 0

    def watch(self, now: float) -> None:
        """From now on, something has to be taken every so many seconds."""
        self._deadline = now + self._seconds
        self._unsent = self._transport.get_write_buffer_size()

    def rest(self) -> None:
        """The peer has caught up."""
        self._deadline = inf

    def is_stuck(self, now: float) -> bool:
        """Whether the time is up and nothing was taken since it began."""
        if now < self._deadline:
            return False
        if 0 < self._unsent <= self._transport.get_write_buffer_size():
            return True
        self.watch(now)
        return False
