"""Jobs in memory: heaps and dicts, gone with the process. Also what the SQLite store is compared with in tests."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from itertools import accumulate

from flashcore.builtin.local.clock import Clock
from flashcore.builtin.local.doorbell import Doorbell
from flashcore.hookspecs.jobs import READ_AT_ONCE, Claim, Finish, Return, after
from flashcore.model import job_steps
from flashcore.model.errors import Conflict, StateError
from flashcore.model.job import Claimed, Job, JobCounts, JobStatus, NewJob, Payload, StreamItem, Waiting
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

_Place = tuple[int, int, JobId]
"""Where a queued job stands: higher priority first, then older submission."""
_Lane = list[_Place]
"""A heap; the places of jobs that are not queued any more are dropped when they come up."""

_CHUNK = 300
"""About how many bytes a chunk takes beside its payload."""


class MemoryJobs:
    """A JobStore of heaps and dicts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[JobId, Job] = {}
        self._numbers: dict[JobId, int] = {}
        self._submitted = 0
        self._keys: dict[tuple[EndpointName, str], JobId] = {}
        self._lanes: defaultdict[tuple[EndpointName, RevisionId | None], dict[int, _Lane]] = defaultdict(dict)
        self._apart: defaultdict[EndpointName, dict[frozenset[RevisionId], dict[int, _Lane]]] = defaultdict(dict)
        """Jobs that do not fit some revisions, by these."""
        self._ages: defaultdict[EndpointName, _Lane] = defaultdict(list)
        self._pressing: defaultdict[EndpointName, _Lane] = defaultdict(list)
        self._low: Counter[EndpointName] = Counter()
        self._statuses: defaultdict[EndpointName, Counter[JobStatus]] = defaultdict(Counter)
        self._retried: Counter[EndpointName] = Counter()
        self._due: list[tuple[float, JobId]] = []
        self._chunks: dict[JobId, list[StreamItem]] = {}
        self._doorbell = Doorbell()
        self._closed = False

    async def submit(self, jobs: Sequence[NewJob]) -> tuple[Job, ...]:
        """See JobStore."""
        self._require_open()
        last = self._submitted
        try:
            accepted = tuple(self._accept(new) for new in jobs)
        except Conflict:
            for job in [job for job in self._jobs.values() if self._numbers[job.id] > last]:
                self._remove(job)
            raise
        self._doorbell.ring({job.new.endpoint for job in accepted if job.status is JobStatus.IN_QUEUE})
        return accepted

    async def claim(self, claim: Claim) -> tuple[Claimed, ...]:
        """See JobStore."""
        self._require_open()
        now = self.now()
        lanes = [lane for lane in self._claimable_lanes(claim) if lane]
        heads = [(lane[0], index) for index, lane in enumerate(lanes)]
        heapq.heapify(heads)
        claimed: list[Claimed] = []
        passed: list[tuple[_Lane, _Place]] = []
        while heads and len(claimed) < claim.count:
            _, index = heapq.heappop(heads)
            lane = lanes[index]
            place = heapq.heappop(lane)
            job = self._at(place)
            if job is not None and job_steps.takeable(job, claim.worker, now):
                claimed.append(self._hand_out(job, claim, now))
            elif job is not None:
                passed.append((lane, place))
            if lane:
                heapq.heappush(heads, (lane[0], index))
        for lane, place in passed:
            heapq.heappush(lane, place)
        return tuple(claimed)

    async def extend(self, worker: WorkerId, ids: Sequence[JobId], lease: float) -> tuple[JobId, ...]:
        """See JobStore."""
        self._require_open()
        now = self.now()
        lost: list[JobId] = []
        for identity in ids:
            held = self._held_by(worker, identity)
            if held is None:
                lost.append(identity)
            else:
                self._put(job_steps.extended(held, now, lease))
        return tuple(lost)

    async def progress(self, worker: WorkerId, job: JobId, value: Payload) -> bool:
        """See JobStore."""
        self._require_open()
        held = self._held_by(worker, job)
        if held is not None:
            self._put(job_steps.progressed(held, value))
        return held is not None

    async def append_stream(self, worker: WorkerId, job: JobId, chunk: Payload, number: int | None = None) -> bool:
        """See JobStore."""
        self._require_open()
        held = self._held_by(worker, job)
        if held is None:
            return False
        grown = job_steps.streamed(held, number)
        if self._put(grown) is not held:
            self._chunks.setdefault(job, []).append(StreamItem(grown.streamed - 1, chunk))
        return True

    async def read_stream(self, job: JobId, after: int | None = None) -> tuple[StreamItem, ...]:
        """See JobStore."""
        self._require_open()
        if self._known(job) is None:
            return ()
        left = [item for item in self._chunks.get(job, ()) if item.number >= (after or 0)]
        given = _read_at_once(left)
        self._chunks[job] = left[len(given) :] if after is None else left
        return given

    async def stream_size(self, job: JobId) -> int:
        """See WeighsStreams."""
        self._require_open()
        return sum(len(item.value.data) + _CHUNK for item in self._chunks.get(job, ()))

    async def finish(self, results: Sequence[Finish]) -> tuple[bool, ...]:
        """See JobStore."""
        self._require_open()
        now = self.now()
        accepted: list[bool] = []
        for result in results:
            held = self._held_by(result.worker, result.id)
            if held is not None:
                self._put(job_steps.finished(held, result.output, result.error, now))
            accepted.append(held is not None)
        return tuple(accepted)

    async def give_back(self, returns: Sequence[Return]) -> tuple[Job | None, ...]:
        """See JobStore."""
        self._require_open()
        now = self.now()
        given: list[Job | None] = []
        for end in returns:
            held = self._held_by(end.worker, end.id)
            given.append(held and self._put(after(held, end, now)))
        return tuple(given)

    async def cancel(self, job: JobId) -> Job | None:
        """See JobStore."""
        self._require_open()
        known = self._known(job)
        return known and self._put(job_steps.cancelled(known, self.now()))

    async def retry(self, job: JobId) -> Job | None:
        """See JobStore."""
        self._require_open()
        known = self._known(job)
        return known and self._put(job_steps.retried(known, self.now()))

    async def get(self, job: JobId) -> Job | None:
        """See JobStore."""
        self._require_open()
        return self._known(job)

    def recall(self, job: JobId) -> Job | None:
        """See Recalling."""
        return self._known(job)

    async def purge(self, endpoint: EndpointName) -> int:
        """See JobStore."""
        self._require_open()
        count = 0
        for place in self._ages.pop(endpoint, ()):
            job = self._at(place)  # a job that was queued twice stands here twice
            if job is not None:
                self._remove(job)
                count += 1
        return count

    async def forget(self, endpoint: EndpointName) -> int:
        """See JobStore."""
        self._require_open()
        mine = [job for job in self._jobs.values() if job.new.endpoint == endpoint]
        for job in mine:
            self._remove(job)
        for kept in (self._ages, self._pressing, self._low, self._statuses, self._retried, self._apart):
            kept.pop(endpoint, None)
        return sum(not job.status.final for job in mine)

    async def counts(self, endpoint: EndpointName) -> JobCounts:
        """See JobStore."""
        self._require_open()
        statuses = self._statuses[endpoint]
        return JobCounts(
            {status: statuses[status] for status in JobStatus},
            self._retried[endpoint],
            self._oldest(self._ages[endpoint]),
            self._low[endpoint],
            self._oldest(self._pressing[endpoint]),
            self._pinned_to(endpoint),
            self._waiting(endpoint),
        )

    async def sweep(self) -> tuple[Job, ...]:
        """See JobStore."""
        self._require_open()
        now = self.now()
        changed: list[Job] = []
        while self._due and self._due[0][0] <= now:
            _, identity = heapq.heappop(self._due)
            job = self._jobs.get(identity)
            if job is None or job_steps.due_at(job) > now:
                continue
            after = job_steps.overtaken(job, now)
            if after is None:
                self._remove(job)
            else:
                changed.append(self._put(after))
        return tuple(changed)

    async def held(self) -> tuple[Job, ...]:
        """See JobStore."""
        self._require_open()
        return tuple(job for job in self._jobs.values() if job.status is JobStatus.IN_PROGRESS)

    def on_enqueued(self, told: Callable[[frozenset[EndpointName]], None]) -> None:
        """See RingsAtOnce."""
        self._doorbell.tell(told)

    def enqueued(self) -> AsyncGenerator[frozenset[EndpointName], None]:
        """See JobStore."""
        return self._doorbell.listen(
            lambda: [name for name, count in self._statuses.items() if count[JobStatus.IN_QUEUE]]
        )

    def now(self) -> float:
        """See JobStore."""
        return self._clock()

    async def close(self) -> None:
        """See JobStore."""
        self._closed = True
        self._doorbell.close()

    def _oldest(self, ages: _Lane) -> float:
        return self.now() - self._jobs[ages[0][2]].submitted_at if self._clear(ages) else 0.0

    def _clear(self, lane: _Lane) -> bool:
        """Take what has left from a lane's head; returns whether anything waits in it."""
        while lane and self._at(lane[0]) is None:
            heapq.heappop(lane)
        return bool(lane)

    def _pinned_to(self, endpoint: EndpointName) -> frozenset[RevisionId]:
        pinned = ((pin, lanes) for (name, pin), lanes in self._lanes.items() if name == endpoint and pin is not None)
        return frozenset(pin for pin, lanes in pinned if any(map(self._clear, lanes.values())))

    def _waiting(self, endpoint: EndpointName) -> dict[RevisionId | None, Waiting]:
        count = self._statuses[endpoint][JobStatus.IN_QUEUE] - self._low[endpoint]
        if not count:
            return {}
        if not self._pinned_to(endpoint):
            return {None: Waiting(count, self._oldest(self._pressing[endpoint]))}
        now = self.now()
        jobs = {job.id: job for job in map(self._at, self._pressing[endpoint]) if job is not None}  # some stand twice
        found: dict[RevisionId | None, list[float]] = {}
        for job in jobs.values():
            found.setdefault(job.new.pin, []).append(now - job.submitted_at)
        return {pin: Waiting(len(ages), max(ages)) for pin, ages in found.items()}

    def _accept(self, new: NewJob) -> Job:
        known = self._known_by_key(new) or self._known(new.id)
        if known is not None:
            job_steps.require_same_endpoint(known.new, new)
            return known
        job = job_steps.submitted(new, self.now())
        self._submitted += 1
        self._numbers[job.id] = self._submitted
        if new.idempotency_key is not None:
            self._keys[new.endpoint, new.idempotency_key] = job.id
        return self._put(job)

    def _known_by_key(self, new: NewJob) -> Job | None:
        if new.idempotency_key is None:
            return None
        identity = self._keys.get((new.endpoint, new.idempotency_key))
        return None if identity is None else self._known(identity)

    def _known(self, identity: JobId) -> Job | None:
        """The job unless its retention is over; a sweep that is late changes nothing that can be seen."""
        job = self._jobs.get(identity)
        if job is not None and job_steps.forgotten_at(job) <= self.now():
            self._remove(job)
            return None
        return job

    def _held_by(self, worker: WorkerId, identity: JobId) -> Job | None:
        job = self._jobs.get(identity)
        return job if job is not None and job_steps.holds(job, worker) else None

    def _claimable_lanes(self, claim: Claim) -> Iterator[_Lane]:
        yield from self._lanes.get((claim.endpoint, claim.revision), {}).values()
        if not claim.pinned_only:
            common = self._lanes.get((claim.endpoint, None), {})
            yield from [lane for number, lane in common.items() if lane and number in claim.lanes]
        for closed_to, apart in self._apart.get(claim.endpoint, {}).items():
            if claim.opens(closed_to):
                yield from apart.values()

    def _at(self, place: _Place) -> Job | None:
        """The job that is queued at that place, None when it has left."""
        job = self._jobs.get(place[2])
        still = job is not None and job.status is JobStatus.IN_QUEUE and self._numbers[job.id] == place[1]
        return job if still else None

    def _hand_out(self, job: Job, claim: Claim, now: float) -> Claimed:
        self._chunks.pop(job.id, None)
        return job_steps.as_claimed(self._put(job_steps.taken(job, claim.worker, claim.revision, now, claim.lease)))

    def _put(self, job: Job) -> Job:
        before = self._jobs.get(job.id)
        if before is job:
            return job
        self._jobs[job.id] = job
        self._count(job, 1)
        if before is not None:
            self._count(before, -1)
        if job.status is JobStatus.IN_QUEUE:
            self._enqueue(job, before)
        heapq.heappush(self._due, (job_steps.due_at(job), job.id))
        return job

    def _enqueue(self, job: Job, before: Job | None) -> None:
        new = job.new
        place = (-new.priority, self._numbers[job.id], job.id)
        heapq.heappush(self._lanes_for(job).setdefault(new.lane, []), place)
        heapq.heappush(self._ages[new.endpoint], (0, place[1], job.id))
        if new.priority >= 0:
            heapq.heappush(self._pressing[new.endpoint], (0, place[1], job.id))
        if before is not None:
            self._retried[new.endpoint] += job_steps.is_retry(before, job)
            self._chunks.pop(job.id, None)
            self._doorbell.ring({new.endpoint})

    def _lanes_for(self, job: Job) -> dict[int, _Lane]:
        if job.unfit:
            return self._apart[job.new.endpoint].setdefault(job_steps.closed_to(job), {})
        return self._lanes[job.new.endpoint, job.new.pin]

    def _remove(self, job: Job) -> None:
        del self._jobs[job.id], self._numbers[job.id]
        self._chunks.pop(job.id, None)
        self._count(job, -1)
        key = (job.new.endpoint, job.new.idempotency_key or "")
        if self._keys.get(key) == job.id:
            del self._keys[key]

    def _count(self, job: Job, change: int) -> None:
        self._statuses[job.new.endpoint][job.status] += change
        if job.new.priority < 0 and job.status is JobStatus.IN_QUEUE:
            self._low[job.new.endpoint] += change

    def _require_open(self) -> None:
        if self._closed:
            raise StateError("the job store is closed", next_step="open it again")


def _read_at_once(items: Sequence[StreamItem]) -> tuple[StreamItem, ...]:
    """The first ones, as far as they are read at once."""
    sizes = accumulate(len(item.value.data) for item in items)
    return tuple(items[: 1 + sum(size < READ_AT_ONCE for size in sizes)])
