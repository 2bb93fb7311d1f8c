"""One worker that asks over HTTP, as the crew sees it: what it is sent waits here for its next question."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Mapping

from flashcore.gateway.books import Attempt
from flashcore.model.names import JobId
from flashcore.wire.messages import Assignment, Message, Received, Stop, Work
from flashcore.wire.pace import SETTLE, InHand, Pace


class PolledLink:
    """A WorkerLink. Belongs to one event loop."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.closed = False
        self.away = False
        """It hung up, and has not asked again."""
        self.is_paused = False
        self._in_hand = InHand(pace)
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[Assignment] = deque()
        self._stops: set[JobId] = set()
        self._receipts: dict[JobId, asyncio.Future[None]] = {}
        self._job_news = asyncio.Event()
        self._stop_news = asyncio.Event()
        self._readable = asyncio.Event()
        self._readable.set()

    # -- from the crew ---------------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Keep it until it is asked for."""
        match message:
            case Work(jobs):
                self._jobs.extend(jobs)
                for again in jobs:
                    self._in_hand.taken.pop(again.id, None)  # what it is sent once more it does not have
            case Stop(ids):
                self._stops.update(ids)
            case Received(ids):
                for job in ids:
                    self._resolve(job)
            case _:
                # A welcome or a refusal: nothing that this kind of worker asks for.
                pass
        self.tell()

    def send_soon(self, receipt: Received) -> None:
        """At once: a worker that posts a result waits for its receipt."""
        self.send(receipt)

    def close(self) -> None:
        """It is not spoken to any longer."""
        self.closed = True
        for job in list(self._receipts):
            self._resolve(job)
        self.tell()

    def abort(self) -> None:
        """As `close`: nothing is on its way."""
        self.close()

    def pause(self) -> None:
        """What it posts waits."""
        self.is_paused = True
        self._readable.clear()

    def resume(self) -> None:
        """What it posts is taken again."""
        self.is_paused = False
        self._readable.set()

    # -- from the worker's requests --------------------------------------------------------------------------------

    @property
    def is_here(self) -> bool:
        """Whether it is spoken to, and would answer."""
        return not (self.closed or self.away)

    @property
    def out(self) -> Mapping[JobId, float]:
        """Jobs that it took and has not reported, and when it took them, by the loop's clock."""
        return self._in_hand.taken

    @property
    def due_in(self) -> float:
        """Seconds until it is time for more; there may be `job_news` before."""
        return self._in_hand.due_in(self._loop.time())

    @property
    def waiting(self) -> int:
        """Jobs that it has not asked for yet."""
        return len(self._jobs)

    async def job_news(self, seconds: float) -> None:
        """Wait until something may be taken, or so long."""
        await _wait(self._job_news, seconds)

    async def stop_news(self, seconds: float) -> None:
        """Wait until something is to be stopped, or so long."""
        await _wait(self._stop_news, seconds)

    def take(self) -> list[Assignment]:
        """All jobs that wait; those that were stopped meanwhile are among them."""
        jobs = list(self._jobs)
        self._jobs.clear()
        self._in_hand.take((job.id for job in jobs), self._loop.time())
        return jobs

    def hold(self, attempts: Iterable[Attempt]) -> None:
        """It took these from an earlier gateway."""
        for attempt in attempts:
            self._in_hand.take((attempt.claimed.id,), attempt.begun)

    def withdraw(self, job: JobId) -> bool:
        """Take back a job that it has not asked for yet; whether that was so."""
        kept = [one for one in self._jobs if one.id != job]
        was_waiting = len(kept) < len(self._jobs)
        self._jobs = deque(kept)
        return was_waiting

    def take_stops(self) -> list[JobId]:
        """Jobs that it is to stop, each said once."""
        stops = sorted(self._stops)
        self._stops.clear()
        return stops

    def reported(self, job: JobId) -> None:
        """It is through with a job."""
        now = self._loop.time()
        self._in_hand.end(job, now)
        if not self._in_hand.awaited(now):
            self._loop.call_later(SETTLE, self.tell)

    def empty_handed(self) -> set[JobId]:
        """It says that it works on nothing: what it had already lost the last time that it said so."""
        return self._in_hand.lost(())

    def receipt(self, job: JobId) -> asyncio.Future[None]:
        """Done when what it posts of the job is stored, or when nobody can say any longer."""
        return self._receipts.setdefault(job, self._loop.create_future())

    def tell(self) -> None:
        """Have whoever waits look again."""
        self._job_news.set()
        self._stop_news.set()

    async def readable(self) -> None:
        """Wait until what it posts may come in."""
        await self._readable.wait()

    def _resolve(self, job: JobId) -> None:
        future = self._receipts.pop(job, None)
        if future is not None and not future.done():
            future.set_result(None)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    event.clear()
