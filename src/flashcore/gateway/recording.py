"""What workers report, on its way into the store: in batches, in order, again and again until it is stored.

Results are acknowledged only when the store has them. While the store is away they are held here, and beyond a limit
who reports much is not read from (see `load`), so that a generator waits rather than the gateway's memory grows.

What a job says while it runs is stored in its order, and its end after it; that is nobody else's affair: a generator
may yield faster than any store writes, and the results of other jobs do not wait for that. Nor do they for a large one:
a store that is nearly full has room for them, and none for it.

What a store cannot hold, whatever its state, holds nobody else up: a job whose result is such has failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from flashcore.gateway.books import WorkerLink
from flashcore.gateway.load import Load
from flashcore.hookspecs.jobs import Finish, JobStore, Return, StreamsTogether
from flashcore.model.errors import StateError, StorageFull
from flashcore.model.job import Job, Payload, StreamItem
from flashcore.model.light import light
from flashcore.model.names import JobId, WorkerId
from flashcore.wire.messages import Received, Taken
from flashcore.wire.spill import SPILLED_FROM

_log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0

_TOGETHER = 256
"""Chunks that are stored at once."""


@light
class Ended:
    """An attempt's result, and who waits for its receipt."""

    end: Finish
    link: WorkerLink | None = None

    @property
    def job(self) -> JobId:
        """Whose result it is."""
        return self.end.id

    @property
    def worker(self) -> WorkerId:
        """Who reports it."""
        return self.end.worker

    @property
    def size(self) -> int:
        """Bytes of its output."""
        output = self.end.output
        return 0 if output is None else len(output.data)


@light
class Returned:
    """An attempt that goes back, and who waits for a receipt, if anybody does."""

    end: Return
    link: WorkerLink | None = None

    @property
    def job(self) -> JobId:
        """Which job goes back."""
        return self.end.id

    @property
    def worker(self) -> WorkerId:
        """Who had it."""
        return self.end.worker

    @property
    def size(self) -> int:
        """It brings nothing."""
        return 0


@light
class Streamed:
    """One more chunk of a job's stream."""

    worker: WorkerId
    job: JobId
    attempt: int
    chunk: Payload
    number: int | None = None
    link: WorkerLink | None = None
    """Who waits to hear how many are stored; nobody who does not count."""
    stored: Callable[[], None] | None = None
    """Told once it is, for who waits for this one alone; also where it cannot be, ever."""

    @property
    def size(self) -> int:
        """Bytes of the chunk."""
        return len(self.chunk.data)


@light
class Progressed:
    """A job's progress."""

    worker: WorkerId
    job: JobId
    value: Payload

    @property
    def size(self) -> int:
        """Bytes of the progress."""
        return len(self.value.data)


Report: TypeAlias = Ended | Returned | Streamed | Progressed
R = TypeVar("R", Ended, Returned, Streamed, Progressed)


@dataclass(frozen=True, slots=True)
class Heard:
    """Who is told once something is stored."""

    finished: Callable[[JobId], None]
    given_back: Callable[[Job], None]
    streamed: Callable[[JobId], None]


@light
class _Held:
    """A report that is not stored yet, and who is held up when there are too many of its kind."""

    report: Report
    link: WorkerLink | None


class Recorder:
    """One writer of everything that workers report."""

    def __init__(self, store: JobStore, limit: int, heard: Heard) -> None:
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._together = store if isinstance(store, StreamsTogether) else None
        self._heard = heard
        self._said: dict[JobId, deque[_Held]] = {}
        """By job, what is stored by itself: what it said while it ran, its end after that, in order; a large result."""
        self._speaking: list[JobId] = []
        """Jobs that have begun to say something."""
        self._ends: list[_Held] = []
        self._owed: dict[tuple[WorkerId, JobId], WorkerLink | None] = {}
        """Ends that are not stored yet, and who is told once they are."""
        self._refused: dict[object, str] = {}
        """Why the store does not take what it is being given, by what nobody else knows."""
        self._load = Load(limit)
        self._kick = asyncio.Event()

    def add(self, report: Report, link: WorkerLink | None = None) -> None:
        """Store this as soon as may be. `link` is where it came from, and is held up when there is too much of it."""
        held = _Held(report, link)
        size, is_alone = report.size, True
        if isinstance(report, Ended | Returned):
            end = report.end
            self._owed[end.worker, end.id] = report.link
            is_alone = size > SPILLED_FROM
        said = self._said.get(report.job)
        if said is not None:
            said.append(held)
        elif is_alone:
            self._said[report.job] = deque((held,))
            self._speaking.append(report.job)
        else:
            self._ends.append(held)
        self._load.add(size, link)
        self._kick.set()

    @property
    def trouble(self) -> str:
        """Why the store does not take what is held; nothing while it does."""
        return next(iter(self._refused.values()), "")

    def unstored(self) -> dict[WorkerId, list[JobId]]:
        """Jobs whose ends were reported and are not stored yet: they are still their workers'."""
        found: dict[WorkerId, list[JobId]] = {}
        for worker, job in self._owed:
            found.setdefault(worker, []).append(job)
        return found

    def reported_again(self, worker: WorkerId, job: JobId, link: WorkerLink) -> bool:
        """Whether that end is not stored yet; then its receipt goes over `link`, where the worker is now."""
        is_owed = (worker, job) in self._owed
        if is_owed:
            self._owed[worker, job] = link
        return is_owed

    async def run(self) -> None:
        """Store what comes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._kick.wait()
                self._kick.clear()
                for job in self._speaking:
                    group.create_task(self._store_said(job))
                self._speaking.clear()
                ends, self._ends = self._ends, []
                await self._store_ends(ends)

    async def settled(self) -> None:
        """Return once everything that was reported is stored."""
        await self._load.gone()

    async def _store_ends(self, held: Sequence[_Held]) -> None:
        ends = [one.report for one in held if isinstance(one.report, Ended)]
        if ends:
            await self._each_stored(self._finish, ends)
        if len(ends) < len(held):
            returns = [one.report for one in held if isinstance(one.report, Returned)]
            await self._each_stored(self._give_back, returns)
        for one in held:
            self._load.remove(one.report.size, one.link)

    async def _store_said(self, job: JobId) -> None:
        """Until there is nothing more. A stream's last chunk is there before its job is done."""
        said = self._said[job]
        while said:
            last: Streamed | None = None
            for run in _runs([said.popleft() for _ in range(len(said))]):
                held, report = run[0], run[0].report
                if isinstance(report, Streamed):
                    chunks = [one.report for one in run if isinstance(one.report, Streamed)]
                    await self._each_stored(self._append, chunks)
                    for chunk in chunks:
                        if chunk.stored is not None:
                            chunk.stored()
                    last = chunks[-1]
                elif isinstance(report, Progressed):
                    await self._each_stored(self._progress, [report])
                elif isinstance(report, Ended) and report.size > SPILLED_FROM:
                    await self._each_stored(self._finish, [report])
                else:
                    self._ends.append(held)
                    self._kick.set()
                    continue
                for held in run:
                    self._load.remove(held.report.size, held.link)
            if last is not None and last.link is not None and last.number is not None:
                last.link.send(Taken(last.job, last.attempt, last.number + 1))
        del self._said[job]

    async def _each_stored(self, store: Callable[[Sequence[R]], Awaitable[None]], reports: Sequence[R]) -> None:
        """Store them together; where one of them cannot be, whenever it is tried, each by itself."""
        try:
            await self._until_stored(store, reports)
        except Exception as error:  # noqa: BLE001 - nothing that one worker says may end the recording of all others
            if len(reports) > 1:
                for report in reports:
                    await self._each_stored(store, [report])
            else:
                await self._drop(reports[0], f"{type(error).__name__}: {error}")

    async def _drop(self, report: Report, problem: str) -> None:
        """Do without what cannot be stored. A job of which that is the result ends nevertheless, and says why."""
        _log.error("what worker %s reports of job %s cannot be stored: %s", report.worker, report.job, problem)
        if not isinstance(report, Ended):
            self._owed.pop((report.worker, report.job), None)
            return
        failed = Finish(report.job, report.worker, error=f"the job store cannot hold its result: {problem}")
        try:
            await self._until_stored(self._finish, [Ended(failed, report.link)])
        except Exception:  # noqa: BLE001 - the store fails whatever it is told: the job is queued again when its lease is over
            _log.exception("nor can it be stored that job %s has failed", report.job)
            self._owed.pop((report.worker, report.job), None)

    async def _until_stored(self, store: Callable[[T], Awaitable[None]], what: T) -> None:
        pause, trial = FIRST_PAUSE, object()
        try:
            while True:
                try:
                    await store(what)
                    return
                except (StateError, StorageFull) as error:
                    _log.warning("the job store is away, what workers report is held: %s", error.message)
                    self._refused[trial] = error.message
                    await asyncio.sleep(pause)
                    pause = min(LONGEST_PAUSE, pause * 2)
        finally:
            self._refused.pop(trial, None)

    async def _append(self, reports: Sequence[Streamed]) -> None:
        first = reports[0]
        if len(reports) > 1 and self._together is not None:
            chunks = [StreamItem(report.number or 0, report.chunk) for report in reports]
            taken = [await self._together.append_chunks(first.worker, first.job, chunks)]
        else:
            append = self._store.append_stream
            taken = [await append(report.worker, report.job, report.chunk, report.number) for report in reports]
        if any(taken):
            self._heard.streamed(first.job)

    async def _progress(self, reports: Sequence[Progressed]) -> None:
        (report,) = reports
        await self._store.progress(report.worker, report.job, report.value)

    async def _finish(self, ends: Sequence[Ended]) -> None:
        finishes = [report.end for report in ends]
        await self._store.finish(finishes)
        for finish in finishes:
            self._heard.finished(finish.id)
        # After the answers that this brings about: callers wait for them, and nobody for a receipt.
        self._loop.call_soon(_acknowledge, self._receipts(finishes))

    async def _give_back(self, returns: Sequence[Returned]) -> None:
        ends = [report.end for report in returns]
        jobs = await self._store.give_back(ends)
        _acknowledge(self._receipts(ends))
        for job in jobs:
            if job is not None:
                self._heard.given_back(job)

    def _receipts(self, ends: Sequence[Finish] | Sequence[Return]) -> list[tuple[JobId, WorkerLink]]:
        """Of what is stored now, and who waits to hear so."""
        owed = self._owed
        return [(end.id, link) for end in ends if (link := owed.pop((end.worker, end.id), None)) is not None]


def _runs(held: Sequence[_Held]) -> Iterator[list[_Held]]:
    """In their order: numbered chunks of one attempt together, so many at a time, and all else by itself."""
    run: list[_Held] = []
    for one in held:
        if run and not (len(run) < _TOGETHER and _goes_with(run[-1].report, one.report)):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _goes_with(one: Report, following: Report) -> bool:
    # What has no number is stored twice where it is stored once more, as a part of many may be.
    if not (isinstance(one, Streamed) and isinstance(following, Streamed)) or following.number is None:
        return False
    return one.number is not None and (one.worker, one.attempt) == (following.worker, following.attempt)


def _acknowledge(stored: Sequence[tuple[JobId, WorkerLink]]) -> None:
    by_link: dict[WorkerLink, list[JobId]] = {}
    for job, link in stored:
        by_link.setdefault(link, []).append(job)
    for link, jobs in by_link.items():
        link.send_soon(Received(tuple(jobs)))
