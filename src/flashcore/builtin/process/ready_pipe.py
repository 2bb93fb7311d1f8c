"""How a started process says that it listens: one byte through a pipe, so that nobody has to look again and again."""

from __future__ import annotations

import asyncio
import os


class ReadyPipe:
    """The writing end goes to the process."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()

    def close_writing(self) -> None:
        """The process has its own copy by now."""
        os.close(self.writing)

    def close(self) -> None:
        """Nobody will wait."""
        os.close(self._reading)

    async def wait(self) -> bool:
        """Return True when the process listens, False when it has closed its end without a word."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._reading, readable.set)
        try:
            await readable.wait()
            return os.read(self._reading, 1) != b""
        finally:
            loop.remove_reader(self._reading)
            self.close()
