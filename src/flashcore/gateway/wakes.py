"""Callers that wait for something to happen to a job."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)


class Appointment(Protocol):
    """Somebody who is told once; not any more when it is cancelled."""

    def cancel(self) -> None:
        """Tell nothing. What was told stays told."""
        ...


class Wakes(Generic[K]):
    """Who waits, by what for. A wake says that it is worth looking again, not what there is to see."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[K, list[_Waiting]] = {}

    def __len__(self) -> int:
        """For how many things somebody waits."""
        return len(self._waiting)

    def expect(self, key: K) -> Future[bool]:
        """Done at the next wake; it holds True then. Take it before looking, or what happens in between is missed."""
        future: Future[bool] = self._loop.create_future()
        self._waiting.setdefault(key, []).append(future)
        return future

    def call(self, key: K, until: float, told: Callable[[bool], None]) -> Appointment:
        """Tell `told` once: True from within the next wake, False when the loop's clock shows `until`."""
        made = _Made(self, key, told)
        made.timer = self._loop.call_at(until, made.expire)
        self._waiting.setdefault(key, []).append(made)
        return made

    def wake(self, key: K) -> None:
        """Something happened."""
        for waiting in self._waiting.pop(key, ()):
            if not waiting.done():
                self._tell(waiting, woken=True)

    def wake_all(self) -> None:
        """Something happened that may concern anybody."""
        for key in list(self._waiting):
            self.wake(key)

    def expire_all(self) -> None:
        """The time is over for everybody."""
        waiting, self._waiting = self._waiting, {}
        for one in (one for those in waiting.values() for one in those):
            if not one.done():
                self._tell(one, woken=False)

    def forget(self, key: K, future: _Waiting) -> None:
        """Nobody waits for it any longer."""
        waiting = self._waiting.get(key)
        if waiting is None:
            return
        if future in waiting:
            waiting.remove(future)
        if not waiting:
            del self._waiting[key]

    def _tell(self, waiting: _Waiting, *, woken: bool) -> None:
        try:
            waiting.set_result(woken)
        except Exception as error:  # noqa: BLE001 - one who cannot take it is no reason to tell nobody else
            told = {"message": "somebody who waited for a job failed", "exception": error}
            self._loop.call_exception_handler(told)

    async def wait(self, key: K, future: Future[bool], until: float) -> bool:
        """Wait for the wake until the loop's clock shows `until`; False when that came first."""
        timer = self._loop.call_at(until, _expire, future)
        try:
            return await future
        finally:
            timer.cancel()
            self.forget(key, future)


class _Waiting(Protocol):
    """As a future of whether there was a wake."""

    def done(self) -> bool:
        """Whether it is over."""
        ...

    def set_result(self, result: bool, /) -> None:  # noqa: FBT001 - as of a future
        """There was one."""
        ...


class _Made(Generic[K]):
    """An appointment: a future with one callback, which is called at once. There is one for each call of a job."""

    __slots__ = ("_key", "_told", "_wakes", "timer")

    def __init__(self, wakes: Wakes[K], key: K, told: Callable[[bool], None]) -> None:
        self.timer: TimerHandle
        self._wakes = wakes
        self._key = key
        self._told: Callable[[bool], None] | None = told

    def done(self) -> bool:
        """Whether it was told, or cancelled."""
        return self._told is None

    def set_result(self, result: bool, /) -> None:  # noqa: FBT001 - as of a future
        """Tell it."""
        self.timer.cancel()
        told, self._told = self._told, None
        if told is not None:
            told(result)

    def cancel(self) -> None:
        """See Appointment."""
        if self._told is not None:
            self._told = None
            self.timer.cancel()
            self._wakes.forget(self._key, self)

    def expire(self) -> None:
        """The time is over."""
        self._wakes.forget(self._key, self)
        self.set_result(False)


def _expire(future: Future[bool]) -> None:
    if not future.done():
        future.set_result(False)
