"""A job: one call of a queue-based endpoint, from submission to its one final state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from flashcore.model.errors import IllegalMove
from flashcore.model.light import light
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

LANES = 100
"""A job's lane is a number below this: `Percent(n)` gives the target the lanes below n."""


class JobStatus(Enum):
    """RunPod's names for where a job is."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    __hash__ = object.__hash__  # that of Enum is written in Python, and each move of each job looks a status up

    @property
    def final(self) -> bool:
        """Whether the job has its one final state."""
        return self is not JobStatus.IN_QUEUE and self is not JobStatus.IN_PROGRESS


JOB_MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.IN_QUEUE: frozenset({JobStatus.IN_PROGRESS, JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.TIMED_OUT}),
    JobStatus.IN_PROGRESS: frozenset(
        {JobStatus.IN_QUEUE, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.TIMED_OUT}
    ),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.IN_QUEUE}),
    JobStatus.CANCELLED: frozenset(),
    JobStatus.TIMED_OUT: frozenset({JobStatus.IN_QUEUE}),
}
"""Legal moves. IN_PROGRESS -> IN_QUEUE is a lost or drained worker, FAILED | TIMED_OUT -> IN_QUEUE a retry asked for.
IN_QUEUE -> FAILED is a job that no revision can take, or whose redeliveries are used up; -> TIMED_OUT is its ttl."""


def check_job_move(job: JobId, before: JobStatus, after: JobStatus) -> None:
    """Raise IllegalMove unless a job may go from `before` to `after`."""
    if after not in JOB_MOVES[before]:
        raise IllegalMove(f"job {job} is {before.value} and cannot become {after.value}", job=job)


@light
class Payload:
    """Bytes and what they are. JSON unless `media` says otherwise; the platform never looks inside.

    Large ones may be a view of a file, so that they need not be in memory.
    """

    data: bytes | memoryview
    media: str = "application/json"


@light
class NewJob:
    """What a caller submits. Times are seconds; `ttl` counts from submission and covers queueing and running."""

    id: JobId
    endpoint: EndpointName
    input: Payload
    lane: int
    ttl: float = 86_400.0
    execution_timeout: float = 600.0
    retention: float = 1_800.0
    """Seconds that the finished job can be asked for."""
    priority: int = 0
    """Higher is taken first."""
    idempotency_key: str | None = None
    pin: RevisionId | None = None
    """Only workers of this revision may take it (a job addressed to a preview)."""
    webhook: str | None = None
    max_attempts: int = 2
    """Attempts that may be charged before the job fails for good: the first and one redelivery, as the cloud does."""
    context: Mapping[str, str] = field(default_factory=dict)
    """Carried to the worker untouched: traceparent, request id."""

    def __post_init__(self) -> None:
        """Refuse a lane, a time or a number of attempts that cannot be."""
        if not 0 <= self.lane < LANES:
            raise ValueError(f"job {self.id}: a lane is 0 to {LANES - 1}, not {self.lane}")
        if self.max_attempts < 1:
            raise ValueError(f"job {self.id}: max_attempts is at least 1, not {self.max_attempts}")
        if 0 <= self.ttl < math.inf and 0 <= self.execution_timeout < math.inf and 0 <= self.retention < math.inf:
            return
        for name in ("ttl", "execution_timeout", "retention"):
            seconds = getattr(self, name)
            if not 0 <= seconds < math.inf:
                raise ValueError(f"job {self.id}: {name} is a number of seconds from 0, not {seconds}")


@light
class Unfit:
    """A revision whose function cannot be called as a job asks for it."""

    revision: RevisionId
    takes: str
    """What it can be called with, as in `greet(name, loud)`."""
    reason: str = ""
    """What its worker said of the call, as the `error` of a job; empty where nothing is known."""


@light
class Job:
    """A stored job. `version` grows with each change."""

    new: NewJob
    status: JobStatus
    submitted_at: float
    attempt: int = 0
    """Attempts begun."""
    charged: int = 0
    """Attempts that count against max_attempts: the worker was to blame."""
    worker: WorkerId | None = None
    revision: RevisionId | None = None
    leased_until: float | None = None
    started_at: float | None = None
    """When the last attempt was handed out."""
    finished_at: float | None = None
    output: Payload | None = None
    error: str | None = None
    progress: Payload | None = None
    refused_workers: frozenset[str] = frozenset()
    """Worker ids that had it and must not have it again."""
    version: int = 1
    unfit: tuple[Unfit, ...] = ()
    """Revisions that it was handed to and does not fit; they are not given it again while another may take it."""
    streamed: int = 0
    """Chunks that the present attempt has put into its stream."""

    @property
    def id(self) -> JobId:
        """The id that the caller holds."""
        return self.new.id

    @property
    def retries(self) -> int:
        """How often it was queued again because a worker was lost. A drain or a restart of ours is no retry."""
        # The charge that used up the last attempt ended the job; nothing was tried again for it.
        return self.charged - (self.charged >= self.new.max_attempts)


@light
class Claimed:
    """A job as a worker gets it. The pair (id, worker) is the attempt's token: a result without it is stale."""

    id: JobId
    worker: WorkerId
    attempt: int
    input: Payload
    execution_deadline: float
    """By the store's clock."""
    context: Mapping[str, str] = field(default_factory=dict)
    queued_for: float = 0.0
    unfit: tuple[Unfit, ...] = ()
    """Revisions that it does not fit. Where its worker's is among them, no other can take it."""


@light
class StreamItem:
    """One chunk of a job's stream. The chunks of an attempt are numbered from 0."""

    number: int
    value: Payload


@dataclass(frozen=True, slots=True)
class Waiting:
    """Some of the queued jobs."""

    jobs: int
    oldest: float
    """How long the oldest of them has waited (seconds)."""


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How many jobs an endpoint has, by status, and how long the oldest queued one has waited (seconds)."""

    by_status: Mapping[JobStatus, int]
    retried: int
    """How often jobs were queued again, because a worker was lost or somebody asked: since the endpoint's beginning."""
    oldest_queued: float
    low_priority: int = 0
    """Queued ones of a priority below 0: workers take them, and none is started for them."""
    oldest_pressing: float = 0.0
    """How long the oldest of the other queued ones has waited (seconds)."""
    pinned_to: frozenset[RevisionId] = frozenset()
    """The revisions that queued ones are pinned to."""
    pressing: Mapping[RevisionId | None, Waiting] = field(default_factory=dict)
    """The queued ones of a priority from 0, by the revision that they are pinned to; None: by none.

    Of a long queue those that are pinned may be counted among those that are not, but for its oldest jobs. A store that
    does not tell them apart has nothing here.
    """
