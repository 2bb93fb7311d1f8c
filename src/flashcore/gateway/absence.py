"""Workers whose connection ended while they had jobs: they are waited for, as long as they can come back."""

from __future__ import annotations

import asyncio
from asyncio import Task
from typing import Protocol

from flashcore.gateway.books import Worker
from flashcore.gateway.liveness import process_is_gone
from flashcore.model.names import WorkerId
from flashcore.worker.processes import boot_id

SHORTEST_LOOK = 0.02
LONGEST_LOOK = 0.5


class GiveUp(Protocol):
    """Who is told that a worker will not come back."""

    def __call__(self, worker: Worker, reason: str, *, charged: bool) -> None:
        """`charged`: it was the worker that failed, not we who sent it away."""
        ...


class Absences:
    """Who is waited for."""

    def __init__(self, grace: float, give_up: GiveUp) -> None:
        self._grace = grace
        self._give_up = give_up
        self._boot_id = boot_id()
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[WorkerId, Task[None]] = {}

    def begin(self, worker: Worker) -> None:
        """Wait for the worker, until its process is known to be gone or the grace is over."""
        # Whose fault it is shows at the moment when the connection ends: later it is in no table any longer.
        charged = worker.listed and not worker.leaving
        self._tasks[worker.id] = self._loop.create_task(self._wait(worker, charged=charged))

    def end(self, worker: Worker) -> None:
        """It is back; nothing happens when it was not away."""
        task = self._tasks.pop(worker.id, None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """Wait for nobody."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _wait(self, worker: Worker, *, charged: bool) -> None:
        deadline = self._loop.time() + self._grace
        pause = SHORTEST_LOOK
        reason = "worker lost: its connection ended and it did not come back"
        while (left := deadline - self._loop.time()) > 0:
            await asyncio.sleep(min(pause, left))
            pause = min(LONGEST_LOOK, pause * 2)
            if worker.identity is not None and process_is_gone(worker.identity, self._boot_id):
                reason = "worker lost: its process ended"
                break
        self._tasks.pop(worker.id, None)
        self._give_up(worker, reason, charged=charged)
