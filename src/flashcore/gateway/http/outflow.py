"""Noticing a peer that does not take what it is sent."""

from __future__ import annotations

import fcntl
import struct
import termios
from asyncio import WriteTransport
from math import inf


class Outflow:
    """Watches what is written to one connection while the peer is behind.

    It may take as long as it likes as long as it takes something between two looks, so many bytes a second of it where
    there is a least rate. What has left this process may still be with the system, which takes megabytes at a time from
    it; only what has left that, too, was taken by the peer.
    """

    __slots__ = ("_due", "_left", "_rate", "_seconds", "_transport", "_unsent")

    def __init__(self, transport: WriteTransport, seconds: float, rate: float = 0.0) -> None:
        self._transport = transport
        self._seconds = seconds
        self._rate = rate
        self._due = inf
        self._unsent = 0
        """In this process, as of the last look."""
        self._left = 0
        """The same with what the system has; 0: nobody has looked yet."""

    def watch(self, now: float) -> None:
        """From the next look on, something has to be taken every so many seconds."""
        self._due = now
        self._left = 0

    def rest(self) -> None:
        """The peer has caught up."""
        self._due = inf

    def is_stuck(self, now: float) -> bool:
        """Whether the time is up, and too little was taken since it began."""
        if now < self._due:
            return False
        unsent, left = self._transport.get_write_buffer_size(), self._left
        queued = _queued(self._transport)
        # On its way into a Unix socket a byte grows: it counts with what it is wrapped in.
        taken = max(self._unsent - unsent, left - unsent - queued)
        if left and taken < min(left, max(1.0, self._rate * self._seconds)):
            return True
        self._unsent, self._left = unsent, unsent + queued
        self._due = now + self._seconds
        return False


def _queued(transport: WriteTransport) -> int:
    """Bytes that the system has for the peer; 0 where it does not say."""
    sock = transport.get_extra_info("socket")
    try:
        return 0 if sock is None else int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0])
    except (OSError, ValueError):  # it is closed already, or no system that counts a socket's bytes in this way
        return 0
