"""The queue: callers on one side, workers on the other, the store between them. It owns the loops that move jobs."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Task
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from flashcore.gateway.allowance import Allowance, CountedClaims
from flashcore.gateway.books import Attempt, Books, Worker, WorkerLink
from flashcore.gateway.calling import Caller, Calls
from flashcore.gateway.claiming import Claimer
from flashcore.gateway.coalesce import Coalescer
from flashcore.gateway.counting import SideCount, remembered
from flashcore.gateway.crew import Crew, CrewEvents
from flashcore.gateway.fitting import Fitting
from flashcore.gateway.recording import Ended, Heard, Recorder
from flashcore.gateway.routes import Routes, Swap
from flashcore.gateway.settings import Settings
from flashcore.gateway.stranded import Stranded
from flashcore.gateway.wakes import Wakes
from flashcore.gateway.webhooks.delivery import Patience, Webhooks
from flashcore.hookspecs.jobs import EndsJobs, JobStore, Recalling, RingsAtOnce, TellsTrouble
from flashcore.model import job_steps
from flashcore.model.errors import FlashcoreError, StateError, StorageFull
from flashcore.model.job import Job, JobCounts, JobStatus, NewJob, StreamItem, check_job_move
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId, life_of, worker_id
from flashcore.wire.messages import Result

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Broker:
    """The job queue of one gateway. Start it before the first worker may connect."""

    def __init__(
        self,
        store: JobStore,
        settings: Settings,
        routes: Callable[[], Routes],
        changed: Callable[[EndpointName], None],
        folder: Path,
        troubled: Callable[[str], None] = lambda _: None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.store = store
        self.counts: dict[tuple[EndpointName, RevisionId], SideCount] = {}
        self.past: dict[EndpointName, tuple[SideCount, ...]] = {}
        """Of revisions that left; one that comes back is counted anew."""
        self._settings = settings
        self._changed = changed
        self._troubled = troubled
        """Told after each sweep why the job store cannot be used, nothing while it can."""
        self._loop = loop
        self.books = Books()
        self.allowance = Allowance(settings.queued_limit, settings.caller_rate, settings.sweep_interval)
        patience = Patience(
            settings.webhook_attempts, settings.webhook_pause, settings.webhook_seconds, settings.webhook_private > 0
        )
        self._webhooks = Webhooks(folder, patience, store.get)
        self._ends: Wakes[JobId] = Wakes(loop)
        self._chunks: Wakes[JobId] = Wakes(loop)
        self._recorder = Recorder(
            store, settings.unrecorded_bytes, Heard(self._ended_job, self._given_back, self._chunks.wake)
        )
        self._fitting = Fitting(routes, loop.time, settings.unfit_patience)
        self._stranded = Stranded(store, self._recorder, loop.time, settings.unfit_patience, settings.lease)
        events = CrewEvents(self._wake, self._freed, self._attempt_ended, changed, self._unfit, self._fitting.learn)
        self.crew = Crew(store, self.books, self._recorder, settings, routes, events)
        self._submissions: Coalescer[NewJob, Job] = Coalescer(loop, self._store_jobs)
        self._recall = store.recall if isinstance(store, Recalling) else _nothing_at_hand
        self._calls = Calls(loop, self._submissions, self._ends, self._recall, self.wait, self._spawn)
        self._claimers: dict[EndpointName, tuple[Claimer, Task[None]]] = {}
        self._forgetting: dict[EndpointName, asyncio.TimerHandle] = {}
        self._is_over = False
        self._tasks: set[Task[None]] = set()
        self._behind = False
        """This gateway or its store stood still, which no worker is to pay for: leases are renewed before they end."""

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up where the last gateway stopped: jobs that are with workers wait for them to come back."""
        for job in await self.store.held():
            if job.worker is not None:
                self._take_up(job, job.worker)
        await self.crew.renew_leases()
        for worker in self.books:
            self.crew.absences.begin(worker)
        await self._webhooks.start()
        if isinstance(self.store, EndsJobs):
            self.store.on_ended(self._ended_by_store)
        for work in (self._recorder.run(), self._sweep_regularly(), self._renew_regularly()):
            self._spawn(work)
        if isinstance(self.store, RingsAtOnce):
            self.store.on_enqueued(self._wake_all)
            self._wake_all(self._claimers)
        else:
            self._spawn(self._listen())

    def table_swapped(self, swap: Swap) -> None:
        """Serve the queue endpoints of a new table; those that it does not touch go on as they were."""
        touched = [EndpointName(name) for name in swap.touched]
        for endpoint in touched:
            if endpoint in swap.new.jobs:
                self._continue(endpoint)
            elif endpoint in swap.old.jobs:
                self._end(endpoint)
        self._forget_counts(swap)
        self._fitting.table_swapped(swap)
        self.crew.table_swapped(touched)
        for endpoint in touched:
            self._wake(endpoint)
            if endpoint in swap.new.jobs:
                self._changed(endpoint)

    def tell_all(self) -> None:
        """Tell all who wait for a job how it is now, and from here on whoever asks: there is no time to wait."""
        self._is_over = True
        self._ends.expire_all()
        self._chunks.expire_all()

    def stop_claiming(self) -> None:
        """Hand out nothing more."""
        for endpoint in list(self._claimers):
            self._claimers.pop(endpoint)[1].cancel()

    async def close(self) -> None:
        """Store what was reported, let the workers go. They keep what they have for the next gateway."""
        self.stop_claiming()
        self.crew.close()
        try:
            async with asyncio.timeout(self._settings.stop_grace):
                await self._recorder.settled()
        except TimeoutError:
            _log.error("the job store did not take the last results; their workers keep them")
        await self._webhooks.close()
        for timer in self._forgetting.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- callers ---------------------------------------------------------------------------------------------------

    def submit_for(self, new: NewJob, caller: Caller) -> None:
        """Store a job and tell `caller` of it."""
        self._expect_more(new.endpoint)
        if new.webhook is None:
            self._submissions.add(new, caller.told, caller.failed)
        else:
            self._spawn(self._submit_with_webhook_for(new, caller))

    def call(self, new: NewJob, seconds: float, caller: Caller) -> None:
        """Store a job and tell `caller` when it has its final state, or how it is after so many seconds."""
        if new.webhook is None:
            self._expect_more(new.endpoint)
            self._calls.begin(new, seconds, caller)
        else:
            self._spawn(self._call_with_webhook(new, seconds, caller))

    async def submit(self, new: NewJob) -> Job:
        """Store a job; the caller may hear of it when this returns. Raises StateError or StorageFull."""
        # Expected before it is there: the store's wake-up comes before its answer.
        self._expect_more(new.endpoint)
        return await (self._submit(new) if new.webhook is None else self._submit_with_webhook(new))

    def _submit(self, new: NewJob) -> asyncio.Future[Job]:
        stored: asyncio.Future[Job] = self._loop.create_future()
        self._submissions.add(new, partial(_succeed, stored), partial(_fail, stored))
        return stored

    async def _store_jobs(self, jobs: Sequence[NewJob]) -> Sequence[Job]:
        try:
            stored = await self.store.submit(jobs)
        except Exception as error:
            if len(jobs) == 1 or isinstance(error, FlashcoreError):  # else each is submitted once more, by itself
                for new in jobs:
                    self.allowance.refused(new.endpoint)
            raise
        for new, job in zip(jobs, stored, strict=True):
            if job.id == new.id:
                self.allowance.kept(new.endpoint)
            else:
                self.allowance.refused(new.endpoint)
        for endpoint in {new.endpoint for new in jobs}:
            self._changed(endpoint)
        return stored

    async def _submit_with_webhook_for(self, new: NewJob, caller: Caller) -> None:
        try:
            job = await self._submit_with_webhook(new)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's to hear
            caller.failed(error)
        else:
            caller.told(job)

    async def _call_with_webhook(self, new: NewJob, seconds: float, caller: Caller) -> None:
        until = self._loop.time() + seconds
        try:
            job = await self.submit(new)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is the caller's to hear
            caller.failed(error)
        else:
            await self._calls.look_up(job.id, until, caller)

    async def _submit_with_webhook(self, new: NewJob) -> Job:
        try:
            await self._webhooks.owe(new)
        except Exception:
            self.allowance.refused(new.endpoint)
            raise
        accepted = False
        try:
            job = await self._submit(new)
            accepted = job.id == new.id
        finally:
            if not accepted:
                await self._webhooks.forgive(new)
        return job

    async def get(self, job: JobId) -> Job | None:
        """The job as it is; None for one that is unknown or forgotten."""
        return await self.store.get(job)

    async def wait(self, job_id: JobId, seconds: float) -> Job | None:
        """The job once it has its final state, or as it is after so many seconds; None for one that is unknown."""
        until = self._loop.time() + seconds
        while True:
            end = self._ends.expect(job_id)
            try:
                job = await self.store.get(job_id)
                if job is None or job.status.final or self._is_over or self._loop.time() >= until:
                    return job
                await self._ends.wait(job_id, end, until)
            finally:
                self._ends.forget(job_id, end)

    async def read_stream(
        self, job_id: JobId, seconds: float, after: int | None = None
    ) -> tuple[Job, tuple[StreamItem, ...]] | None:
        """The job, then the chunks that nobody has read; waits so many seconds for one. None for an unknown job.

        `after` is how many the reader has: it is given those that follow, also once more.
        """
        until = self._loop.time() + seconds
        while True:
            chunk, end = self._chunks.expect(job_id), self._ends.expect(job_id)
            try:
                # The status first: when it is final, every chunk is there to be read.
                job = await self.store.get(job_id)
                if job is None:
                    return None
                chunks = await self.store.read_stream(job_id, after)
                if chunks or job.status.final or self._is_over or self._loop.time() >= until:
                    return job, chunks
                await asyncio.wait((chunk, end), timeout=until - self._loop.time(), return_when="FIRST_COMPLETED")
            finally:
                self._chunks.forget(job_id, chunk)
                self._ends.forget(job_id, end)

    async def cancel(self, job: JobId) -> Job | None:
        """Cancel the job unless it has its final state; its worker is told. None for one that is unknown."""
        cancelled = await self.store.cancel(job)
        if cancelled is not None and cancelled.status is JobStatus.CANCELLED:
            self._withdraw(cancelled)
        return cancelled

    async def retry(self, job: JobId) -> Job | None:
        """Queue a failed job again. Raises IllegalMove for any other; None for one that is unknown."""
        found = await self.store.get(job)
        if found is None or found.new.webhook is None or not found.status.final:
            return self._retried(await self.store.retry(job))
        check_job_move(job, found.status, JobStatus.IN_QUEUE)
        async with self._webhooks.retrying(found.new):
            return self._retried(await self.store.retry(job))

    def _retried(self, job: Job | None) -> Job | None:
        if job is not None:
            self.allowance.returned(job.new.endpoint)
            self._expect_more(job.new.endpoint)
        return job

    async def purge(self, endpoint: EndpointName) -> int:
        """Remove all jobs that are queued now; returns how many."""
        removed = await self.store.purge(endpoint)
        self.allowance.left(endpoint, removed)
        self._ends.wake_all()
        self._webhooks.look()
        self._changed(endpoint)
        return removed

    # -- what happens to jobs --------------------------------------------------------------------------------------

    def _ended_job(self, job: JobId) -> None:
        """It has its final state, and that is stored."""
        self._ends.wake(job)
        self._webhooks.ended(job)

    def _ended_by_store(self, endpoint: EndpointName, job: JobId) -> None:
        self._ended_job(job)
        self._changed(endpoint)

    def _given_back(self, job: Job) -> None:
        if job.status is JobStatus.IN_QUEUE:
            self.allowance.returned(job.new.endpoint)
            self._expect_more(job.new.endpoint)
        else:
            self._ended_job(job.id)
        self._changed(job.new.endpoint)

    def _attempt_ended(self, worker: Worker, attempt: Attempt, failed: bool) -> None:  # noqa: FBT001 - an event's
        self.side(worker.endpoint, worker.revision).record(self._loop.time() - attempt.begun, failed=failed)

    def _unfit(self, worker: Worker, attempt: Attempt, result: Result, link: WorkerLink) -> None:
        report = self._fitting.judge(worker, attempt.claimed, result, link)
        if isinstance(report, Ended):
            self._attempt_ended(worker, attempt, result.error is not None)
        self._recorder.add(report, link)

    def _withdraw(self, job: Job) -> None:
        """Somebody may work on a job that nobody wants any longer."""
        self._ended_job(job.id)
        self._changed(job.new.endpoint)
        if not self.crew.stop(job.id, job.attempt) and (found := self._claimers.get(job.new.endpoint)):
            found[0].withdraw(job.id)

    def _expect_more(self, endpoint: EndpointName) -> None:
        if found := self._claimers.get(endpoint):
            found[0].expect(1)

    def _wake(self, endpoint: EndpointName) -> None:
        if found := self._claimers.get(endpoint):
            found[0].wake()

    def _wake_all(self, endpoints: Iterable[EndpointName]) -> None:
        for endpoint in endpoints:
            self._wake(endpoint)

    def _freed(self, worker: Worker) -> None:
        if found := self._claimers.get(worker.endpoint):
            found[0].freed(worker)

    def side(self, endpoint: EndpointName, revision: RevisionId) -> SideCount:
        """The counts of one revision of a queue endpoint."""
        count = self.counts.get((endpoint, revision))
        if count is None:
            count = self.counts[endpoint, revision] = SideCount(revision)
        return count

    # -- endpoints -------------------------------------------------------------------------------------------------

    def _continue(self, endpoint: EndpointName) -> None:
        if (timer := self._forgetting.pop(endpoint, None)) is not None:
            timer.cancel()
        if endpoint not in self._claimers:
            self._begin(endpoint)

    def _begin(self, endpoint: EndpointName) -> None:
        claims = CountedClaims(self.store, self.allowance)
        claimer = Claimer(endpoint, claims, self.books, self._recorder, self._fitting, self._settings.lease)
        self._claimers[endpoint] = (claimer, self._spawn(claimer.run()))
        self._spawn(self._count(endpoint))

    async def count_all(self) -> None:
        """Learn what is queued already, so that limits hold from the first request on."""
        for endpoint in list(self._claimers):
            await self._count(endpoint)

    async def _count(self, endpoint: EndpointName) -> None:
        """What was queued before this gateway began counts, too."""
        try:
            await self._counts(endpoint)
        except (StateError, StorageFull) as error:
            _log.warning("jobs of %s cannot be counted: %s", endpoint, error.message)  # the next sweep does

    async def _counts(self, endpoint: EndpointName) -> JobCounts:
        since = self.allowance.stand(endpoint)
        counts = await self.store.counts(endpoint)
        self.allowance.counted(endpoint, counts.by_status.get(JobStatus.IN_QUEUE, 0), since)
        return counts

    def _end(self, endpoint: EndpointName) -> None:
        """The endpoint left the table: unless it comes back soon, so do its jobs."""
        if found := self._claimers.pop(endpoint, None):
            found[1].cancel()
        self.allowance.forget(endpoint)
        self._forgetting[endpoint] = self._loop.call_later(
            self._settings.forget_after, lambda: self._spawn(self._forget(endpoint))
        )

    def _forget_counts(self, swap: Swap) -> None:
        """Of revisions that are neither served nor worked on, where that may have changed."""

        def counts(endpoint: EndpointName, revision: RevisionId) -> bool:
            routing = swap.new.jobs.get(endpoint)
            if routing is not None and (endpoint not in swap.touched or revision in routing.shares):
                return True
            return any(worker.revision == revision for worker in self.books.of(endpoint))

        for key in [key for key in self.counts if not counts(*key)]:
            self.past[key[0]] = remembered(self.past.get(key[0], ()), [self.counts.pop(key)], ())
        self.past = {endpoint: past for endpoint, past in self.past.items() if endpoint in swap.new.jobs}

    async def _forget(self, endpoint: EndpointName) -> None:
        self._forgetting.pop(endpoint, None)
        try:
            unfinished = await self.store.forget(endpoint)
        except (StateError, StorageFull) as error:
            _log.warning("the jobs of %s, which is gone, could not be removed: %s", endpoint, error.message)
            return
        _log.info("the jobs of %s, which is gone, were removed; %d of them were not finished", endpoint, unfinished)
        self._ends.wake_all()
        self._webhooks.look()

    # -- loops -----------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[None, None, None]) -> Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "a loop of the job queue ended", "exception": error})

    async def _listen(self) -> None:
        """Wake whom new jobs are for."""
        async for endpoints in self.store.enqueued():
            self._wake_all(endpoints)

    async def _sweep_regularly(self) -> None:
        while True:
            due = self._loop.time() + self._settings.sweep_interval
            await asyncio.sleep(self._settings.sweep_interval)
            # A loop that stood still has heartbeats waiting that it did not read.
            behind = self._behind or self._loop.time() - due > self._settings.heartbeat
            self._behind = False
            if not behind:
                self.crew.look_at_silence()
            try:
                await self._sweep(behind=behind)
                self._troubled(self._trouble)
            except (StateError, StorageFull) as error:
                _log.warning("jobs that ran out of time stay as they are: %s", error.message)
                self._behind = True
                self._troubled(error.message)
            except Exception:  # noqa: BLE001 - whatever it was: without the sweep no job ends that ran out of time
                _log.exception("jobs that ran out of time stay as they are")
                self._behind = True

    @property
    def _trouble(self) -> str:
        """Why jobs, or results, cannot be kept at present; nothing while they can."""
        return (self.store.trouble if isinstance(self.store, TellsTrouble) else "") or self._recorder.trouble

    async def _sweep(self, *, behind: bool) -> None:
        """Apply what time did. `behind`: see `_behind`."""
        if behind:
            await self.crew.renew_leases()
        self._swept(await self.store.sweep())
        for endpoint, (claimer, _) in list(self._claimers.items()):
            counts = await self._counts(endpoint)
            claimer.count(counts.by_status.get(JobStatus.IN_QUEUE, 0))
            await self._look_for_stranded(endpoint, counts)

    async def _look_for_stranded(self, endpoint: EndpointName, counts: JobCounts) -> None:
        routing = self._fitting.routing(endpoint)
        if routing is not None and await self._stranded.look(routing, counts.pinned_to):
            self._changed(endpoint)

    def _swept(self, changed: Sequence[Job]) -> None:
        for job in changed:
            self.crew.ran_out(job.id, job.attempt)
            self._given_back(job)

    async def _renew_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease / 3)
            try:
                await self.crew.renew_leases()
            except (StateError, StorageFull) as error:
                _log.warning("leases are not renewed: %s", error.message)
                self._behind = True
            except Exception:  # noqa: BLE001 - whatever it was: all jobs would be taken from their workers
                _log.exception("leases are not renewed")
                self._behind = True

    def _take_up(self, job: Job, claimed_as: WorkerId) -> None:
        replica, instance = life_of(claimed_as)
        worker = self.books.get(worker_id(replica, instance))
        if worker is None:
            name = worker_id(replica, instance)
            worker = Worker(name, job.new.endpoint, replica, instance, job.revision or RevisionId(""))
            self.books.enter(worker)
        claimed = job_steps.as_claimed(job)
        since = self.store.now() - job.submitted_at - claimed.queued_for
        self.books.hand_out(worker, Attempt(claimed, self._loop.time() - since, None))


def _nothing_at_hand(_: JobId) -> Job | None:
    return None


def _succeed(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
