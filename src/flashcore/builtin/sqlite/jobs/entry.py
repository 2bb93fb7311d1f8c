"""A job in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from flashcore.model.job import Job, JobStatus, Payload
from flashcore.model.light import light
from flashcore.model.names import EndpointName

STATUSES = tuple(JobStatus)
"""A status is stored as its place in this tuple, which therefore only ever grows at its end."""

PLACES = {status: place for place, status in enumerate(STATUSES)}

KEPT_INLINE = 16 << 10
"""Payloads of at most so many bytes stay in memory with their job."""

_FRAME = 1500
"""About how many bytes a job takes without its payloads."""


@light
class Shelved(Payload):
    """A payload whose bytes are on disk alone: in the file named `digest`, or in the job's row."""

    data: bytes = b""
    digest: str | None = None


@dataclass(slots=True, eq=False)
class Account:
    """An endpoint: the number it has in the tables, the round of its queue, and how many jobs are in which state."""

    e: int
    name: EndpointName
    round: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * len(STATUSES))
    retried: int = 0
    low: int = 0
    """How many of the queued ones have a priority below 0."""

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return self.counts[0]

    def count(self, before: JobStatus | None, after: JobStatus | None, priority: int) -> None:
        """Note that a job of that priority went from one state to another; None is outside."""
        if before is not None:
            self.counts[PLACES[before]] -= 1
        if after is not None:
            self.counts[PLACES[after]] += 1
        if priority < 0:
            self.low += (after is JobStatus.IN_QUEUE) - (before is JobStatus.IN_QUEUE)


@dataclass(slots=True, eq=False)
class Entry:
    """A job in memory. `n` is its place in the order of submission."""

    n: int
    account: Account
    job: Job
    round: int
    """The round of the queue in which it was queued last."""
    at_hand: bool = False
    """Its number is in the lane it is queued in."""
    pending: int = 0
    """The number of the batch of its last change, 0 when the tables have that."""

    @property
    def needed(self) -> bool:
        """Whether it must stay in memory."""
        status = self.job.status
        return status is JobStatus.IN_PROGRESS or (status is JobStatus.IN_QUEUE and self.at_hand) or self.pending > 0

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        job = self.job
        size = _FRAME + len(job.new.input.data)
        if job.output is not None:
            size += len(job.output.data)
        return size if job.progress is None else size + len(job.progress.data)

    def slim(self) -> int:
        """Leave large payloads to the disk, where they are; returns the size that is left."""
        size = self.size
        if size <= KEPT_INLINE:
            return size  # on the path of every job
        job = self.job
        if len(job.new.input.data) > KEPT_INLINE:
            job = replace(job, new=replace(job.new, input=Shelved(media=job.new.input.media)))
        if job.output is not None and len(job.output.data) > KEPT_INLINE:
            job = replace(job, output=Shelved(media=job.output.media))
        if job.progress is not None and len(job.progress.data) > KEPT_INLINE:
            job = replace(job, progress=Shelved(media=job.progress.media))
        self.job = job
        return self.size


@dataclass(frozen=True, slots=True)
class Loaded:
    """A job as it was read from the tables."""

    n: int
    e: int
    round: int
    job: Job
