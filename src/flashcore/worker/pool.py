"""Threads for code that blocks: at most as many as there are slots, started when they are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic


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
        self._begun: dict[int, float] = {}
        self.is_over = False
        """Whether tasks are to give up at once: no thread is going to be free for them."""

    @property
    def longest(self) -> float:
        """Seconds that the task has been running that began first; 0 where none is."""
        with self._lock:
            return monotonic() - min(self._begun.values()) if self._begun else 0.0

    def give_up(self) -> None:
        """Have the tasks that wait run here and now, in the knowledge that it `is_over`."""
        self.is_over = True
        while True:
            try:
                task = self._tasks.get_nowait()
            except Empty:
                return
            task()

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
            number = threading.get_ident()
            with self._lock:
                self._begun[number] = monotonic()
            task()
            del task  # it holds the job's payload, and the next one may be long in coming
            with self._lock:
                del self._begun[number]
                self._busy -= 1
