"""Jobs in a SQLite file: durable, owned by one process. See `sqlite.jobs` for how it is made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from flashcore.builtin.local.clock import Clock, store_clock
from flashcore.builtin.local.doorbell import Doorbell
from flashcore.builtin.sqlite.blobs import Blobs
from flashcore.builtin.sqlite.clock import leave_mark
from flashcore.builtin.sqlite.jobs import loading
from flashcore.builtin.sqlite.jobs.batch import Batch, ChunkAdded
from flashcore.builtin.sqlite.jobs.book import Book, Standing
from flashcore.builtin.sqlite.jobs.desk import Desk
from flashcore.builtin.sqlite.jobs.entry import STATUSES, Entry, Shelved
from flashcore.builtin.sqlite.jobs.files import Files
from flashcore.builtin.sqlite.jobs.filling import Filler
from flashcore.builtin.sqlite.jobs.journal import Journal
from flashcore.builtin.sqlite.jobs.lanes import Lane
from flashcore.builtin.sqlite.jobs.payloads import INPUT, Payloads, given_inputs, has_shelved, is_large, with_given
from flashcore.builtin.sqlite.jobs.replaying import take_over
from flashcore.builtin.sqlite.jobs.submission import Repeats, Submission
from flashcore.builtin.sqlite.jobs.sweeping import Sweeper
from flashcore.builtin.sqlite.place import Place
from flashcore.builtin.sqlite.schema import Schema
from flashcore.builtin.sqlite.writer import Writer
from flashcore.hookspecs.jobs import Claim, Finish, Return, after
from flashcore.model import job_steps
from flashcore.model.errors import StateCorrupt, StateError, StorageFull
from flashcore.model.job import Claimed, Job, JobCounts, JobStatus, NewJob, Payload, StreamItem, Waiting
from flashcore.model.names import EndpointName, JobId, WorkerId

SCHEMA = Schema("jobs", 0x666C6A31)

_SHORTAGE_PAUSE = 0.5
"""Seconds until a file is tried again that could not be opened for lack of descriptors or memory."""


class SqliteJobs:
    """A JobStore in a file."""

    def __init__(self, writer: Writer, journal: Journal, clock: Clock, standing: Standing, blobs: Blobs) -> None:
        self._writer = writer
        self._places = (Place(writer.path), Place(journal.path))
        self._clock = clock
        self._blobs = blobs
        self._doorbell = Doorbell()
        self._repeats = Repeats(clock)
        self._desk = Desk(Files(writer, journal), standing, clock, self._doorbell.ring, self._leave, blobs.remove)
        self._filler = Filler(self._desk)
        self._payloads = Payloads(writer, blobs, self._desk.when_settled)
        self._sweeper = Sweeper(self._desk, writer, clock, standing, blobs.remove)
        self._ended: Callable[[EndpointName, JobId], None] = _nobody_waits
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path, wall: Clock, monotonic: Clock) -> SqliteJobs:
        """Open or create the jobs at `path`; see Stores.open_jobs."""
        writer = await Writer.open(path, SCHEMA)
        try:
            journal = Journal(path.with_name(f"{path.name}.journal"))
            writer.close_with(journal.close)
            await take_over(writer, journal)
            clock = store_clock(await writer.read(loading.read_mark), wall, monotonic)
            blobs = Blobs(path.with_name(f"{path.name}.blobs"))
            blobs.keep_only(await writer.read(loading.blobs))
            return cls(writer, journal, clock, await writer.read(loading.read_standing), blobs)
        except BaseException:
            await writer.close()
            raise

    async def submit(self, jobs: Sequence[NewJob]) -> tuple[Job, ...]:
        """See JobStore."""
        if (lost := self._lost) is not None:
            raise lost
        if not any(is_large(new.input) for new in jobs):
            numbered = await Submission(self._desk, self._clock, self._repeats, jobs).run()
        else:
            async with self._payloads.shelved([new.input for new in jobs]) as inputs:
                stored = [replace(new, input=kept or new.input) for new, kept in zip(jobs, inputs, strict=True)]
                numbered = await Submission(self._desk, self._clock, self._repeats, stored).run()
            given = given_inputs(jobs, stored)
            numbered = [(n, with_given(job, given)) for n, job in numbered]
        return tuple([await self._payloads.whole(n, job) if has_shelved(job) else job for n, job in numbered])

    async def claim(self, claim: Claim) -> tuple[Claimed, ...]:
        """See JobStore."""
        there: list[Claimed] = []
        while True:
            try:
                taken = await self._desk.run(partial(self._take, claim))
            except _Starving as starving:
                await self._filler.fill(starving.lanes)
                continue
            claimed = [(n, job_steps.as_claimed(job)) for n, job in taken]
            found = [
                await self._with_input(n, one, one.input, claim) if isinstance(one.input, Shelved) else one
                for n, one in claimed
            ]
            came = [one for one in found if one is not None]
            there += came
            lost = len(found) - len(came)
            if not lost:
                return tuple(there)
            claim = replace(claim, count=lost)  # fewer than were asked for would say that there is no more

    async def extend(self, worker: WorkerId, ids: Sequence[JobId], lease: float) -> tuple[JobId, ...]:
        """See JobStore."""

        def change(book: Book) -> tuple[JobId, ...]:
            now = self._clock()
            lost: list[JobId] = []
            for identity in ids:
                entry = book.held_by(worker, identity)
                if entry is None:
                    lost.append(identity)
                else:
                    book.put(entry, job_steps.extended(entry.job, now, lease))
            return tuple(lost)

        return await self._desk.run(change)

    async def progress(self, worker: WorkerId, job: JobId, value: Payload) -> bool:
        """See JobStore."""
        async with self._payloads.shelved([value]) as (kept,):

            def change(book: Book) -> bool:
                entry = book.held_by(worker, job)
                if entry is not None:
                    book.put(entry, job_steps.progressed(entry.job, kept or value))
                return entry is not None

            return await self._desk.run(change)

    async def append_stream(self, worker: WorkerId, job: JobId, chunk: Payload, number: int | None = None) -> bool:
        """See JobStore."""
        return await self._append(worker, job, [(chunk, number)])

    async def append_chunks(self, worker: WorkerId, job: JobId, chunks: Sequence[StreamItem]) -> bool:
        """See StreamsTogether."""
        return await self._append(worker, job, [(chunk.value, chunk.number) for chunk in chunks])

    async def _append(self, worker: WorkerId, job: JobId, chunks: Sequence[tuple[Payload, int | None]]) -> bool:
        async with self._payloads.shelved([value for value, _ in chunks]) as kept:

            def change(book: Book) -> bool:
                entry = book.held_by(worker, job)
                if entry is None:
                    return False
                grown = entry.job
                for stored, (value, number) in zip(kept, chunks, strict=True):
                    before, grown = grown, job_steps.streamed(grown, number)
                    if grown is not before:
                        item = StreamItem(grown.streamed - 1, stored or value)
                        book.batch.streams.append(ChunkAdded(entry.n, item, len(value.data)))
                book.put(entry, grown)
                return True

            return await self._desk.run(change)

    async def read_stream(self, job: JobId, after: int | None = None) -> tuple[StreamItem, ...]:
        """See JobStore."""
        entry = await self._known(job)
        if entry is None:
            return ()
        if after is None:
            items = await self._writer.write(partial(loading.take_chunks, entry.n))
        else:
            items, _ = await self._writer.write(partial(loading.pass_chunks, entry.n, after), self._passed)
        whole = tuple([replace(item, value=await self._payloads.unshelved(item.value)) for item in items])
        if after is None:
            await self._payloads.taken(entry.n, items)
        return whole

    def _passed(self, seen: tuple[Sequence[StreamItem], tuple[str, ...]]) -> None:
        self._blobs.remove(seen[1])

    async def stream_size(self, job: JobId) -> int:
        """See WeighsStreams."""
        entry = await self._known(job)
        return 0 if entry is None else await self._writer.read(partial(loading.stream_size, entry.n))

    async def finish(self, results: Sequence[Finish]) -> tuple[bool, ...]:
        """See JobStore."""
        if not any(is_large(result.output) for result in results):
            return await self._desk.run(partial(self._finish, results))
        async with self._payloads.shelved([result.output for result in results]) as outputs:
            stored = [replace(result, output=output) for result, output in zip(results, outputs, strict=True)]
            return await self._desk.run(partial(self._finish, stored))

    async def give_back(self, returns: Sequence[Return]) -> tuple[Job | None, ...]:
        """See JobStore."""

        def change(book: Book) -> list[tuple[int, Job] | None]:
            now = self._clock()
            given: list[tuple[int, Job] | None] = []
            for end in returns:
                entry = book.held_by(end.worker, end.id)
                if entry is None:
                    given.append(None)
                else:
                    given.append((entry.n, book.put(entry, after(entry.job, end, now))))
            return given

        given = await self._desk.run(change)
        return tuple([None if one is None else await self._payloads.told(*one) for one in given])

    async def cancel(self, job: JobId) -> Job | None:
        """See JobStore."""
        return await self._step(job, job_steps.cancelled)

    async def retry(self, job: JobId) -> Job | None:
        """See JobStore."""
        return await self._step(job, job_steps.retried)

    async def get(self, job: JobId) -> Job | None:
        """See JobStore."""
        while (entry := await self._known(job)) is not None:
            book, found, pending = self._desk.book, entry.job, entry.pending
            if not book.is_promised(entry):
                with contextlib.suppress(StateError, StorageFull):  # then the job is again what it was before
                    await self._desk.settled()
            # As it was when it was looked at: one whose stream grows all the time is never found at rest.
            if book is self._desk.book and pending <= book.promised:
                return await self._payloads.whole(entry.n, found)
        return None

    def recall(self, job: JobId) -> Job | None:
        """See Recalling: what is in memory and on disk alike."""
        book = self._desk.book
        entry = book.find(job)
        if entry is None or not book.is_promised(entry) or has_shelved(entry.job):
            return None
        return entry.job if job_steps.forgotten_at(entry.job) > self._clock() else None

    async def purge(self, endpoint: EndpointName) -> int:
        """See JobStore."""

        def change(book: Book) -> int:
            account = book.accounts.get(endpoint)
            return 0 if account is None else book.purge(account)

        return await self._desk.run(change)

    async def forget(self, endpoint: EndpointName) -> int:
        """See JobStore."""

        def change(book: Book) -> int:
            account = book.accounts.get(endpoint)
            return 0 if account is None else book.forget(account)

        return await self._desk.run(change)

    async def counts(self, endpoint: EndpointName) -> JobCounts:
        """See JobStore."""
        await self._desk.ready()
        account = self._desk.book.accounts.get(endpoint)
        if account is None:
            return JobCounts(dict.fromkeys(JobStatus, 0), 0, 0.0)
        while starving := self._desk.book.starving(account):
            await self._filler.fill(starving)
        by_status = dict(zip(STATUSES, account.counts, strict=True))
        oldest = self._age(self._desk.book.oldest(account))
        pressing = self._age(self._desk.book.oldest(account, least=0)) if account.low else oldest
        pinned_to = self._desk.book.pinned_to(account)
        waiting = self._desk.book.pressing(account)
        by_pin = {pin: Waiting(count, self._age(job)) for pin, (count, job) in waiting.items()}
        return JobCounts(by_status, account.retried, oldest, account.low, pressing, pinned_to, by_pin)

    async def sweep(self) -> tuple[Job, ...]:
        """See JobStore."""
        return tuple([await self._payloads.told(n, job) for n, job in await self._sweeper.sweep()])

    async def held(self) -> tuple[Job, ...]:
        """See JobStore."""
        await self._desk.ready()
        await self._desk.settled()
        running = [(entry.n, entry.job) for entry in self._desk.book.running()]
        held: list[Job] = []
        for n, job in running:
            with contextlib.suppress(StateCorrupt):  # nobody can send its input again: its lease runs out
                held.append(await self._payloads.whole(n, job))
        return tuple(held)

    def on_enqueued(self, told: Callable[[frozenset[EndpointName]], None]) -> None:
        """See RingsAtOnce."""
        self._doorbell.tell(told)

    def on_ended(self, told: Callable[[EndpointName, JobId], None]) -> None:
        """See EndsJobs."""
        self._ended = told

    def enqueued(self) -> AsyncGenerator[frozenset[EndpointName], None]:
        """See JobStore."""
        return self._doorbell.listen(
            lambda: [name for name, account in self._desk.book.accounts.items() if account.queued]
        )

    @property
    def trouble(self) -> str:
        """See TellsTrouble."""
        lost = self._lost
        return "" if lost is None else lost.message

    @property
    def _lost(self) -> StateError | None:
        """What to raise where one of the files is not the one that is written any more."""
        for place in self._places:
            if (lost := place.lost) is not None:
                return lost
        return None

    def now(self) -> float:
        """See JobStore."""
        return self._clock()

    async def close(self) -> None:
        """See JobStore. It goes on where its caller gives up; whoever calls it again waits for the same end."""
        if self._ending is None:
            self._doorbell.close()
            self._ending = asyncio.get_running_loop().create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        try:
            await self._desk.close()
            with contextlib.suppress(StateError, StorageFull):  # then the mark of the last change has to do
                await leave_mark(self._writer, self._clock)
        finally:
            await self._writer.close()

    def _age(self, job: Job | None) -> float:
        return 0.0 if job is None else self._clock() - job.submitted_at

    def _take(self, claim: Claim, book: Book) -> list[tuple[int, Job]]:
        account = book.accounts.get(claim.endpoint)
        if account is None or claim.count < 1:
            return []
        now = self._clock()
        choice = book.queues.choose(account, claim, lambda n: book.judge(n, claim.worker, now))
        if choice.starving:
            raise _Starving(choice.starving)
        book.queues.take(choice)
        return [(n, self._hand_out(book, book.get(n), claim, now)) for _, n in choice.picks]

    def _hand_out(self, book: Book, entry: Entry, claim: Claim, now: float) -> Job:
        return book.put(entry, job_steps.taken(entry.job, claim.worker, claim.revision, now, claim.lease))

    async def _with_input(self, n: int, claimed: Claimed, known: Shelved, claim: Claim) -> Claimed | None:
        """None for a job whose input is lost: it has failed, and those that were claimed with it have not.

        Where no file can be opened now it waits until one can be, or until the job is its worker's no longer.
        """
        while True:
            try:
                return replace(claimed, input=await self._payloads.fetch(n, INPUT, known))
            except StateCorrupt as damage:
                (ended,) = await self.finish([Finish(claimed.id, claimed.worker, error=damage.message)])
                if ended:
                    self._ended(claim.endpoint, claimed.id)
                return None
            except StateError:
                await asyncio.sleep(min(_SHORTAGE_PAUSE, claim.lease / 3))
                if await self.extend(claimed.worker, [claimed.id], claim.lease):
                    return None

    def _finish(self, results: Sequence[Finish], book: Book) -> tuple[bool, ...]:
        now = self._clock()
        accepted: list[bool] = []
        for result in results:
            entry = book.held_by(result.worker, result.id)
            if entry is not None:
                book.put(entry, job_steps.finished(entry.job, result.output, result.error, now))
            accepted.append(entry is not None)
        return tuple(accepted)

    async def _known(self, identity: JobId) -> Entry | None:
        """The job in memory, read from disk if need be; None if there is none, or its retention is over."""
        await self._desk.ready()
        entry = self._desk.book.find(identity)
        while entry is None:
            found = await self._desk.load(partial(loading.by_ids, [identity]))
            if not any(adopted for _, adopted in found):
                return None
            entry = self._desk.book.find(identity)
        return None if job_steps.forgotten_at(entry.job) <= self._clock() else entry

    async def _step(self, identity: JobId, step: Callable[[Job, float], Job]) -> Job | None:
        """Make of a job what `step` says, None if there is no such job."""

        def change(book: Book) -> tuple[int, Job]:
            entry = book.find(identity)
            if entry is None:
                raise _Missing
            return entry.n, book.put(entry, step(entry.job, self._clock()))

        while await self._known(identity) is not None:
            with contextlib.suppress(_Missing):  # memory was filled anew in between: look again
                return await self._payloads.told(*await self._desk.run(change))
        return None

    def _leave(self, batch: Batch) -> None:
        self._sweeper.leave(batch)


def _nobody_waits(_endpoint: EndpointName, _job: JobId) -> None:
    """For a store that has told nobody yet."""


class _Starving(Exception):  # no error: the call is made again when the lanes are filled
    """Lanes must be filled before one can tell what a claim gets."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        super().__init__(len(lanes))
        self.lanes = lanes


class _Missing(Exception):  # no error: the call is made again
    """The job is not in memory any more."""
