"""Jobs that are submitted and waited for: from the request to the answer, with no task for each."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

from flashcore.gateway.coalesce import Coalescer
from flashcore.gateway.wakes import Appointment, Wakes
from flashcore.model.job import Job, NewJob
from flashcore.model.names import JobId


class Caller(Protocol):
    """Who is told of a job, once."""

    def told(self, job: Job | None) -> None:
        """The job as it is; None when it was removed meanwhile."""
        ...

    def failed(self, error: Exception) -> None:
        """It was not accepted, or nobody can say what became of it."""
        ...


@dataclass(frozen=True, slots=True)
class Calls:
    """What calls need of the queue."""

    loop: AbstractEventLoop
    submissions: Coalescer[NewJob, Job]
    ends: Wakes[JobId]
    recall: Callable[[JobId], Job | None]
    """A job that is at hand as it is stored; None: ask for it."""
    wait: Callable[[JobId, float], Awaitable[Job | None]]
    """A job once it has its final state, or as it is after so many seconds."""
    spawn: Callable[[Coroutine[None, None, None]], object]

    def begin(self, new: NewJob, seconds: float, caller: Caller) -> None:
        """Submit a job and tell `caller` once it has its final state, or how it is after so many seconds."""
        call = _Call(self, new.id, self.loop.time() + seconds, caller)
        # Expected before it is submitted: a worker may be quicker than the answer of the store.
        call.end = self.ends.call(new.id, call.until, call.over)
        self.submissions.add(new, call.accepted, call.refused)

    async def look_up(self, job: JobId, until: float, caller: Caller) -> None:
        """Tell `caller` of a job that is not at hand."""
        try:
            found = await self.wait(job, until - self.loop.time())
        except Exception as error:  # noqa: BLE001 - whatever it was, it is the caller's to hear
            caller.failed(error)
        else:
            caller.told(found)


class _Call:
    """One of them."""

    __slots__ = ("_caller", "_calls", "_is_accepted", "_is_answered", "_is_late", "_is_over", "_job", "end", "until")

    def __init__(self, calls: Calls, job: JobId, until: float, caller: Caller) -> None:
        self.end: Appointment
        self.until = until
        self._calls = calls
        self._job = job
        self._caller = caller
        self._is_accepted = self._is_over = self._is_late = self._is_answered = False

    def accepted(self, job: Job) -> None:
        """The job is stored, or one that was known by its key."""
        if job.id != self._job:
            self.end.cancel()
            self._look_up(job.id)
            return
        self._is_accepted = True
        if self._is_over:
            self._answer()

    def refused(self, error: Exception) -> None:
        """It is not stored."""
        self.end.cancel()
        self._is_answered = True
        self._caller.failed(error)

    def over(self, ended: bool) -> None:  # noqa: FBT001 - what a wake tells
        """It has ended, or the time is over."""
        self._is_over = True
        self._is_late = not ended
        if ended or self._is_accepted:
            self._answer()

    def _answer(self) -> None:
        if self._is_answered:
            return
        job = self._calls.recall(self._job)
        if job is not None and (job.status.final or self._is_late):
            self._is_answered = True
            self._caller.told(job)
        else:
            self._look_up(self._job)

    def _look_up(self, job: JobId) -> None:
        self._is_answered = True
        self._calls.spawn(self._calls.look_up(job, self.until, self._caller))
