"""Back-pressure from the gateway to generators: whoever streams waits while too much of it is not sent yet."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

ROOM = 1 << 20
"""Bytes of chunks that may be on their way through this process."""

WEIGHT = 512
"""What each of them counts beside its own bytes: there may be a million of one byte, here and at the gateway."""


class StreamGate:
    """Counts the bytes of chunks between generators and the connection; open while the gateway takes them."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._inside = 0
        self._open = False
        self._changed = threading.Condition()

    def set_open(self, *, value: bool) -> None:
        """Whether the gateway takes chunks now. It is for one thread to say."""
        if value is self._open:
            return
        with self._changed:
            self._open = value
            self._changed.notify_all()

    def left(self, size: int) -> None:
        """A chunk of that many bytes need not be kept any longer."""
        with self._changed:
            self._inside -= size + WEIGHT
            self._changed.notify_all()

    def wake(self) -> None:
        """Have everybody look again at whether they still want in."""
        with self._changed:
            self._changed.notify_all()

    def enter(self, size: int, given_up: Callable[[], bool]) -> bool:
        """Wait for room, then take it; False as soon as `given_up()`. Blocks its thread."""
        with self._changed:
            self._changed.wait_for(lambda: given_up() or self._has_room())
            if given_up():
                return False
            self._inside += size + WEIGHT
            return True

    async def enter_async(self, size: int, given_up: Callable[[], bool]) -> bool:
        """The same for a coroutine; a thread waits for it where there is something to wait for."""
        with self._changed:
            if self._has_room() and not given_up():
                self._inside += size + WEIGHT
                return True
        return await asyncio.to_thread(self.enter, size, given_up)

    def _has_room(self) -> bool:
        # A chunk that is larger than the room goes alone.
        return self._open and self._inside < self._room
