"""Threads for code that blocks: at most as many as there are slots, started when they are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class ThreadPool:
    """Runs tasks in daemon threads: one that never ends keeps its slot, and does not keep the process from ending.

    `submit` is called from one thread only. A task must not raise.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._threads = 0
        self._lock = threading.Lock()
        self._busy = 0

    def submit(self, task: Callable[[], None]) -> None:
        """Run `task` in a thread as soon as one is free."""
        with self._lock:
            self._busy += 1
            short = self._busy > self._threads and self._threads < self._size
            self._threads += short
        self._tasks.put(task)
        if short:
            threading.Thread(target=self._work, name=f"flashcore-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            task()
            del task  # it holds the job's payload, and the next one may be long in coming
            with self._lock:
                self._busy -= 1
