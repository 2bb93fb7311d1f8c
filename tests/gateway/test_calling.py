"""Jobs that are submitted and waited for, in the orders in which store, worker and clock may speak."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace

import pytest
from tests.gateway.conftest import Listener, eventually

from flashcore.gateway.calling import Calls
from flashcore.gateway.coalesce import Coalescer
from flashcore.gateway.wakes import Appointment, Wakes
from flashcore.model.errors import StateError
from flashcore.model.job import Job, JobStatus, NewJob, Payload
from flashcore.model.names import EndpointName, JobId

NEW = NewJob(JobId("new"), EndpointName("e"), Payload(b"1"), 0)
QUEUED = Job(NEW, JobStatus.IN_QUEUE, 1.0)
DONE = Job(NEW, JobStatus.COMPLETED, 1.0, finished_at=2.0)


@dataclass
class Queue:
    """A store whose answers come when the test says so."""

    stored: asyncio.Future[Job] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    at_hand: dict[JobId, Job] = field(default_factory=dict)
    looked_up: list[JobId] = field(default_factory=list)
    found: Job | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ends: Wakes[JobId] = Wakes(loop)
        submissions = Coalescer(loop, self._submit)
        self.calls = Calls(loop, submissions, self.ends, self.at_hand.get, self._wait, self._spawn)

    async def _submit(self, jobs: Sequence[NewJob]) -> list[Job]:
        return [await self.stored for _ in jobs]

    async def _wait(self, job: JobId, seconds: float) -> Job | None:
        assert seconds < 60
        self.looked_up.append(job)
        return self.found

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))


def begun(queue: Queue, seconds: float = 30.0) -> Listener:
    """A call of the new job."""
    listener = Listener()
    queue.calls.begin(NEW, seconds, listener)
    return listener


async def test_a_caller_is_told_of_the_end_from_what_is_at_hand() -> None:
    """The usual case: stored, ended, told; nobody asks the store again, and nothing is left."""
    queue = Queue()
    caller = begun(queue)
    queue.stored.set_result(QUEUED)
    await asyncio.sleep(0.01)
    queue.at_hand[NEW.id] = DONE
    queue.ends.wake(NEW.id)

    assert await caller.heard is DONE
    assert queue.looked_up == []
    assert len(queue.ends) == 0


async def test_a_worker_may_be_quicker_than_the_answer_of_the_store() -> None:
    """Then the result is the proof that the job was stored, and the caller is told once."""
    queue = Queue()
    caller = begun(queue)
    await asyncio.sleep(0)
    queue.at_hand[NEW.id] = DONE
    queue.ends.wake(NEW.id)

    assert await caller.heard is DONE
    queue.stored.set_result(QUEUED)
    await asyncio.sleep(0.01)


async def test_a_job_that_is_not_at_hand_is_asked_for() -> None:
    """By a store on a server, or one that has let go of it already; None when it was removed meanwhile."""
    queue = Queue(found=None)
    caller = begun(queue)
    queue.stored.set_result(QUEUED)
    await asyncio.sleep(0.01)
    queue.ends.wake_all()

    assert await caller.heard is None
    assert queue.looked_up == [NEW.id]


async def test_who_waits_no_longer_is_told_how_the_job_is() -> None:
    """As it is at hand."""
    queue = Queue()
    queue.at_hand[NEW.id] = QUEUED
    caller = begun(queue, 0.01)
    queue.stored.set_result(QUEUED)

    assert await caller.heard is QUEUED
    assert len(queue.ends) == 0


class Early(Wakes[JobId]):
    """Timers run out before their time, as those of a loop may that counts in milliseconds."""

    def call(self, key: JobId, until: float, told: Callable[[bool], None]) -> Appointment:
        """See Wakes."""
        return super().call(key, until - 20.0, told)


async def test_a_timer_that_runs_out_a_little_early_does_not_make_a_caller_look_the_job_up() -> None:
    """Whose wait is over is told of what is at hand, whatever the clock shows."""
    queue = Queue()
    calls = replace(queue.calls, ends=Early(queue.calls.loop))
    queue.at_hand[NEW.id] = QUEUED
    caller = Listener()
    calls.begin(NEW, 20.01, caller)
    queue.stored.set_result(QUEUED)

    assert await caller.heard is QUEUED
    assert queue.looked_up == []


async def test_nobody_is_told_of_a_job_before_it_is_stored_however_short_the_wait() -> None:
    """What is said of a job that is not on disk would be a promise."""
    queue = Queue()
    queue.at_hand[NEW.id] = QUEUED
    caller = begun(queue, 0.0)
    await asyncio.sleep(0.02)
    assert not caller.heard.done()

    queue.stored.set_result(QUEUED)
    assert await caller.heard is QUEUED


async def test_a_job_that_is_known_by_its_key_is_waited_for_instead() -> None:
    """Q01: the one that was submitted first."""
    known = Job(NewJob(JobId("known"), EndpointName("e"), Payload(b"1"), 0), JobStatus.COMPLETED, 0.5, finished_at=1.0)
    queue = Queue(found=known)
    caller = begun(queue)
    queue.stored.set_result(known)

    assert await caller.heard is known
    assert queue.looked_up == [known.id]
    await eventually(lambda: len(queue.ends) == 0)


async def test_a_job_that_is_not_stored_is_said_not_to_be() -> None:
    """And is waited for no longer."""
    queue = Queue()
    caller = begun(queue)
    queue.stored.set_exception(StateError("away"))

    with pytest.raises(StateError, match="away"):
        await caller.heard
    await eventually(lambda: len(queue.ends) == 0)


async def test_a_look_that_fails_is_told() -> None:
    """Rather than that the caller waits for ever."""
    queue = Queue()

    async def away(job: JobId, seconds: float) -> Job | None:
        raise StateError(f"{job} {seconds > 0}")

    look: Callable[[JobId, float], Awaitable[Job | None]] = away
    calls = Calls(queue.calls.loop, queue.calls.submissions, queue.ends, queue.at_hand.get, look, queue._spawn)  # noqa: SLF001 - the test's own
    caller = Listener()
    calls.begin(NEW, 30.0, caller)
    queue.stored.set_result(QUEUED)
    await asyncio.sleep(0.01)
    queue.ends.wake(NEW.id)

    with pytest.raises(StateError, match="new True"):
        await caller.heard
