"""Telling observers what happened, without waiting for them.

Each observing plugin has a thread and a bounded queue of its own: one that is slow or hangs holds up neither the
platform nor another observer, and one that cannot keep up loses the newest events rather than our memory. The log of
events has them all.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pluggy import HookImpl

from flashcore.registry.calls import call_one
from flashcore.registry.rejection import told
from flashcore.registry.reports import Origin

CAPACITY = 1_000
"""Events that may wait for one observer."""


@dataclass(frozen=True, slots=True)
class Health:
    """How one observer has done so far."""

    origin: Origin
    delivered: int
    failed: int
    dropped: int
    last_failure: str


class Observers:
    """The observers of one hook; a thread is started with an observer's first event."""

    def __init__(self, hook: str, observers: Iterable[tuple[Origin, HookImpl]], capacity: int = CAPACITY) -> None:
        self._observers = tuple(_Observer(hook, origin, call, capacity) for origin, call in observers)

    def tell(self, **arguments: Any) -> None:
        """Pass the hook's arguments on to every observer. Returns at once, and raises nothing; thread-safe."""
        for observer in self._observers:
            observer.tell(arguments)

    def health(self) -> tuple[Health, ...]:
        """How each observer has done so far."""
        return tuple(observer.health() for observer in self._observers)

    def close(self, timeout: float = 1.0) -> None:
        """Let observers finish what waits for them, at most `timeout` seconds for all; then let go. Idempotent."""
        deadline = time.monotonic() + timeout
        for observer in self._observers:
            observer.stop()
        for observer in self._observers:
            observer.join(max(0.0, deadline - time.monotonic()))


class _Observer:
    """One plugin's implementation, its queue and its thread."""

    def __init__(self, hook: str, origin: Origin, implementation: HookImpl, capacity: int) -> None:
        self._hook = hook
        self._origin = origin
        self._implementation = implementation
        self._waiting: queue.Queue[Mapping[str, Any] | None] = queue.Queue(capacity)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._delivered = self._failed = self._dropped = 0
        self._last_failure = ""

    def tell(self, arguments: Mapping[str, Any]) -> None:
        with self._lock:
            if self._stopped:
                return
            if self._thread is None:
                # A daemon, so that an observer that hangs does not keep the process from ending.
                self._thread = threading.Thread(target=self._run, name=f"observer {self._origin.name}", daemon=True)
                self._thread.start()
            try:
                self._waiting.put_nowait(arguments)
            except queue.Full:
                self._dropped += 1
                self._warn_once(self._dropped, "cannot keep up, events are dropped")

    def health(self) -> Health:
        return Health(self._origin, self._delivered, self._failed, self._dropped, self._last_failure)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            with contextlib.suppress(queue.Full):  # then it is not idle, and looks at _stopped after each event
                self._waiting.put_nowait(None)

    def join(self, timeout: float) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not (self._stopped and self._waiting.empty()):
            arguments = self._waiting.get()
            if arguments is None:
                return
            called = call_one(self._implementation, self._origin, self._hook, arguments)
            if called.failure is None:
                self._delivered += 1
            else:
                self._failed += 1
                self._last_failure = told(called.failure)
                self._warn_once(self._failed, f"raised {self._last_failure}")

    def _warn_once(self, times: int, what: str) -> None:
        if times == 1:
            logging.getLogger(__name__).warning("%s of %s %s; said once", self._hook, self._origin, what)
