"""What workers report, on its way into a store: what they are told of it, and who else hears."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from tests.gateway.conftest import eventually

from flashcore.builtin.memory_state import MemoryStores
from flashcore.gateway.books import Worker
from flashcore.gateway.claiming import send_work
from flashcore.gateway.load import WEIGHT, Load
from flashcore.gateway.recording import Ended, Heard, Progressed, Recorder, Returned, Streamed
from flashcore.hookspecs.jobs import Claim, Finish, JobStore, Return
from flashcore.model.errors import StorageFull
from flashcore.model.job import Claimed, Job, JobStatus, NewJob, Payload, StreamItem
from flashcore.model.names import EndpointName, InstanceId, JobId, ReplicaId, RevisionId, WorkerId
from flashcore.wire.messages import Message, Received, Taken, Work

HELLO, WORKER, REVISION = EndpointName("hello"), WorkerId("w1/life"), RevisionId("r" * 64)
ONE, TWO, THREE, FOUR = map(JobId, ("one", "two", "three", "four"))


@dataclass(eq=False)
class Link:
    """A worker's connection that keeps what is said to the worker."""

    sent: list[Message] = field(default_factory=list)
    is_paused: bool = False

    def send(self, message: Message) -> None:
        """Keep it."""
        self.sent.append(message)

    def send_soon(self, receipt: Received) -> None:
        """Keep it."""
        self.sent.append(receipt)

    def close(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing is open."""

    def pause(self) -> None:
        """Remember."""
        self.is_paused = True

    def resume(self) -> None:
        """Remember."""
        self.is_paused = False


@dataclass
class Ears:
    """Whoever is told once something is stored."""

    given_back: list[Job] = field(default_factory=list)
    streamed: list[JobId] = field(default_factory=list)
    finished: list[JobId] = field(default_factory=list)

    @property
    def heard(self) -> Heard:
        """As a recorder wants it."""
        return Heard(self.finished.append, self.given_back.append, self.streamed.append)


@asynccontextmanager
async def recording(store: JobStore, ears: Ears) -> AsyncIterator[Recorder]:
    """A recorder at work."""
    recorder = Recorder(store, 1000, ears.heard)
    running = asyncio.create_task(recorder.run())
    yield recorder
    await settle(recorder, running)


async def settle(recorder: Recorder, running: asyncio.Task[None]) -> None:
    """Wait until everything is stored, then end it; what ended it before is raised."""
    settled = asyncio.create_task(recorder.settled())
    await asyncio.wait((running, settled), return_when=asyncio.FIRST_COMPLETED)
    for task in (running, settled):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def claimed(*jobs: JobId, attempts: int = 3) -> tuple[JobStore, Sequence[Claimed]]:
    """A store in which a worker has these jobs."""
    store = await MemoryStores().open_jobs("memory:")
    await store.submit([NewJob(job, HELLO, Payload(b"1"), 7, max_attempts=attempts) for job in jobs])
    return store, await store.claim(Claim(HELLO, WORKER, REVISION, len(jobs), 30.0))


def chunk(job: JobId, number: int | None, link: Link | None) -> Streamed:
    """One chunk of a job's stream."""
    return Streamed(WORKER, job, 1, Payload(b'"x"'), number, link)


async def test_a_worker_is_told_how_many_chunks_of_a_stream_are_stored() -> None:
    """Once for all that came together; what it has numbered up to there it need not send again."""
    store, _ = await claimed(ONE, TWO)
    link, ears = Link(), Ears()

    async with recording(store, ears) as recorder:
        for number in range(3):
            recorder.add(chunk(ONE, number, link))
        recorder.add(Progressed(WORKER, ONE, Payload(b"1")))
        recorder.add(chunk(TWO, 0, link))

    assert sorted(link.sent, key=str) == [Taken(ONE, 1, 3), Taken(TWO, 1, 1)]
    assert sorted(ears.streamed) == [ONE, TWO]


@pytest.mark.parametrize("number", [None, 0], ids=["does not count", "does not listen"])
async def test_who_does_not_ask_is_told_of_no_chunk(number: int | None) -> None:
    """A worker of an older version numbers nothing; what RunPod's posts is answered as a request."""
    store, _ = await claimed(ONE)
    link = Link() if number is None else None

    async with recording(store, Ears()) as recorder:
        recorder.add(chunk(ONE, number, link))

    assert len(await store.read_stream(ONE, 0)) == 1
    assert link is None or link.sent == []


async def test_who_waits_hears_of_a_job_that_was_given_back() -> None:
    """Queued again or at its end, once it is stored; of one that nobody knows there is nothing to hear."""
    store, _ = await claimed(ONE, TWO, attempts=1)
    link, ears = Link(), Ears()

    async with recording(store, ears) as recorder:
        recorder.add(Returned(Return(ONE, WORKER, "its worker was lost", charged=True), link))
        recorder.add(Returned(Return(TWO, WORKER, "its worker drains", charged=False), link))
        recorder.add(Returned(Return(JobId("nobody's"), WORKER, "?", charged=False)))

    assert {job.id: job.status for job in ears.given_back} == {ONE: JobStatus.FAILED, TWO: JobStatus.IN_QUEUE}
    assert link.sent == [Received((ONE, TWO))]


async def test_a_worker_that_reports_too_much_is_read_from_again_when_half_is_stored() -> None:
    """Q11: up to the limit, and that included, nobody is held up."""
    store, _ = await claimed(ONE)
    link, full = Link(), Payload(bytes(500))
    recorder = Recorder(store, 2 * (500 + WEIGHT), Ears().heard)

    for _ in range(2):
        recorder.add(Progressed(WORKER, ONE, full), link)
    assert not link.is_paused
    recorder.add(chunk(ONE, 0, None), link)
    assert link.is_paused

    await settle(recorder, asyncio.create_task(recorder.run()))
    assert not link.is_paused


async def test_a_worker_is_not_held_up_for_what_others_report() -> None:
    """Q11: one whose generators are quicker than the store waits, and who has a result to tell does not."""
    store, _ = await claimed(ONE, TWO)
    greedy, modest = Link(), Link()
    recorder = Recorder(store, 20 * WEIGHT, Ears().heard)

    for number in range(40):
        recorder.add(chunk(ONE, number, greedy), greedy)
    recorder.add(Ended(Finish(TWO, WORKER, Payload(b"2")), modest), modest)
    assert (greedy.is_paused, modest.is_paused) == (True, False)

    await settle(recorder, asyncio.create_task(recorder.run()))
    assert not greedy.is_paused


async def test_all_who_report_much_wait_where_nothing_is_stored() -> None:
    """Q26: what a gateway holds while its store is away has a bound, however many workers there are."""
    links = [Link() for _ in range(50)]
    limit = 100 * WEIGHT
    load, held = Load(limit), 0

    for _ in range(1000):
        for link in links:
            if not link.is_paused:
                load.add(WEIGHT, link)
                held += 2 * WEIGHT

    assert all(link.is_paused for link in links)
    assert limit < held <= 2 * limit


class Deaf:
    """A store that stores no chunk until it is let."""

    def __init__(self, store: JobStore) -> None:
        self.opened = asyncio.Event()
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """The store's own method."""
        return getattr(self._store, name)

    async def append_stream(self, *given: Any) -> bool:
        """As the store's own, later."""
        await self.opened.wait()
        return await self._store.append_stream(*given)


async def progress_of(store: JobStore, identity: JobId) -> Payload | None:
    """What a job has said last."""
    job = await store.get(identity)
    return None if job is None else job.progress


async def test_a_stream_that_is_stored_slowly_holds_up_its_own_job_alone() -> None:
    """Q11: the results, returns and progress of other jobs are stored meanwhile; its own end comes after its chunks."""
    store, _ = await claimed(ONE, TWO, THREE, FOUR)
    link, ears, deaf = Link(), Ears(), Deaf(store)

    async with recording(cast("JobStore", deaf), ears) as recorder:
        recorder.add(chunk(ONE, 0, link))
        await asyncio.sleep(0)
        recorder.add(Ended(Finish(ONE, WORKER, Payload(b"1")), link))
        recorder.add(Progressed(WORKER, FOUR, Payload(b"4")))
        recorder.add(Ended(Finish(TWO, WORKER, Payload(b"2")), link))
        recorder.add(Returned(Return(THREE, WORKER, "its worker drains", charged=False), link))
        await eventually(lambda: link.sent and ears.given_back)
        await eventually(lambda: progress_of(store, FOUR))
        meanwhile = [await store.get(job) for job in (ONE, TWO, THREE, FOUR)]
        deaf.opened.set()
        await recorder.settled()
        last, chunks = await store.get(ONE), await store.read_stream(ONE, 0)

    states = [job.status for job in meanwhile if job is not None]
    assert states == [JobStatus.IN_PROGRESS, JobStatus.COMPLETED, JobStatus.IN_QUEUE, JobStatus.IN_PROGRESS]
    assert last is not None
    assert (last.status, len(chunks)) == (JobStatus.COMPLETED, 1)
    assert [type(message) for message in link.sent] == [Received, Received, Taken, Received]


class Counting(Deaf):
    """A store that takes many chunks at once, and counts how often it is asked to."""

    def __init__(self, store: JobStore) -> None:
        super().__init__(store)
        self.opened.set()
        self.calls: list[int] = []

    async def append_stream(self, *given: Any) -> bool:
        """As the store's own."""
        self.calls.append(1)
        return await super().append_stream(*given)

    async def append_chunks(self, worker: WorkerId, job: JobId, chunks: Sequence[StreamItem]) -> bool:
        """One after the other."""
        self.calls.append(len(chunks))
        return all([await self._store.append_stream(worker, job, chunk.value, chunk.number) for chunk in chunks])


async def test_the_chunks_of_a_stream_are_stored_together_as_far_as_they_are_numbered() -> None:
    """Q11: a generator is not kept to one item for each sync of the disk; what is told between them stays there."""
    store, _ = await claimed(ONE, TWO)
    link, counting = Link(), Counting(store)

    async with recording(cast("JobStore", counting), Ears()) as recorder:
        for number in range(300):
            recorder.add(chunk(ONE, number, link), link)
        recorder.add(Progressed(WORKER, ONE, Payload(b"1")), link)
        recorder.add(chunk(ONE, 300, link), link)
        await recorder.settled()
        for _ in range(2):
            recorder.add(chunk(TWO, None, link), link)

    assert counting.calls == [256, 44, 1, 1, 1]
    assert [item.number for item in await store.read_stream(ONE, 0)] == list(range(301))
    assert [taken.chunks for taken in link.sent if isinstance(taken, Taken)] == [301]


class Choosy:
    """A store that cannot hold some texts, as no database can hold half of a surrogate pair."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """The store's own method, for what can be written."""
        method = getattr(self._store, name)

        async def call(*given: Any) -> Any:
            for part in given[0] if isinstance(given[0], list) else ():
                str(getattr(part, "error", None) or getattr(part, "reason", None)).encode()
            return await method(*given)

        return call


async def test_a_result_that_no_store_can_hold_holds_nobody_else_up(caplog: pytest.LogCaptureFixture) -> None:
    """Its job has failed and says why; the results beside it, and those after it, are stored."""
    store, _ = await claimed(ONE, TWO, THREE)
    link, ears, choosy = Link(), Ears(), cast("JobStore", Choosy(store))

    async with recording(choosy, ears) as recorder:
        recorder.add(Ended(Finish(ONE, WORKER, error="\ud800"), link))
        recorder.add(Ended(Finish(TWO, WORKER, Payload(b"2")), link))
        await recorder.settled()
        recorder.add(Returned(Return(THREE, WORKER, "\ud800", charged=False), link))
        await recorder.settled()
        recorder.add(Ended(Finish(THREE, WORKER, Payload(b"3")), link))

    ended = [await store.get(job) for job in (ONE, TWO, THREE)]
    assert [job.status for job in ended if job] == [JobStatus.FAILED, JobStatus.COMPLETED, JobStatus.COMPLETED]
    assert ended[0] is not None
    assert (ended[0].error or "").startswith("the job store cannot hold its result: UnicodeEncodeError: ")
    assert ears.finished == [ONE, TWO, THREE]
    assert f"of job {THREE} cannot be stored" in caplog.text


class Cramped:
    """A store that has no room for what is large, until it is given some; the rest it takes."""

    def __init__(self, store: JobStore, most: int) -> None:
        self.most = most
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """The store's own method."""
        return getattr(self._store, name)

    async def finish(self, results: Sequence[Finish]) -> tuple[bool, ...]:
        """See JobStore."""
        self._require_room([result.output for result in results])
        return await self._store.finish(results)

    async def append_stream(self, worker: WorkerId, job: JobId, chunk: Payload, number: int | None = None) -> bool:
        """See JobStore."""
        self._require_room([chunk])
        return await self._store.append_stream(worker, job, chunk, number)

    def _require_room(self, payloads: Sequence[Payload | None]) -> None:
        if any(payload is not None and len(payload.data) > self.most for payload in payloads):
            raise StorageFull("the disk is full")


LARGE = Payload(b'"%b"' % (b"x" * (2 << 20)))


async def test_a_large_result_that_waits_for_room_holds_nobody_else_up() -> None:
    """Q26: those beside it and after it are stored at once; it is, and its worker hears so, once there is room."""
    store, _ = await claimed(ONE, TWO, THREE)
    link, ears, cramped = Link(), Ears(), Cramped(store, 1 << 20)

    async with recording(cast("JobStore", cramped), ears) as recorder:
        recorder.add(Ended(Finish(ONE, WORKER, LARGE), link))
        recorder.add(Ended(Finish(TWO, WORKER, Payload(b"2")), link))
        await eventually(lambda: ears.finished == [TWO])
        recorder.add(Ended(Finish(THREE, WORKER, Payload(b"3")), link))
        await eventually(lambda: ears.finished == [TWO, THREE])
        held, trouble = recorder.unstored(), recorder.trouble
        await eventually(lambda: link.sent == [Received((TWO,)), Received((THREE,))])
        cramped.most = 4 << 20
        await recorder.settled()
        at_last = await store.get(ONE)

    assert (held, trouble) == ({WORKER: [ONE]}, "the disk is full")
    assert (recorder.unstored(), recorder.trouble) == ({}, "")
    assert at_last is not None
    assert at_last.output == LARGE
    assert link.sent[2:] == [Received((ONE,))]


async def test_what_follows_a_chunk_that_waits_for_room_waits_behind_it() -> None:
    """Q11: the job's later chunks, and its end, however small; another job's stream goes on."""
    store, _ = await claimed(ONE, TWO)
    link, ears, cramped = Link(), Ears(), Cramped(store, 1 << 20)

    async with recording(cast("JobStore", cramped), ears) as recorder:
        recorder.add(chunk(ONE, 0, link))
        recorder.add(Streamed(WORKER, ONE, 1, LARGE, 1, link))
        recorder.add(chunk(ONE, 2, link))
        recorder.add(Ended(Finish(ONE, WORKER, Payload(b"1")), link))
        recorder.add(chunk(TWO, 0, link))
        await eventually(lambda: link.sent)
        recorder.add(Ended(Finish(TWO, WORKER, Payload(b"2")), link))
        await eventually(lambda: ears.finished == [TWO])
        cramped.most = 4 << 20
        await recorder.settled()

    assert link.sent == [Taken(TWO, 1, 1), Received((TWO,)), Taken(ONE, 1, 3), Received((ONE,))]
    assert [len(item.value.data) for item in await store.read_stream(ONE, 0)] == [3, len(LARGE.data), 3]
    assert ears.finished == [TWO, ONE]


async def test_a_result_that_is_reported_again_while_it_is_held_is_not_acknowledged() -> None:
    """Q26: its worker came back over another connection; it hears there that the result is stored, and not before."""
    store, _ = await claimed(ONE)
    before, now, cramped = Link(), Link(), Cramped(store, 1 << 20)

    async with recording(cast("JobStore", cramped), Ears()) as recorder:
        recorder.add(Ended(Finish(ONE, WORKER, LARGE), before))
        await eventually(lambda: recorder.trouble)
        known = recorder.reported_again(WORKER, ONE, now)
        unknown = recorder.reported_again(WORKER, TWO, now)
        early = list(now.sent)
        cramped.most = 4 << 20
        await recorder.settled()

    assert (known, unknown, early) == (True, False, [])
    assert (before.sent, now.sent) == ([], [Received((ONE,))])


def test_a_job_is_handed_out_with_the_time_that_it_has_left() -> None:
    """By the store's clock, which is not the worker's; none where its time is over already."""
    link = Link()
    worker = Worker(WORKER, HELLO, ReplicaId("w1"), InstanceId("life"), REVISION, slots=2, link=link)
    jobs = [Claimed(job, WORKER, 1, Payload(b"1"), deadline) for job, deadline in ((ONE, 130.0), (TWO, 90.0))]

    send_work(worker, jobs, 100.0)

    (work,) = link.sent
    assert isinstance(work, Work)
    assert [(job.id, job.timeout) for job in work.jobs] == [(ONE, 30.0), (TWO, 0.0)]


def test_nothing_is_sent_where_there_is_nothing_or_nobody() -> None:
    """What a worker that is away was to have is sent when it is back."""
    link, job = Link(), Claimed(ONE, WORKER, 1, Payload(b"1"), 130.0)
    worker = Worker(WORKER, HELLO, ReplicaId("w1"), InstanceId("life"), REVISION, link=link)

    send_work(worker, [], 100.0)
    worker.link = None
    send_work(worker, [job], 100.0)

    assert link.sent == []
