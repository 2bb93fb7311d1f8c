"""The workers' side of the queue: who is here, what they say, and what becomes of their jobs when they go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from flashcore.gateway.absence import Absences
from flashcore.gateway.admission import Admitted, TurnedAway, Unknown, admit
from flashcore.gateway.books import Attempt, Books, Worker, WorkerLink, left_out
from flashcore.gateway.claiming import send_work
from flashcore.gateway.door import Door
from flashcore.gateway.recording import Ended, Progressed, Recorder, Returned, Streamed
from flashcore.gateway.routes import Routes
from flashcore.gateway.settings import Settings
from flashcore.gateway.streams import StreamLimit, failure_text
from flashcore.hookspecs.jobs import Finish, JobStore, Return
from flashcore.model.errors import ProtocolError, StreamFull
from flashcore.model.job import JobStatus
from flashcore.model.names import EndpointName, JobId, ReplicaId, worker_id
from flashcore.wire.hello import Hello, Identity
from flashcore.wire.messages import (
    Beat,
    Chunk,
    Leaving,
    Message,
    Progress,
    Received,
    Refusal,
    Result,
    Results,
    Serves,
    Stop,
    Welcome,
)
from flashcore.wire.versions import PROTOCOL

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CrewEvents:
    """Who is told what the crew does."""

    came: Callable[[EndpointName], None]
    """There is a worker that may be given jobs, or one that takes more than before."""
    freed: Callable[[Worker], None]
    """A worker has fewer jobs than before."""
    attempt_ended: Callable[[Worker, Attempt, bool], None]
    """An attempt came to its end, and whether it failed."""
    changed: Callable[[EndpointName], None]
    unfit: Callable[[Worker, Attempt, Result, WorkerLink], None]
    serves: Callable[[Worker, Mapping[str, str]], None]


class Crew:
    """All queue workers that are connected, or were until a moment ago."""

    def __init__(
        self,
        store: JobStore,
        books: Books,
        recorder: Recorder,
        settings: Settings,
        routes: Callable[[], Routes],
        events: CrewEvents,
    ) -> None:
        self._store = store
        self._books = books
        self._recorder = recorder
        self._settings = settings
        self._routes = routes
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._present: dict[WorkerLink, Worker] = {}
        self._streams = StreamLimit(store, settings.stream_limit, self._overfull)
        self.door = Door(settings.hello_patience, self._send_away, events.changed)
        self.absences = Absences(settings.reconnect_grace, self._give_up)

    # -- coming ----------------------------------------------------------------------------------------------------

    def hello(self, link: WorkerLink, hello: Hello) -> None:
        """Somebody introduces itself: it is let in, sent away, or waits for a table that lists it."""
        match admit(hello, self._routes(), self._books):
            case Admitted(protocol, listed):
                self._welcome(link, hello, protocol, listed=listed)
            case Unknown(reason):
                self.door.wait(link, hello, reason)
            case TurnedAway(reason):
                self._refuse(link, reason, final=True)

    def invite(self, link: WorkerLink, hello: Hello) -> None:
        """Let in somebody whom no table lists."""
        self._books.account_of(hello.identity).guest = True
        self._welcome(link, hello, PROTOCOL.highest, listed=True)

    def _send_away(self, link: WorkerLink, reason: str) -> None:
        self._refuse(link, reason, final=False)

    def _refuse(self, link: WorkerLink, reason: str, *, final: bool) -> None:
        _log.info("a worker is refused: %s", reason)
        link.send(Refusal(reason, final))
        link.close()

    def _welcome(self, link: WorkerLink, hello: Hello, protocol: int, *, listed: bool) -> None:
        worker = self._books.account_of(hello.identity)
        if worker.link is not None:
            # It came back before its old connection was seen to end.
            del self._present[worker.link]
            worker.link.abort()
        self.absences.end(worker)
        worker.identity = hello.identity
        worker.slots = hello.slots
        worker.link = link
        worker.listed = listed
        worker.leaving = False
        # What became of the worker before, and of its jobs, may not be known here.
        worker.is_barred, worker.clear_beats = True, 0
        worker.heard = self._loop.time()
        self._present[link] = worker
        link.send(Welcome(protocol, self._settings.heartbeat))
        self._events.came(worker.endpoint)
        self._events.changed(worker.endpoint)

    # -- asking ----------------------------------------------------------------------------------------------------

    def worker(self, link: WorkerLink) -> Worker | None:
        """Whose connection that is."""
        return self._present.get(link)

    def has_account(self, identity: Identity) -> bool:
        """Whether that life of a worker is here, or is waited for."""
        return self._books.get(worker_id(identity.replica, identity.instance)) is not None

    def left_behind(self, endpoint: EndpointName, replica: ReplicaId) -> Worker | None:
        """A worker with jobs that is known from the store alone: an earlier gateway gave it them."""
        lives = self._books.of(endpoint)
        return next((life for life in lives if life.replica == replica and life.identity is None), None)

    def heard(self, link: WorkerLink) -> None:
        """It is there, whatever it does."""
        if (worker := self._present.get(link)) is not None:
            worker.heard = self._loop.time()

    def offer(self, link: WorkerLink, more: int) -> None:
        """It asks for so many jobs beside those that it has."""
        if (worker := self._present.get(link)) is not None:
            worker.asks = more
            worker.slots = max(worker.slots, more)
            if more:
                self._events.came(worker.endpoint)

    def drop(self, link: WorkerLink, job: JobId, reason: str) -> None:
        """It had the job and let go of it without a result. What it had of an earlier gateway it is sent once more."""
        worker = self._present.get(link)
        attempt = None if worker is None else worker.attempts.get(job)
        if worker is None or attempt is None:
            return
        if attempt.sent_over is None and not worker.leaving and not attempt.stopped:
            attempt.sent_over = link
            send_work(worker, [attempt.claimed], self._store.now())
            return
        self._books.settle(worker, job)
        if not attempt.stopped:
            self._give_back(worker, attempt, reason, charged=attempt.sent_over is not None)
        self._settled(worker)

    # -- speaking --------------------------------------------------------------------------------------------------

    def message(self, link: WorkerLink, message: Message) -> None:
        """What somebody says after its hello; ignored from who was not let in.

        Raises ProtocolError for what no worker says.
        """
        worker = self._present.get(link)
        if worker is None:
            return
        worker.heard = self._loop.time()
        match message:
            case Results(results):
                self._results(worker, link, results)
            case Beat(ids, slots):
                self._resize(worker, slots)
                self._beat(worker, frozenset(ids))
            case Chunk(job, attempt, value, number):
                if (held := worker.current(job, attempt)) is not None:
                    self._recorder.add(Streamed(held.claimed.worker, job, attempt, value, number, link), link)
                    self._streams.add(worker, held, len(value.data))
            case Progress(job, attempt, value):
                if (held := worker.current(job, attempt)) is not None:
                    self._recorder.add(Progressed(held.claimed.worker, job, value), link)
            case Leaving():
                worker.leaving = True
            case Serves(takes):
                self._events.serves(worker, takes)
            case _:
                raise ProtocolError(f"worker {worker.id} sent a {type(message).__name__}, which is not for it to say")

    def stream(self, link: WorkerLink, chunk: Chunk, stored: Callable[[], None]) -> bool:
        """As a Chunk, of who does not count its chunks and waits for each; False: it is stale, nobody is told.

        Raises StreamFull where the job was ended for that, until its worker lets go of it.
        """
        worker = self._present.get(link)
        held = None if worker is None else worker.attempts.get(chunk.id)
        if held is not None and held.overfull is not None:
            raise held.overfull
        held = None if worker is None else worker.current(chunk.id, chunk.attempt)
        if worker is None or held is None:
            return False
        worker.heard = self._loop.time()
        self._recorder.add(Streamed(held.claimed.worker, chunk.id, chunk.attempt, chunk.value, stored=stored), link)
        self._streams.add(worker, held, len(chunk.value.data))
        return True

    def _results(self, worker: Worker, link: WorkerLink, results: Iterable[Result]) -> None:
        stale: list[JobId] = []
        for result in results:
            attempt = worker.attempts.get(result.id)
            if attempt is None or attempt.claimed.attempt != result.attempt:
                # What is on its way into the store is not acknowledged before it is there.
                names = {worker.id, worker.claims_as}
                if not any(self._recorder.reported_again(name, result.id, link) for name in names):
                    stale.append(result.id)
                continue
            self._books.settle(worker, result.id)
            if attempt.stopped:
                stale.append(result.id)
            elif result.released:
                back = Return(result.id, attempt.claimed.worker, "the worker gave it back", charged=False)
                self._recorder.add(Returned(back, link), link)
            elif result.unfit is not None:
                self._events.unfit(worker, attempt, result, link)
            else:
                self._events.attempt_ended(worker, attempt, result.error is not None)
                end = Finish(result.id, attempt.claimed.worker, result.output, result.error)
                self._recorder.add(Ended(end, link), link)
        if stale:
            link.send(Received(tuple(stale)))
        self._settled(worker)

    def _settled(self, worker: Worker) -> None:
        """It has fewer jobs than before."""
        self._events.freed(worker)
        self._events.changed(worker.endpoint)

    def _resize(self, worker: Worker, slots: int | None) -> None:
        if slots is not None and slots != worker.slots:
            worker.slots = slots
            self._events.came(worker.endpoint)

    def _beat(self, worker: Worker, named: frozenset[JobId]) -> None:
        strangers = tuple(job for job in named if job not in worker.attempts)
        worker.clear_beats = 0 if strangers else worker.clear_beats + 1
        if strangers and worker.link is not None:
            worker.link.send(Stop(strangers))
        resend, dropped = left_out(worker, named, self._loop.time(), self._settings.silence)
        if worker.leaving:
            self._return_unsent(worker, resend)
        else:
            for attempt in resend:
                attempt.sent_over = worker.link
            send_work(worker, [attempt.claimed for attempt in resend], self._store.now())
        for attempt in dropped:
            self._books.settle(worker, attempt.claimed.id)
            if not attempt.stopped:
                self._give_back(worker, attempt, "the worker does not have it", charged=False)
        if dropped:
            self._settled(worker)

    def _return_unsent(self, worker: Worker, unsent: Iterable[Attempt]) -> None:
        """A worker that leaves is not sent anything once more."""
        for attempt in unsent:
            self._books.settle(worker, attempt.claimed.id)
            self._give_back(worker, attempt, "the worker is leaving", charged=False)

    # -- stopping jobs ---------------------------------------------------------------------------------------------

    def stop(self, job: JobId, number: int) -> bool:
        """The store has no more use for that attempt at the job; False when no worker has it."""
        worker = self._books.holder(job, number)
        if worker is None:
            return False
        self._stop(worker, worker.attempts[job])
        return True

    def ran_out(self, job: JobId, number: int) -> None:
        """That attempt's time is over, by the store's clock: it has failed, where a worker has the job yet."""
        worker = self._books.holder(job, number)
        if worker is None or worker.attempts[job].stopped:
            return
        self._events.attempt_ended(worker, worker.attempts[job], True)
        worker.is_barred = True
        self._stop(worker, worker.attempts[job])

    def _overfull(self, worker: Worker, attempt: Attempt, problem: StreamFull) -> None:
        """More of its stream is kept than may be: the job has failed, where that attempt goes on."""
        claimed = attempt.claimed
        if worker.attempts.get(claimed.id) is not attempt or attempt.stopped:
            return
        _log.warning("job %s of %s failed: %s", claimed.id, worker.endpoint, problem.message)
        attempt.overfull = problem
        self._events.attempt_ended(worker, attempt, True)
        self._recorder.add(Ended(Finish(claimed.id, claimed.worker, error=failure_text(problem))))
        self._stop(worker, attempt)

    def _stop(self, worker: Worker, attempt: Attempt) -> None:
        if not attempt.stopped:
            attempt.stopped = True
            if worker.link is not None:
                worker.link.send(Stop((attempt.claimed.id,)))

    # -- going -----------------------------------------------------------------------------------------------------

    def gone(self, link: WorkerLink) -> None:
        """A connection ended."""
        self.door.leave(link)
        worker = self._present.pop(link, None)
        if worker is None or worker.link is not link:
            return
        worker.link = None
        self._events.changed(worker.endpoint)
        if not worker.attempts and not worker.reserved:
            self._books.strike(worker)
        else:
            self.absences.begin(worker)

    def _give_up(self, worker: Worker, reason: str, *, charged: bool) -> None:
        attempts = [attempt for attempt in worker.attempts.values() if not attempt.stopped]
        if attempts:
            _log.warning("%s (%s, %d jobs)", reason, worker.id, len(attempts))
        self._books.strike(worker)
        for attempt in attempts:
            # What never left the gateway cannot be the worker's fault.
            self._give_back(worker, attempt, reason, charged=charged and attempt.sent_over is not None)
        self._settled(worker)

    def _give_back(self, worker: Worker, attempt: Attempt, reason: str, *, charged: bool) -> None:
        if charged:
            self._events.attempt_ended(worker, attempt, True)
        worker.is_barred = True
        claimed = attempt.claimed
        told = f"{reason} ({worker.id}){_where_to_look(worker)}"
        self._recorder.add(Returned(Return(claimed.id, claimed.worker, told, charged)))

    # -- what time and tables do -----------------------------------------------------------------------------------

    def look_at_silence(self) -> None:
        """Give up workers that hold a connection and say nothing."""
        oldest = self._loop.time() - self._settings.silence
        for link, worker in list(self._present.items()):
            if link.is_paused:
                # It may say what it likes, nobody reads it now.
                worker.heard = self._loop.time()
            elif worker.heard < oldest:
                del self._present[link]
                worker.link = None
                link.abort()
                self._give_up(worker, "worker lost: it stopped sending heartbeats", charged=True)

    async def renew_leases(self) -> None:
        """Renew the leases of all who are here, or are waited for; of what they reported, until that is stored."""
        for name, reported in self._recorder.unstored().items():
            await self._store.extend(name, reported, self._settings.lease)
        for worker in self._books:
            for claimed_as, leased in worker.leased.items():
                lost = await self._store.extend(claimed_as, leased, self._settings.lease)
                for job in lost:
                    await self._let_go(worker, job)

    async def _let_go(self, worker: Worker, job_id: JobId) -> None:
        """The store has no use for that job's attempt, as another gateway's sweep found, or a caller said there."""
        job = await self._store.get(job_id)
        # Between the look and the answer its result may have come.
        attempt = worker.attempts.get(job_id)
        if attempt is None:
            return
        if job is not None and job.status is JobStatus.TIMED_OUT:
            self.ran_out(job_id, attempt.claimed.attempt)
        else:
            self._stop(worker, attempt)

    def table_swapped(self, touched: Iterable[EndpointName]) -> None:
        """Who is listed now at the endpoints that are routed otherwise; who waited for this table."""
        routes = self._routes()
        for worker in (worker for endpoint in touched for worker in self._books.of(endpoint)):
            routing = routes.jobs.get(worker.endpoint)
            listed = routing is not None and routing.lists(worker.replica, worker.instance, worker.revision)
            worker.listed = listed or (worker.guest and routing is not None)
        for link, hello in self.door.waiting():
            if not isinstance(admit(hello, routes, self._books), Unknown):
                self.door.leave(link)
                self.hello(link, hello)

    def close(self) -> None:
        """Let go of every connection; the workers keep what they have and come back."""
        self.absences.close()
        self._streams.close()
        for link, _ in self.door.waiting():
            self.door.leave(link)
            link.close()
        for link in self._present:
            link.close()
        self._present.clear()


def _where_to_look(worker: Worker) -> str:
    """What to do next for who reads that a worker was lost: its provider may know how it ended, nobody does here."""
    if worker.guest:  # somebody else started it
        return ""
    logs = f"flashcore logs {worker.endpoint} --replica {worker.replica}"
    return f"; `flashcore why {worker.endpoint}` says how its process ended, `{logs}` what it printed"
