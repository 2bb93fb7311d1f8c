"""The jobs between the gateway and the script: what waits for its next question, what it has, what it is to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

from flashcore.model.job import Payload
from flashcore.model.names import JobId
from flashcore.wire.messages import Assignment, Chunk, Progress, Result
from flashcore.wire.pace import SETTLE, InHand, Pace
from flashcore.wire.runpod import Outcome
from flashcore.worker.execution import Stopped
from flashcore.worker.gate import StreamGate
from flashcore.worker.runner import Piece

HOLD = 20.0
"""Seconds that a question waits for something to answer; the package gives up after 90."""

JSON = "application/json"


class Tray:
    """A queue worker's runner whose jobs are run elsewhere. All of it belongs to the control loop.

    The package sleeps for up to a second between two questions. What came for it meanwhile would wait here while
    another replica has nothing to do; so the gateway is told of room when there is a question, and only then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.gate = StreamGate()
        self.produced: Callable[[list[Piece]], None] = lambda _pieces: None
        self.asked = asyncio.Event()
        """Set by the first question: the script has been imported, its checks have passed."""
        self._loop = loop
        self._hand = InHand(Pace())
        self._allowance = 0
        """Jobs that the open question may be answered with; 0 while there is none."""
        self._waiting: deque[Assignment] = deque()
        self._taken: dict[JobId, Assignment] = {}
        self._stopped: dict[JobId, Stopped] = {}
        """Of what it has."""
        self._items: dict[JobId, int] = {}
        """How many each has streamed."""
        self._to_tell: set[JobId] = set()
        self._news = asyncio.Event()
        self._stop_news = asyncio.Event()
        self._closed = False

    # -- from the gateway ------------------------------------------------------------------------------------------

    @property
    def slots(self) -> int:
        """What it can have at a time, as of now."""
        return len(self._taken) + max(self._allowance, len(self._waiting))

    @property
    def takes(self) -> Mapping[str, str]:
        """Nothing by name: a script has one handler, for any input."""
        return {}

    @property
    def ids(self) -> tuple[JobId, ...]:
        """Every job that is here."""
        return (*self._taken, *self.waiting)

    @property
    def waiting(self) -> tuple[JobId, ...]:
        """Jobs that the script has not got yet."""
        return tuple(job.id for job in self._waiting)

    def take(self, assignments: Iterable[Assignment]) -> None:
        """Keep them for the script's next question."""
        here = set(self.ids)
        for job in assignments:
            if job.id in here:
                continue
            if job.input.media == JSON:
                self._waiting.append(job)
            else:
                refused = f"the input is {job.input.media}; a worker of RunPod's package reads JSON"
                self.produced([Result(job.id, job.attempt, error=refused, unfit="jobs in JSON")])
        self._news.set()

    def stop(self, ids: Iterable[JobId], why: Stopped) -> None:
        """Give back what waits; have the script stop what it has, as far as it can."""
        wanted = set(ids)
        back = [job for job in self._waiting if job.id in wanted]
        self._waiting = deque(job for job in self._waiting if job.id not in wanted)
        for job in wanted & self._taken.keys():
            self._stopped.setdefault(job, why)
            self._to_tell.add(job)
        self.gate.wake()
        self._stop_news.set()
        if back:
            self.produced([_released(job) for job in back])

    def give_up(self) -> list[Result]:
        """Everything that the script has not finished."""
        left = [*self._taken.values()]
        for job in left:
            self._forget(job.id)
        return [_released(job) for job in left]

    def close(self) -> None:
        """Keep the script's questions no longer: it has been told to end, and waits for their answers."""
        self._closed = True
        self._news.set()
        self._stop_news.set()

    # -- from the script -------------------------------------------------------------------------------------------

    async def next_jobs(self, asked: int, *, takes_lists: bool, is_idle: bool) -> list[Assignment]:
        """What it may have now; waits for it."""
        self.asked.set()
        self._look_for_ended(asked)
        if is_idle:
            self.works_on(())
        pace = self._hand.pace
        allowance = pace.allowance(asked) if takes_lists or asked > 1 else 1
        until = self._loop.time() + HOLD
        try:
            while not self._closed and (left := until - self._loop.time()) > 0:
                due_in = self._hand.due_in(self._loop.time())
                if not due_in:
                    if self._waiting:
                        return self._hand_out(allowance)
                    self._have_room_for(allowance)
                await _wait(self._news, min(left, due_in or left))
        finally:
            self._have_room_for(0)
        return []

    async def next_stops(self) -> list[JobId]:
        """Jobs that it is to stop, each told once; waits for one."""
        until = self._loop.time() + HOLD
        while not self._closed and not self._to_tell and (left := until - self._loop.time()) > 0:
            await _wait(self._stop_news, left)
        stops = sorted(self._to_tell)
        self._to_tell.clear()
        return stops

    def ended(self, job: JobId, outcome: Outcome) -> None:
        """It posted a result."""
        known = self._forget(job)
        if known is not None:
            self.produced([Result(job, known.attempt, outcome.output, outcome.error)])

    def progressed(self, job: JobId, progress: Payload) -> None:
        """It told how far a job is; that may come after its result."""
        known = self._taken.get(job)
        if known is not None:
            self.produced([Progress(job, known.attempt, progress)])

    async def streamed(self, job: JobId, item: Payload) -> None:
        """It posted an item of a stream. Returns when there is room for the next."""
        known = self._taken.get(job)
        if known is not None and await self.gate.enter_async(len(item.data), lambda: self._is_over(job)):
            number = self._items.get(job, 0)
            self._items[job] = number + 1
            self.produced([Chunk(job, known.attempt, item, number)])

    def works_on(self, named: Collection[JobId]) -> None:
        """It says that it has these and no others: what it left out twice is not coming any more."""
        for job in self._hand.lost(named):
            stopped, known = job in self._stopped, self._forget(job)
            if known is not None:
                self.produced([_released(known) if stopped else _lost(known)])

    # --------------------------------------------------------------------------------------------------------------

    def _hand_out(self, most: int) -> list[Assignment]:
        jobs = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._taken.update((job.id, job) for job in jobs)
        self._hand.take((job.id for job in jobs), self._loop.time())
        return jobs

    def _look_for_ended(self, asked: int) -> None:
        """It posts nothing of a job that it stopped. That it asks for more than it could do beside it tells."""
        surplus = len(self._taken) - max(0, self._hand.pace.slots - asked)
        for job in [*self._stopped][: max(0, surplus)]:
            known = self._forget(job)
            if known is not None:
                self.produced([_released(known)])

    def _have_room_for(self, more: int) -> None:
        self._allowance = more
        self.produced([])

    def _forget(self, job: JobId) -> Assignment | None:
        self._stopped.pop(job, None)
        self._to_tell.discard(job)
        self._items.pop(job, None)
        known = self._taken.pop(job, None)
        if known is not None:
            now = self._loop.time()
            self._hand.end(job, now)
            if not self._hand.awaited(now):
                self._loop.call_later(SETTLE, self._news.set)
        return known

    def _is_over(self, job: JobId) -> bool:
        return job in self._stopped or job not in self._taken


def _released(job: Assignment) -> Result:
    return Result(job.id, job.attempt, released=True)


def _lost(job: Assignment) -> Result:
    why = "the script took the job and posted no result; its log says why (a result that is not JSON, for example)"
    return Result(job.id, job.attempt, error=why)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    event.clear()
