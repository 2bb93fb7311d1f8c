"""From the queue into workers' free slots: one loop per endpoint, woken by jobs and by slots, never by the clock."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

from flashcore.gateway.allowance import CountedClaims
from flashcore.gateway.books import Attempt, Books, Worker
from flashcore.gateway.fitting import Fitting
from flashcore.gateway.recording import FIRST_PAUSE, LONGEST_PAUSE, Recorder, Returned
from flashcore.gateway.routes import JobsRouting
from flashcore.hookspecs.jobs import Claim, Return
from flashcore.model.errors import StateError, StorageFull
from flashcore.model.job import Claimed
from flashcore.model.light import light
from flashcore.model.names import EndpointName, JobId, WorkerId
from flashcore.wire.messages import Assignment, Work

_log = logging.getLogger(__name__)


@light
class _Ask:
    """A worker and how many jobs it asks for; `is_last` of its revision."""

    worker: Worker
    count: int
    is_last: bool


class Claimer:
    """Gives one endpoint's jobs to its workers."""

    def __init__(
        self,
        endpoint: EndpointName,
        store: CountedClaims,
        books: Books,
        recorder: Recorder,
        fitting: Fitting,
        lease: float,
    ) -> None:
        self._endpoint = endpoint
        self._store = store
        self._books = books
        self._recorder = recorder
        self._fitting = fitting
        self._lease = lease
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._withdrawn: set[JobId] = set()
        self._rings = 0
        self._served: set[WorkerId] = set()
        """Workers that got less than they asked for, with no ring since: there is nothing more for them."""
        self._expected = 0
        self._is_counted = False
        """The store has just said that jobs are queued."""
        # What was queued before this gateway began is not known.
        self._thorough = True

    def expect(self, jobs: int) -> None:
        """So many more jobs are queued: they are spread over the workers."""
        self._expected += jobs

    def count(self, queued: int) -> None:
        """So many jobs are queued, by the store's own count: what was expected may have been cancelled, or removed."""
        self._expected = queued
        self._is_counted = queued > 0
        if queued:
            self.wake()

    def wake(self) -> None:
        """There may be something new to claim, or somebody new to claim it for."""
        self._rings += 1
        self._served.clear()
        self._wake.set()

    def freed(self, worker: Worker) -> None:
        """The worker has a free slot again: it asks for more, unless it was told that there is no more."""
        if worker.id not in self._served:
            self._wake.set()

    def withdraw(self, job: JobId) -> None:
        """A claim under way may bring this job, which is cancelled: it is not handed out."""
        self._withdrawn.add(job)

    async def run(self) -> None:
        """Claim until cancelled."""
        pause = FIRST_PAUSE
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._claim_all()
            except (StateError, StorageFull) as error:
                _log.warning("jobs of %s cannot be claimed: %s", self._endpoint, error.message)
            except Exception:  # noqa: BLE001 - whatever it was: an endpoint whose jobs nobody claims is of no use until a restart
                _log.exception("jobs of %s cannot be claimed", self._endpoint)
            else:
                pause = FIRST_PAUSE
                continue
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
            self._wake.set()

    async def _claim_all(self) -> None:
        """Until no worker has a free slot, or each revision's jobs are used up."""
        while True:
            routing = self._fitting.routing(self._endpoint)
            free = [worker for worker in self._books.of(self._endpoint) if worker.free]
            if routing is None or routing.route.held or not free:
                return
            asks = _portions(free, self._expected, thorough=self._thorough)
            claims = [self._claim(ask, routing) for ask in asks]
            got = await asyncio.gather(*claims) if len(claims) > 1 else [await claims[0]]
            self._withdrawn.clear()
            is_counted, self._is_counted = self._is_counted, False
            if is_counted and not any(got) and sum(ask.worker.begin_anew() for ask in asks):
                continue
            if not any(ask.is_last and jobs == ask.count for ask, jobs in zip(asks, got, strict=True)):
                # What is left is for others than those who asked for all: pinned, or refused after a lost attempt.
                self._thorough = self._expected > 0
                return

    async def _claim(self, ask: _Ask, routing: JobsRouting) -> int:
        """How many jobs the worker got."""
        worker, count = ask.worker, ask.count
        share = routing.shares.get(worker.revision)
        if share is None:
            return 0
        serving = self._fitting.serving(routing)
        claim = Claim(
            self._endpoint,
            worker.claims_as,
            worker.revision,
            count,
            self._lease,
            share.lanes,
            share.pinned_only,
            serving,
        )
        rings = self._rings
        worker.reserved += count
        try:
            claimed = await self._store.claim(claim)
        finally:
            worker.reserved -= count
        if len(claimed) < count and rings == self._rings:
            self._served.add(worker.id)
        self._expected = max(0, self._expected - len(claimed))
        if claimed:
            wanted = [job for job in claimed if job.id not in self._withdrawn]
            self._hand_out(worker, [job for job in wanted if not (job.unfit and self._fits_nowhere(worker, job))])
        return len(claimed)

    def _fits_nowhere(self, worker: Worker, job: Claimed) -> bool:
        """Whether it is known to fit no revision that serves; then that is its end."""
        end = self._fitting.nowhere(worker, job)
        if end is not None:
            self._recorder.add(end)
        return end is not None

    def _hand_out(self, worker: Worker, claimed: Sequence[Claimed]) -> None:
        if self._books.get(worker.id) is not worker or worker.leaving or not worker.listed:
            # It left while the claim was under way: nothing was sent, so nothing is charged.
            for job in claimed:
                end = Return(job.id, job.worker, "its worker left before it was sent", charged=False)
                self._recorder.add(Returned(end))
            return
        now = self._loop.time()
        for job in claimed:
            # Without a connection they are sent when the worker is back.
            self._books.hand_out(worker, Attempt(job, now, worker.link))
        send_work(worker, claimed, self._store.now())


def send_work(worker: Worker, jobs: Sequence[Claimed], now: float) -> None:
    """Give these jobs to the worker; `now` is by the store's clock."""
    if worker.link is None or not jobs:
        return
    worker.link.send(
        Work(
            tuple(
                Assignment(job.id, job.attempt, max(0.0, job.execution_deadline - now), job.input, job.context)
                for job in jobs
            )
        )
    )


def _portions(free: Sequence[Worker], expected: int, *, thorough: bool) -> list[_Ask]:
    """Who asks for how much, the least busy first.

    Each asks for its part of the jobs that are expected; the last of each revision asks for all that it has room for,
    so that a queue that is not what was expected is found to be so, at the price of one claim. `thorough`: all ask.
    """
    if len(free) == 1:
        return [_Ask(free[0], free[0].free, is_last=True)]
    ordered = sorted(free, key=_busyness)
    last = {worker.revision: worker for worker in ordered}
    part = max(1, -(-expected // len(ordered)))
    asks: list[_Ask] = []
    for worker in ordered:
        if last[worker.revision] is worker:
            asks.append(_Ask(worker, worker.free, is_last=True))
        elif expected > 0 or thorough:
            count = min(worker.free, part)
            asks.append(_Ask(worker, count, is_last=False))
            expected -= count
    return asks


def _busyness(worker: Worker) -> tuple[float, float]:
    return len(worker.attempts) / worker.slots, random.random()  # noqa: S311 - breaks ties, guards nothing
