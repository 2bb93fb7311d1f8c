"""The job store: what a gateway asks of the place where jobs are kept. Registered by URL scheme, see `state`.

How unlike stores satisfy it:

* SQLite: one process, one writer thread with group commit (calls that arrive while a commit is under way share the
  next one). Queued jobs are indexed by (endpoint, lane, priority, submission); the claim merges lane heads, so it
  costs the same however many jobs wait. Payloads above `BLOB_THRESHOLD` are files beside it, named by sha256.
* Postgres: the same table; `claim` is one statement with FOR UPDATE SKIP LOCKED over the lane heads; `enqueued` is
  NOTIFY.
* Redis: a sorted set per (endpoint, lane) scored by priority and submission, a hash per job, one Lua script per
  method; AOF on. `enqueued` is a pub/sub channel with a poll behind it, since a message may be lost.
* Memory: heaps and dicts.

Every method that answers normally has stored what it says: `submit` has the job on disk.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol, runtime_checkable

from flashcore.model import job_steps
from flashcore.model.job import Claimed, Job, JobCounts, NewJob, Payload, StreamItem
from flashcore.model.light import light
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

BLOB_THRESHOLD = 1 << 20
"""Payloads of more bytes are kept beside the store, addressed by content."""

READ_AT_ONCE = 4 << 20
"""Bytes of a stream that a reader is given at once, or its next chunk alone where that is larger."""

ALL_LANES = range(100)


@light
class Claim:
    """Who asks for work, and for which.

    `lanes` is what this worker's revision may take now; `revision` also takes the jobs pinned to it.
    """

    endpoint: EndpointName
    worker: WorkerId
    revision: RevisionId
    count: int
    lease: float
    """Seconds until the lease runs out unless it is extended."""
    lanes: range = ALL_LANES
    pinned_only: bool = False
    """An unpromoted preview: only jobs addressed to its revision."""
    serving: frozenset[RevisionId] | None = None
    """The revisions that jobs are shared among now; None: nobody knows. See `opens`."""

    def opens(self, closed_to: frozenset[RevisionId]) -> bool:
        """Whether it also takes jobs that do not fit these revisions, of any lane.

        Another revision that serves does. Once all that serve are among them any of these does, to say that nobody can.
        """
        if self.serving is None:
            return self.revision not in closed_to
        return self.revision in self.serving and (self.revision not in closed_to or self.serving <= closed_to)


@light
class Finish:
    """The end of one attempt. `error` set means that the function failed; `output` may be there in both cases."""

    id: JobId
    worker: WorkerId
    output: Payload | None = None
    error: str | None = None


@light
class Return:
    """An attempt that ended without a result. `charged` when the worker is to blame (crash, lost heartbeat)."""

    id: JobId
    worker: WorkerId
    reason: str
    charged: bool
    unfit: str | None = None
    """The worker's revision cannot be called with it: what it can be called with. Never charged; `reason` is kept."""


@runtime_checkable
class TellsTrouble(Protocol):
    """What a job store may have beside the rest, if it can be in a state in which it answers and takes nothing new."""

    @property
    def trouble(self) -> str:
        """Why nothing new can be stored at present; empty when it can. Asked often: it answers at once."""
        ...


@runtime_checkable
class JobStore(Protocol):
    """Durable jobs of all endpoints of one environment.

    All times are by `now()`. Methods raise `errors.StateError` when the store is away and `errors.StorageFull`
    when it cannot grow; then nothing of that call was acknowledged and the caller may repeat it.
    """

    async def submit(self, jobs: Sequence[NewJob]) -> tuple[Job, ...]:
        """Store jobs; a known (endpoint, idempotency_key) gives the job that has it, whatever its state.

        Else an id that is known gives its job. Raises `errors.Conflict`, and stores nothing, where that is one of
        another endpoint.
        """
        ...

    async def claim(self, claim: Claim) -> tuple[Claimed, ...]:
        """Hand out at most `claim.count` jobs, highest priority first, then oldest submission over all its lanes.

        Never a job that this worker id had before, nor one whose ttl is over. Jobs that some revisions are known not to
        fit stand apart from the others, so that passing them costs nothing: `claim.opens` says who takes them. Marks
        what it hands out IN_PROGRESS under a lease.

        Fewer than `claim.count` say that there is no more for this worker: it asks again when `enqueued` has rung, or
        when what it may take has changed.
        """
        ...

    async def extend(self, worker: WorkerId, ids: Sequence[JobId], lease: float) -> tuple[JobId, ...]:
        """Renew leases; returns those of `ids` that this worker no longer holds (cancelled, expired, given away)."""
        ...

    async def progress(self, worker: WorkerId, job: JobId, value: Payload) -> bool:
        """Record progress of the current attempt; False (and ignored) when the attempt is stale."""
        ...

    async def append_stream(self, worker: WorkerId, job: JobId, chunk: Payload, number: int | None = None) -> bool:
        """Add a chunk to the job's stream in order; False (and ignored) when the attempt is stale.

        `number` counts the attempt's chunks from 0, None means the next one. A number that was added before is not
        added again, whether or not somebody has read it: who does not know if a chunk was stored may repeat it.
        """
        ...

    async def read_stream(self, job: JobId, after: int | None = None) -> tuple[StreamItem, ...]:
        """Take the chunks that nobody has read yet; each chunk is given once.

        Of many it gives the first ones, READ_AT_ONCE bytes of them or a little more: a stream may be longer than the
        memory of who passes it on. Only an empty answer says that there is nothing to be read at present.

        With `after`, the number of chunks that the reader has: those that follow are given and stay, so that a reader
        whose answer was lost may ask again; those before need not be kept any longer. Chunks of an attempt that did not
        end well are nobody's.
        """
        ...

    async def finish(self, results: Sequence[Finish]) -> tuple[bool, ...]:
        """Record results; False (and ignored) for each stale attempt."""
        ...

    async def give_back(self, returns: Sequence[Return]) -> tuple[Job | None, ...]:
        """End attempts without a result; None for each stale attempt.

        A job goes back to the queue in its old place, or is FAILED when `charged` used up its max_attempts. One that is
        `unfit` goes where its worker's revision does not find it, or is FAILED for that reason when it is pinned.
        """
        ...

    async def cancel(self, job: JobId) -> Job | None:
        """Cancel a job that has no final state; returns it as it is now, None if unknown."""
        ...

    async def retry(self, job: JobId) -> Job | None:
        """Queue a FAILED or TIMED_OUT job again, output and charge cleared; raises IllegalMove otherwise."""
        ...

    async def get(self, job: JobId) -> Job | None:
        """The job as it is, None if unknown or past its retention."""
        ...

    async def purge(self, endpoint: EndpointName) -> int:
        """Remove all jobs queued now; returns how many. Jobs submitted later are untouched."""
        ...

    async def forget(self, endpoint: EndpointName) -> int:
        """Remove every trace of an undeployed endpoint's jobs; returns how many were not finished."""
        ...

    async def counts(self, endpoint: EndpointName) -> JobCounts:
        """How many jobs in which state; cheap, does not scan the queue."""
        ...

    async def sweep(self) -> tuple[Job, ...]:
        """Apply what time did: leases that ran out (charged), ttl and execution timeouts, retention.

        Returns the jobs whose status changed. Whoever owns the store calls it every second or so.
        """
        ...

    async def held(self) -> tuple[Job, ...]:
        """All jobs IN_PROGRESS, for a gateway that has just started and waits for its workers to come back."""
        ...

    def enqueued(self) -> AsyncGenerator[frozenset[EndpointName], None]:
        """Wake-ups: endpoints that got a claimable job. May be spurious or merged, never missing for long."""
        ...

    def now(self) -> float:
        """Seconds since 1970 by the store's clock; never goes back."""
        ...

    async def close(self) -> None:
        """Finish what was accepted and let go of files. Idempotent."""
        ...


def after(job: Job, end: Return, now: float) -> Job:
    """What becomes of a job whose attempt ended so."""
    if end.unfit is not None:
        return job_steps.unfitting(job, end.unfit, end.reason, now)
    return job_steps.given_back(job, end.reason, now, charged=end.charged)


@runtime_checkable
class Recalling(Protocol):
    """What a job store may have besides: jobs at hand, which it need not ask a disk or a server for."""

    def recall(self, job: JobId) -> Job | None:
        """The job as `get` would give it; None where that cannot be said at once."""
        ...


@runtime_checkable
class StreamsTogether(Protocol):
    """What a job store may have besides: many chunks of a stream in one call, where each call waits for a disk."""

    async def append_chunks(self, worker: WorkerId, job: JobId, chunks: Sequence[StreamItem]) -> bool:
        """As `append_stream` for each of them in turn, with its number; all of them or none."""
        ...


@runtime_checkable
class WeighsStreams(Protocol):
    """What a job store may have besides: how much it keeps of a stream. Without it only the store bounds a stream.

    The gateway asks now and then while a job streams much, and fails one of which more is kept than `stream_limit`.
    SQLite notes beside each chunk how much there was up to it, Postgres would do the same; Redis has a list's number of
    bytes in the job's hash, changed by the script that adds or takes; memory adds up.
    """

    async def stream_size(self, job: JobId) -> int:
        """About how many bytes of the job's stream are kept now: chunks that were taken, or passed by, are not.

        Answers as soon for a long stream as for a short one; after a restart too. 0 for an unknown job.
        """
        ...


@runtime_checkable
class RingsAtOnce(Protocol):
    """What a job store in this process may have besides: wake-ups that take no turn of the loop."""

    def on_enqueued(self, told: Callable[[frozenset[EndpointName]], None]) -> None:
        """Tell `told` from now on, in place of `enqueued`, as soon as a claim that begins now finds the job."""
        ...


@runtime_checkable
class EndsJobs(Protocol):
    """What a job store has besides that may end jobs while it does something else, as one whose input is lost."""

    def on_ended(self, told: Callable[[EndpointName, JobId], None]) -> None:
        """Tell `told` from now on of each job that got its final state so, once that is stored."""
        ...


def lane_share(percent: int) -> range:
    """The lanes that `percent` gives to the target: those below it, so that raising it moves no job back."""
    if not 0 <= percent <= 100:
        raise ValueError(f"a share is 0 to 100 percent, not {percent}")
    return range(percent)


def remaining_lanes(percent: int) -> range:
    """The lanes that stay with the stable side when the target has `percent`."""
    return range(lane_share(percent).stop, 100)
