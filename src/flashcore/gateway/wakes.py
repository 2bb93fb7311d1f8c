"""Callers that wait for something to happen to a job."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Wakes(Generic[K]):
    """Futures by what they wait for. A wake says that it is worth looking again, not what there is to see."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[K, list[Future[bool]]] = {}

    def __len__(self) -> int:
        """For how many things somebody waits."""
        return len(self._waiting)

    def expect(self, key: K) -> Future[bool]:
        """Done at the next wake; it holds True then. Take it before looking, or what happens in between is missed."""
        future: Future[bool] = self._loop.create_future()
        self._waiting.setdefault(key, []).append(future)
        return future

    def call(self, key: K, until: float, told: Callable[[bool], None]) -> Future[bool]:
        """Tell `told` once: True at the next wake, False when the loop's clock shows `until`; nothing if cancelled."""
        future = self.expect(key)
        timer = self._loop.call_at(until, _expire, future)

        def over(done: Future[bool]) -> None:
            timer.cancel()
            if done.cancelled():
                self.forget(key, done)
            elif done.result():
                told(True)
            else:
                self.forget(key, done)
                told(False)

        future.add_done_callback(over)
        return future

    def wake(self, key: K) -> None:
        """Something happened."""
        for future in self._waiting.pop(key, ()):
            if not future.done():
                future.set_result(True)

    def wake_all(self) -> None:
        """Something happened that may concern anybody."""
        for key in list(self._waiting):
            self.wake(key)

    def forget(self, key: K, future: Future[bool]) -> None:
        """Nobody waits for it any longer."""
        waiting = self._waiting.get(key)
        if waiting is None:
            return
        if future in waiting:
            waiting.remove(future)
        if not waiting:
            del self._waiting[key]

    async def wait(self, key: K, future: Future[bool], until: float) -> bool:
        """Wait for the wake until the loop's clock shows `until`; False when that came first."""
        timer = self._loop.call_at(until, _expire, future)
        try:
            return await future
        finally:
            timer.cancel()
            self.forget(key, future)


def _expire(future: Future[bool]) -> None:
    if not future.done():
        future.set_result(False)
