"""Who works on what: the gateway's account of its workers, their slots and their attempts. No I/O, no time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from flashcore.model.errors import StreamFull
from flashcore.model.job import Claimed
from flashcore.model.names import (
    EndpointName,
    InstanceId,
    JobId,
    ReplicaId,
    RevisionId,
    WorkerId,
    another_id,
    worker_id,
)
from flashcore.wire.hello import Identity
from flashcore.wire.messages import Message, Received

_CLEAR_BEATS = 2
"""The first over a connection may come before results of what the worker had over the last one."""


class WorkerLink(Protocol):
    """The connection of one worker."""

    def send(self, message: Message) -> None:
        """Send one message; dropped when the connection is closing."""
        ...

    def send_soon(self, receipt: Received) -> None:
        """Send a receipt, which nobody waits for: with others that come within moments."""
        ...

    def close(self) -> None:
        """End the connection after what was sent."""
        ...

    def abort(self) -> None:
        """End the connection at once."""
        ...

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read."""
        ...

    def pause(self) -> None:
        """Read no further."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...


@dataclass(slots=True, eq=False)
class Attempt:
    """One job in one worker's hands."""

    claimed: Claimed
    begun: float
    """By the loop's clock."""
    sent_over: WorkerLink | None
    """The connection that it went over, None if it never left the gateway, or an earlier one of it."""
    stopped: bool = False
    """The store has no use for its result: it only takes up a slot until the worker lets go of it."""
    unnamed_since: float | None = None
    """The first of the beats in a row that left it out, by the loop's clock."""
    unweighed: int = 0
    """Bytes of its stream that came since it was last known how much of that is kept."""
    stream_room: int = 0
    """How many may come before that is asked again, beside the first ones."""
    overfull: StreamFull | None = None
    """Why it was ended, where more of its stream is kept than may be."""


@dataclass(slots=True, eq=False)
class Worker:
    """One life of a queue replica."""

    id: WorkerId
    endpoint: EndpointName
    replica: ReplicaId
    instance: InstanceId
    revision: RevisionId
    slots: int = 0
    identity: Identity | None = None
    """What it said of itself; None for one that is known from the store alone."""
    link: WorkerLink | None = None
    listed: bool = False
    """The table lets it have work."""
    guest: bool = False
    """No table lists it: it came by itself, and runs code of its own."""
    leaving: bool = False
    """It said that it takes no more."""
    asks: int | None = None
    """Jobs that it asked for and has not been given; None for one that takes what its slots hold."""
    reserved: int = 0
    """Slots that a claim under way may fill."""
    heard: float = 0.0
    """When it last said something, by the loop's clock."""
    claims_as: WorkerId = field(init=False)
    """The id under which it claims jobs; those that it has keep the one under which they were claimed."""
    is_barred: bool = True
    """Jobs may be closed to that id, as an attempt under it was given up."""
    clear_beats: int = 0
    """Beats in a row, over this connection, that named nothing but what it was given."""
    attempts: dict[JobId, Attempt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """It begins under its own id."""
        self.claims_as = self.id

    @property
    def takes_work(self) -> bool:
        """Whether it may be given jobs."""
        return self.listed and not self.leaving and self.link is not None

    @property
    def free(self) -> int:
        """Jobs that it may be given now."""
        room = self.slots - len(self.attempts) if self.asks is None else self.asks
        return max(0, room - self.reserved) if self.takes_work else 0

    @property
    def running(self) -> list[JobId]:
        """Jobs whose results count."""
        return [job for job, attempt in self.attempts.items() if not attempt.stopped]

    @property
    def leased(self) -> Mapping[WorkerId, Sequence[JobId]]:
        """The same by the id under which they were claimed."""
        leased: dict[WorkerId, list[JobId]] = {}
        for job in self.running:
            leased.setdefault(self.attempts[job].claimed.worker, []).append(job)
        return leased

    def current(self, job: JobId, number: int) -> Attempt | None:
        """The attempt at the job, if that is the one whose word counts."""
        attempt = self.attempts.get(job)
        if attempt is None or attempt.claimed.attempt != number or attempt.stopped:
            return None
        return attempt

    def begin_anew(self) -> bool:
        """Claim under another id from now on, where that makes a difference and is safe; whether it does.

        A store never gives a job to the id that had it before, since that one may still be at it. This worker lets go
        of whatever it is told to stop, and says so: then it may have each job again. Where it is the only one, nobody
        else ever would. What it says of the earlier attempt, even now, has that one's number. Who asks over HTTP
        tells no numbers.
        """
        has_let_go = self.clear_beats >= _CLEAR_BEATS and not any(attempt.stopped for attempt in self.attempts.values())
        if not (self.is_barred and has_let_go and self.asks is None):
            return False
        self.is_barred = False
        self.claims_as = another_id(self.id)
        return True


def _worker_of(identity: Identity) -> Worker:
    """A worker as its hello tells it."""
    return Worker(
        worker_id(identity.replica, identity.instance),
        identity.endpoint,
        identity.replica,
        identity.instance,
        identity.revision,
        identity=identity,
    )


class Books:
    """All workers, by id and by endpoint, and who has which job."""

    def __init__(self) -> None:
        self._workers: dict[WorkerId, Worker] = {}
        self._by_endpoint: dict[EndpointName, dict[WorkerId, Worker]] = {}
        self._holders: dict[tuple[JobId, int], Worker] = {}

    def __iter__(self) -> Iterator[Worker]:
        """All workers; the books may be written in meanwhile."""
        return iter(list(self._workers.values()))

    def get(self, worker: WorkerId) -> Worker | None:
        """The worker of that id."""
        return self._workers.get(worker)

    def of(self, endpoint: EndpointName) -> tuple[Worker, ...]:
        """The workers of an endpoint."""
        return tuple(self._by_endpoint.get(endpoint, {}).values())

    def holder(self, job: JobId, attempt: int) -> Worker | None:
        """Who has that attempt at the job."""
        return self._holders.get((job, attempt))

    def account_of(self, identity: Identity) -> Worker:
        """The worker that calls itself so; a new account where there was none."""
        known = self._workers.get(worker_id(identity.replica, identity.instance))
        if known is None:
            known = _worker_of(identity)
            self.enter(known)
        return known

    def enter(self, worker: Worker) -> None:
        """Begin an account."""
        self._workers[worker.id] = worker
        self._by_endpoint.setdefault(worker.endpoint, {})[worker.id] = worker

    def strike(self, worker: Worker) -> None:
        """Close an account, with all its attempts."""
        for job in list(worker.attempts):
            self.settle(worker, job)
        self._workers.pop(worker.id, None)
        mine = self._by_endpoint.get(worker.endpoint, {})
        mine.pop(worker.id, None)
        if not mine:
            self._by_endpoint.pop(worker.endpoint, None)

    def hand_out(self, worker: Worker, attempt: Attempt) -> None:
        """The worker has one more job."""
        claimed = attempt.claimed
        worker.attempts[claimed.id] = attempt
        if worker.asks:
            worker.asks -= 1
        self._holders[claimed.id, claimed.attempt] = worker

    def settle(self, worker: Worker, job: JobId) -> Attempt | None:
        """The worker has the job no longer; None if it did not have it."""
        attempt = worker.attempts.pop(job, None)
        if attempt is not None:
            self._holders.pop((job, attempt.claimed.attempt), None)
        return attempt


def left_out(
    worker: Worker, named: frozenset[JobId], now: float, patience: float
) -> tuple[list[Attempt], list[Attempt]]:
    """What a beat that names these jobs says of the others: attempts to send once more, attempts that are given up.

    An attempt that went over an earlier connection may not have arrived: the first beat over this one tells. One that
    was sent over this connection may be on its way, or its result may be; it is given up after `patience` seconds.
    """
    resend: list[Attempt] = []
    dropped: list[Attempt] = []
    for job, attempt in worker.attempts.items():
        if job in named:
            attempt.unnamed_since = None
            attempt.sent_over = worker.link
        elif attempt.sent_over is not worker.link and not attempt.stopped:
            resend.append(attempt)
        elif attempt.unnamed_since is None:
            attempt.unnamed_since = now
        elif now - attempt.unnamed_since >= patience:
            dropped.append(attempt)
    return resend, dropped
