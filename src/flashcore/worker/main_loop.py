"""The main thread's event loop: user code's coroutines run here, as they would in a program of their own."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

from flashcore.worker.loop_thread import LoopThread

CANCELLED_WITHIN = 0.5
"""Seconds that cancelled coroutines have to clean up when the worker ends."""


class MainLoop:
    """Made in the main thread, which then belongs to it until it is stopped."""

    def __init__(self, say: Callable[[str], None], loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop or asyncio.new_event_loop()
        self._say = say
        self._stopped = False

    def run(self) -> None:
        """Run until `stop`. A task of user code that calls sys.exit ends itself, nothing else."""
        asyncio.set_event_loop(self.loop)
        while not self._stopped:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                self._say(f"a task of the user's code raised {type(error).__name__}: {error}; the replica goes on")
        self._clean_up()

    def stop(self) -> None:
        """Have `run` return soon; from any thread."""
        self.loop.call_soon_threadsafe(self._stop)

    def spawn(self, work: Coroutine[Any, Any, None], started: Callable[[asyncio.Task[None]], None]) -> None:
        """Run a coroutine here; from any thread. `started` is given its task, on this loop."""
        self.loop.call_soon_threadsafe(lambda: started(self.loop.create_task(work)))

    def _stop(self) -> None:
        self._stopped = True
        self.loop.stop()

    def _clean_up(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=CANCELLED_WITHIN))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())


class StallWatch:
    """Notices, from the control loop, when user code blocks the main loop, and says where it is."""

    def __init__(self, threads: LoopThread, main: asyncio.AbstractEventLoop, say: Callable[[str], None]) -> None:
        self._threads = threads
        self._main = main
        self._say = say
        self._thread = threading.main_thread().ident

    async def watch(self, busy: Callable[[], str], *, patience: float = 1.0) -> None:
        """Until cancelled: say so once for each time that the loop does not turn for `patience` seconds.

        `busy` tells what runs on the loop; empty means that nobody is hurt by a stall, and nothing is looked at.
        """
        while True:
            await asyncio.sleep(patience)
            running = busy()
            if running and not await self._turns(patience):
                self._say(
                    f"the event loop has been blocked for {patience:g} s by {running}: other calls wait. "
                    f"Make it a plain `def`, or await what it waits for\n{self._place()}"
                )
                await self._turns(None)

    async def _turns(self, within: float | None) -> bool:
        turned = asyncio.Event()
        self._main.call_soon_threadsafe(self._threads.call, turned.set)
        try:
            async with asyncio.timeout(within):
                await turned.wait()
        except TimeoutError:
            return False
        return True

    def _place(self) -> str:
        frame: FrameType | None = sys._current_frames().get(self._thread or 0)  # noqa: SLF001 - the documented name
        return "".join(traceback.format_stack(frame, limit=8)) if frame is not None else ""
