"""Everything that the job store has in memory: endpoints, jobs that matter now, the heads of the queues, deadlines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flashcore.builtin.sqlite.jobs.batch import Batch, Move, StreamDropped
from flashcore.builtin.sqlite.jobs.deadlines import Deadlines
from flashcore.builtin.sqlite.jobs.entry import Account, Entry, Loaded
from flashcore.builtin.sqlite.jobs.known import Known
from flashcore.builtin.sqlite.jobs.lanes import Lane, Use
from flashcore.builtin.sqlite.jobs.queues import Queues
from flashcore.builtin.sqlite.jobs.resting import Resting
from flashcore.builtin.sqlite.jobs.stands import Stand, pin_of
from flashcore.model import job_steps
from flashcore.model.job import Job, JobStatus, NewJob
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId


@dataclass(frozen=True, slots=True)
class Standing:
    """What memory is filled with when the store is opened."""

    accounts: tuple[Account, ...]
    queues: tuple[tuple[int, Stand, int], ...]
    """Endpoint number, stand and priority of each queue with jobs."""
    running: tuple[Loaded, ...]
    last_number: int
    last_account: int
    forgotten: tuple[int, ...]
    """Endpoints that are gone but for rows that nobody can see."""
    ids: tuple[str, ...] = ()
    """The greatest ids in the tables, as `Known` needs them."""
    keys: tuple[tuple[int, str], ...] = ()
    """The greatest keys in the tables, each with the number of its endpoint."""


class Book:
    """Jobs in memory. Every change is noted in `batch`, which the desk writes and replaces."""

    def __init__(self, standing: Standing, batch: Batch) -> None:
        self.batch = batch
        self.queues = Queues()
        self.accounts = {account.name: account for account in standing.accounts}
        self._numbered_accounts = {account.e: account for account in standing.accounts}
        self._last_account = standing.last_account
        self.last_number = standing.last_number
        self._by_number: dict[int, Entry] = {}
        self._by_id: dict[JobId, Entry] = {}
        self._by_key: dict[tuple[int, str], Entry] = {}
        self._leaving: dict[int, int] = {}
        """Jobs that are removed here but still in the tables, with the batch that removes them there."""
        self.promised = 0
        """The number of the last batch that a power failure does not undo."""
        self._ids_apart = Known(standing.ids)
        """Ids that the tables may have and memory does not."""
        self._keys_apart: defaultdict[int, Known] = defaultdict(Known)
        """The same of keys, by endpoint."""
        for e, key in standing.keys:
            self._keys_apart[e].note(key)
        self._deadlines = Deadlines(self._by_number)
        self._resting = Resting()
        for e, stand, priority in standing.queues:
            self.queues.queue(self._numbered_accounts[e], stand, priority).deep = True
        for loaded in standing.running:
            self.adopt(loaded)

    # Finding

    def find(self, identity: JobId) -> Entry | None:
        """A job that is in memory."""
        return self._by_id.get(identity)

    def at(self, n: int) -> Entry | None:
        """The job of that number, if it is in memory."""
        return self._by_number.get(n)

    def get(self, n: int) -> Entry:
        """The job of that number, which is in memory."""
        return self._by_number[n]

    def find_key(self, endpoint: EndpointName, key: str) -> Entry | None:
        """A job by its idempotency key, if it is in memory."""
        account = self.accounts.get(endpoint)
        return None if account is None else self._by_key.get((account.e, key))

    def must_look(self, e: int, identity: str, key: str | None) -> bool:
        """Whether the tables may have a job of that id, or of that key, that is not in memory."""
        return self._ids_apart.may_have(identity) or (key is not None and self._keys_apart[e].may_have(key))

    def held_by(self, worker: WorkerId, identity: JobId) -> Entry | None:
        """The job if that worker has its current attempt. Running jobs are always in memory."""
        entry = self._by_id.get(identity)
        return entry if entry is not None and job_steps.holds(entry.job, worker) else None

    def running(self) -> list[Entry]:
        """All jobs that workers have."""
        return [entry for entry in self._by_number.values() if entry.job.status is JobStatus.IN_PROGRESS]

    def judge(self, n: int, worker: WorkerId, now: float) -> Use:
        """What to do with the job of that number, for a claim by that worker."""
        entry = self._by_number.get(n)
        if entry is None or entry.job.status is not JobStatus.IN_QUEUE:
            return Use.DROP
        if job_steps.takeable(entry.job, worker, now):
            return Use.TAKE
        if now < job_steps.expires_at(entry.job):
            return Use.LEAVE
        entry.at_hand = False  # the sweep finds it by its deadline
        self._rest(entry)
        return Use.DROP

    # Changing

    def account(self, endpoint: EndpointName) -> Account:
        """An endpoint's account, opened when it is first used."""
        account = self.accounts.get(endpoint)
        if account is None:
            self._last_account += 1
            account = Account(self._last_account, endpoint)
            self.accounts[endpoint] = self._numbered_accounts[account.e] = account
            self.batch.touch(account)
        return account

    def submit(self, new: NewJob, now: float) -> Entry:
        """Add a new job at the end of its queue."""
        job = job_steps.submitted(new, now)
        account = self.account(new.endpoint)
        self.last_number += 1
        entry = Entry(self.last_number, account, job, account.round)
        self._register(entry)
        account.count(None, job.status, new.priority)
        self.queues.append(entry, self.batch.number)
        self.batch.stage(entry, None, job)
        self.batch.enqueued.add(new.endpoint)
        return entry

    def put(self, entry: Entry, job: Job) -> Job:
        """Replace a job by what became of it."""
        before = entry.job
        if job is before:
            return job
        entry.job = job
        if job.status is not before.status:
            self._moved(entry, before)
        self.batch.stage(entry, before, job)
        return job

    def remove(self, entry: Entry) -> None:
        """Remove a job, on disk too."""
        entry.account.count(entry.job.status, None, entry.job.new.priority)
        self._leave(entry)

    def bury(self, loaded: Loaded) -> None:
        """Remove the rows of a job that a purge or its endpoint's end has taken out already."""
        self.batch.moves.setdefault(loaded.n, Move(loaded.n, loaded.e, loaded.job, None, loaded.round))

    def purge(self, account: Account) -> int:
        """Take all queued jobs of an endpoint out; returns how many. Rows on disk alone are left to the sweep."""
        count = account.queued
        for entry in self._entries_of(account):
            if entry.job.status is JobStatus.IN_QUEUE:
                self._leave(entry)
        account.counts[0] = account.low = 0
        account.round += 1
        self.queues.drop(account)
        self.batch.touch(account)
        self.batch.purged.append(account.e)
        return count

    def forget(self, account: Account) -> int:
        """Take an endpoint out with all its jobs; returns how many were not finished. Rows are left to the sweep."""
        for entry in self._entries_of(account):
            self._leave(entry)
        self.queues.drop(account)
        self.batch.touch(account)
        self.batch.forgotten.append(account.e)
        del self.accounts[account.name], self._numbered_accounts[account.e]
        self._keys_apart.pop(account.e, None)
        return account.queued + account.counts[1]

    # Coming and going

    def alive(self, loaded: Loaded) -> Account | None:
        """The account of a job that was read; None if the job was taken out meanwhile, by whatever."""
        account = self._numbered_accounts.get(loaded.e)
        if account is None or loaded.n in self._leaving:
            return None
        purged = loaded.job.status is JobStatus.IN_QUEUE and loaded.round != account.round
        return None if purged else account

    def adopt(self, loaded: Loaded, pending: int = 0) -> Entry | None:
        """The entry of a job that was just read from disk; what is in memory already is newer. None if not `alive`.

        `pending` is the batch of its last change, if the tables do not have that yet.
        """
        entry = self._by_number.get(loaded.n)
        if entry is None and (account := self.alive(loaded)) is not None:
            entry = Entry(loaded.n, account, loaded.job, loaded.round, pending=pending)
            self._register(entry)
            if entry.job.status is JobStatus.IN_PROGRESS:
                self._deadlines.watch(entry)
            self._rest(entry)
        return entry

    def fill(self, lane: Lane, found: Iterable[Loaded], *, flushed: int, wanted: int) -> None:
        """Bring what was read beyond a lane's tail to hand."""
        if not self.queues.owns(lane):
            return
        numbers: list[int] = []
        for loaded in found:
            numbers.append(loaded.n)
            entry = self.adopt(loaded)
            if entry is not None and entry.job.status is JobStatus.IN_QUEUE:
                entry.at_hand = True
                self._resting.discard(entry.n)
        lane.fill(numbers, flushed=flushed, wanted=wanted)

    def adopt_unapplied(self, found: Iterable[Loaded], batches: Mapping[int, int]) -> None:
        """Keep in memory what is promised and not in the tables yet: jobs and the batches of their last changes."""
        for loaded in found:
            self.adopt(loaded, batches[loaded.n])  # those that run are in memory already, and stay

    def is_promised(self, entry: Entry) -> bool:
        """Whether nothing can undo what the job is now."""
        return entry.pending <= self.promised

    def settle(self, numbers: Iterable[int], last: int) -> None:
        """Batches up to `last` changed these jobs and are in the tables: let go of what memory does not need now."""
        leaving, find, rest = self._leaving, self._by_number.get, self._resting.add
        for n in numbers:
            if leaving and leaving.get(n, last + 1) <= last:
                del leaving[n]
            entry = find(n)
            if entry is None or not 0 < entry.pending <= last:
                continue
            entry.pending = 0
            size = entry.slim()
            status = entry.job.status
            if status is JobStatus.IN_QUEUE:
                if not entry.at_hand:
                    self._unregister(entry)  # it waits far back in a long queue; nobody will ask for it soon
            elif status is not JobStatus.IN_PROGRESS:
                rest(n, size)
        self._drop_overdue()

    def _rest(self, entry: Entry) -> None:
        if not entry.needed:
            self._resting.add(entry.n, entry.size)
            self._drop_overdue()

    def _drop_overdue(self) -> None:
        for n in self._resting.overdue():
            self._unregister(self._by_number[n])

    def oldest(self, account: Account, least: int | None = None) -> Job | None:
        """The oldest queued job of an endpoint, of that priority at least; its lanes must have been filled."""
        lanes = self.queues.lanes(account)
        heads = [self._head(lane) for lane in lanes if least is None or lane.queue.priority >= least]
        numbers = [n for n in heads if n is not None]
        return self._by_number[min(numbers)].job if numbers else None

    def pinned_to(self, account: Account) -> frozenset[RevisionId]:
        """The revisions that queued jobs of an endpoint are pinned to; its lanes must have been filled."""
        pinned = ((pin, lane) for lane in self.queues.lanes(account) if (pin := pin_of(lane.queue.stand)) is not None)
        return frozenset(pin for pin, lane in pinned if self._head(lane) is not None)

    def pressing(self, account: Account) -> dict[RevisionId | None, tuple[int, Job]]:
        """How many queued jobs of an endpoint have a priority from 0, and the oldest, by what they are pinned to.

        Its lanes must have been filled. Of those that are pinned the ones at hand are counted.
        """
        heads: dict[RevisionId | None, int] = {}
        pinned: dict[RevisionId, int] = {}
        for lane in self.queues.lanes(account):
            head = self._head(lane) if lane.queue.priority >= 0 else None
            if head is None:
                continue
            pin = pin_of(lane.queue.stand)
            heads[pin] = min(head, heads.get(pin, head))
            if pin is not None:
                pinned[pin] = pinned.get(pin, 0) + sum(map(self._is_queued, lane.waiting))
        others = account.queued - account.low - sum(pinned.values())
        return {
            pin: (max(others, 1) if pin is None else pinned[pin], self._by_number[head].job)
            for pin, head in heads.items()
        }

    def _is_queued(self, n: int) -> bool:
        entry = self._by_number.get(n)
        return entry is not None and entry.job.status is JobStatus.IN_QUEUE

    def starving(self, account: Account) -> list[Lane]:
        """Lanes of an endpoint that must be filled before one can tell which job is the oldest."""
        return [lane for lane in self.queues.lanes(account) if self._head(lane) is None and lane.more]

    def overdue(self, now: float) -> list[Entry]:
        """Running jobs to which time has done something."""
        return self._deadlines.overdue(now)

    def _head(self, lane: Lane) -> int | None:
        while lane.ready(0):
            entry = self._by_number.get(lane.waiting[0])
            if entry is not None and entry.job.status is JobStatus.IN_QUEUE:
                return entry.n
            lane.drop(0)
        return None

    def _moved(self, entry: Entry, before: Job) -> None:
        account, job = entry.account, entry.job
        account.count(before.status, job.status, job.new.priority)
        self._resting.discard(entry.n)
        if job.status is JobStatus.IN_PROGRESS:
            entry.at_hand = False
            self._deadlines.watch(entry)
        elif job.status is JobStatus.IN_QUEUE:
            entry.round = account.round
            account.retried += job_steps.is_retry(before, job)
            self.queues.insert(entry)
            self.batch.streams.append(StreamDropped(entry.n))
            self.batch.enqueued.add(account.name)

    def _leave(self, entry: Entry) -> None:
        self.batch.stage(entry, entry.job, None)
        self._leaving[entry.n] = self.batch.number
        self._unregister(entry)

    def _entries_of(self, account: Account) -> list[Entry]:
        return [entry for entry in self._by_number.values() if entry.account is account]

    def _register(self, entry: Entry) -> None:
        self._by_number[entry.n] = self._by_id[entry.job.id] = entry
        if (key := entry.job.new.idempotency_key) is not None:
            self._by_key[entry.account.e, key] = entry

    def _unregister(self, entry: Entry) -> None:
        identity, key = entry.job.id, entry.job.new.idempotency_key
        del self._by_number[entry.n]
        self._resting.discard(entry.n)
        self._ids_apart.note(identity)
        if self._by_id.get(identity) is entry:
            del self._by_id[identity]
        if key is not None:
            e = entry.account.e
            self._keys_apart[e].note(key)
            if self._by_key.get((e, key)) is entry:
                del self._by_key[e, key]
