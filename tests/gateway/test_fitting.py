"""Q33: a job that does not fit a revision's function stays with the others; at the end it fails with all signatures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.gateway.conftest import FAST, Running, eventually, gateway_at, jobs_route, side

from flashcore.builtin.memory_state import MemoryStores
from flashcore.gateway.books import Worker
from flashcore.gateway.fitting import Fitting
from flashcore.gateway.recording import Ended, Returned
from flashcore.gateway.routes import Routes, Swap, jobs_routing
from flashcore.hookspecs.jobs import Claim, Finish, JobStore
from flashcore.model.job import Claimed, Job, JobStatus, NewJob, Payload
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, InstanceId, JobId, ReplicaId, RevisionId, worker_id
from flashcore.model.table import RoutingTable
from flashcore.testing.clock import VirtualClock
from flashcore.testing.fake_worker import FakeWorker, worker_hello
from flashcore.wire.hello import Hello
from flashcore.wire.messages import Assignment, Message, Result

HELLO = EndpointName("hello")
OLD, NEW = "a" * 64, "b" * 64
TAKES = {OLD: "greet(name)", NEW: "greet(name, loud)"}
FITS = {"old": OLD, "new": NEW}
"""Jobs say by their input which revision they fit; one that says `none` fits none."""


def answer_of(revision: str) -> Callable[[Assignment], bytes | Result]:
    """A function that takes the jobs of its revision."""

    def answer(job: Assignment) -> bytes | Result:
        if FITS.get(json.loads(bytes(job.input.data))) == revision:
            return f'"{revision}"'.encode()
        return refused(job, TAKES[revision])

    return answer


def refused(job: Assignment, takes: str) -> Result:
    """The result of a job that does not fit."""
    error = json.dumps({"error_type": "TypeError", "error_message": "it asked", "error_traceback": "there"})
    return Result(job.id, job.attempt, Payload(b"sealed", "x/y"), error=error, unfit=takes)


def fake(running: Running, hello: Hello) -> FakeWorker:
    """A worker that knows what its revision takes."""
    revision = hello.identity.revision
    fake = FakeWorker(running.gateway.layout.worker_socket, hello, answer_of(revision))
    fake.takes = {"greet": TAKES[revision]}
    return fake


def hellos(slots: int = 4) -> tuple[Hello, Hello]:
    """A worker of each revision."""
    old = worker_hello("hello", OLD, replica="old", slots=slots)
    return old, worker_hello("hello", NEW, replica="new", slots=slots)


async def submit(running: Running, shapes: Sequence[str], pin: str | None = None) -> list[JobId]:
    """Queue a job of each shape, in lanes spread over all."""
    new = [
        NewJob(JobId(f"{n}-{shape}"), HELLO, Payload(json.dumps(shape).encode()), n * 37 % 100, max_attempts=1)
        for n, shape in enumerate(shapes)
    ]
    pinned = [replace(job, pin=RevisionId(pin)) for job in new] if pin else new
    return [job.id for job in await asyncio.gather(*map(running.gateway.broker.submit, pinned))]


async def ended(running: Running, job: JobId) -> Job:
    """The job in its final state."""
    found = await running.gateway.broker.wait(job, 60.0)
    assert found is not None
    assert found.status.final, found
    return found


def message_of(job: Job) -> str:
    """What a caller reads of a failed job."""
    assert job.status is JobStatus.FAILED, job
    return str(json.loads(job.error or "")["error_message"])


@pytest.mark.parametrize("weights", [(None, None), (90, 10), (10, 90), (0, 100)])
async def test_each_job_runs_on_the_revision_that_it_fits(running: Running, weights: tuple[int | None, ...]) -> None:
    """Q33: whatever the shares are, once, uncharged; the revision that it does not fit sees it once at most."""
    old, new = hellos()
    running.serve(jobs_route("hello", side(old, weight=weights[0]), side(new, weight=weights[1])))
    async with fake(running, old) as stable, fake(running, new) as target:
        shapes = ["old", "new", "old"] * 20 if weights[0] else ["old"] * 40
        done = [await ended(running, job) for job in await submit(running, shapes)]

    assert {job.status for job in done} == {JobStatus.COMPLETED}
    assert [job.output for job in done] == [Payload(f'"{FITS[shape]}"'.encode()) for shape in shapes]
    assert {job.charged for job in done} == {0}
    for worker in (stable, target):
        seen = [job.id for job in worker.seen]
        assert len(seen) == len(set(seen))


async def test_why_jobs_wait_is_logged_once(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """However many there are: by endpoint and revision, with what that takes."""
    old, new = hellos()
    running.serve(jobs_route("hello", side(old), side(new)))
    with caplog.at_level("WARNING", "flashcore.gateway.fitting"):
        async with fake(running, new) as target:
            await submit(running, ["old"] * 5)
            await target.until(lambda: len(target.seen) == 5)
            await eventually(lambda: bool(caplog.records))

    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "jobs of hello that do not fit revision bbbbbbbbbbbb, which takes greet(name, loud), wait for another revision"
    )


async def test_a_job_that_fits_no_revision_fails_with_what_each_of_them_takes(running: Running) -> None:
    """Q33: it is shown to each of them once."""
    old, new = hellos()
    running.serve(jobs_route("hello", side(old), side(new)))
    async with fake(running, old) as stable, fake(running, new) as target:
        (job,) = await submit(running, ["none"])
        done = await ended(running, job)

    assert len(stable.seen) == len(target.seen) == 1
    assert "greet(name)" in message_of(done)
    assert "greet(name, loud)" in message_of(done)
    assert done.output is None


async def test_after_the_rollout_old_jobs_fail_with_both_signatures(layout: Layout) -> None:
    """Q33: those that the target was shown before, and those that it never saw while the stable revision lived."""
    old, new = hellos()
    async with gateway_at(layout, replace(FAST, unfit_patience=0.3)) as running:
        running.serve(jobs_route("hello", side(old), side(new)))
        async with fake(running, old) as stable, fake(running, new) as target:
            stable.leave()
            await stable.until(lambda: stable.welcomes > 0)
            seen = await submit(running, ["old"])
            await target.until(lambda: len(target.seen) == 1)
            assert (await waiting(running, seen[0])).status is JobStatus.IN_QUEUE
            running.serve(jobs_route("hello", side(new)))
            unseen = [job.id for job in [await running.gateway.broker.submit(_job("late"))]]
            done = [await ended(running, job) for job in (*seen, *unseen)]

    for job in done:
        assert message_of(job).startswith("it asked\n"), "what was wrong with the call, in the worker's words"
        assert "greet(name)" in message_of(job)
        assert "greet(name, loud)" in message_of(job)
    assert [job.id for job in target.seen] == [*seen, *unseen]


async def test_old_jobs_wait_for_a_stable_revision_that_is_away_for_a_moment(running: Running) -> None:
    """Q33: under Percent a side whose only replica crashed is out of the table until there is another."""
    old, new = hellos()
    running.serve(jobs_route("hello", side(old, weight=50), side(new, weight=50)))
    async with fake(running, new) as target:
        running.serve(jobs_route("hello", side(new, weight=100)))
        (job,) = await submit(running, ["old"])
        await target.until(lambda: len(target.seen) == 1)
        running.serve(jobs_route("hello", side(old, weight=50), side(new, weight=50)))
        async with fake(running, old):
            done = await ended(running, job)

    assert done.output == Payload(f'"{OLD}"'.encode())


async def test_where_nothing_else_ever_served_the_failure_is_as_the_worker_tells_it(running: Running) -> None:
    """A mistake of the caller's is no question of revisions: its own text, and the exception itself beside it."""
    old, _ = hellos()
    running.serve(jobs_route("hello", side(old)))
    async with fake(running, old):
        (job,) = await submit(running, ["none"])
        done = await ended(running, job)

    assert message_of(done) == "it asked"
    assert done.output == Payload(b"sealed", "x/y")


async def test_a_revision_that_takes_just_the_same_is_not_waited_for(running: Running) -> None:
    """Q33: after a deploy that left the function's signature alone, a mistake of the caller's is told at once."""
    old, new = hellos()
    running.serve(jobs_route("hello", side(old), side(new)))
    same = FakeWorker(running.gateway.layout.worker_socket, new, lambda job: refused(job, TAKES[OLD]))
    same.takes = {"greet": TAKES[OLD]}
    async with fake(running, old) as stable, same:
        (job,) = await submit(running, ["none"])
        done = await ended(running, job)

    assert message_of(done) == "it asked"
    assert len(stable.seen) + len(same.seen) == 1


async def test_a_job_for_a_preview_that_does_not_fit_it_fails_at_once(running: Running) -> None:
    """Q31, Q33: nobody else may have it."""
    old, new = hellos()
    running.serve(jobs_route("hello", side(old), side(new, weight=0, preview=True)))
    async with fake(running, old) as stable, fake(running, new):
        (job,) = await submit(running, ["old"], pin=NEW)
        done = await ended(running, job)

    assert "greet(name, loud)" in message_of(done)
    assert stable.seen == []


async def test_an_unpromoted_target_is_not_given_what_does_not_fit_the_stable_revision(running: Running) -> None:
    """Q31, Q33."""
    old, new = hellos()
    running.serve(jobs_route("hello", side(old), side(new, weight=0, preview=True)))
    async with fake(running, old), fake(running, new) as preview:
        (job,) = await submit(running, ["new"])
        done = await ended(running, job)

    assert done.status is JobStatus.FAILED
    assert preview.seen == []


def _job(name: str, shape: str = "old", lane: int = 5) -> NewJob:
    return NewJob(JobId(name), HELLO, Payload(json.dumps(shape).encode()), lane, max_attempts=1)


async def waiting(running: Running, job_id: JobId) -> Job:
    """The job once its only attempt is over."""

    async def found() -> Job | None:
        job = await running.gateway.broker.get(job_id)
        return job if job is not None and job.status is not JobStatus.IN_PROGRESS else None

    job: Job = await eventually(found)
    return job


# -- any interleaving --------------------------------------------------------------------------------------------------

REVISIONS = [RevisionId(letter * 64) for letter in "abc"]
PATIENCE = 5.0

TABLES = st.lists(st.sampled_from(REVISIONS), min_size=1, max_size=3, unique=True)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from(["a", "b", "c", "ab", "bc", "abc", ""])),
        st.tuples(st.just("claim"), st.sampled_from(REVISIONS)),
        st.tuples(st.just("report"), st.integers(0, 5)),
        st.tuples(st.just("table"), TABLES),
        st.tuples(st.just("weights"), TABLES),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 10.0])),
    ),
    max_size=60,
)


class _Silent:
    """A connection that nobody reads."""

    is_paused = False

    def send(self, message: Message) -> None:
        """It is lost."""

    send_soon = send

    def close(self) -> None:
        """Nothing is open."""

    abort = pause = resume = close


@dataclass
class _Play:
    """Workers of three revisions, a store and what the gateway decides, without the gateway's loops and sockets."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    routes: Routes = field(default_factory=Routes)
    held: list[tuple[Worker, Claimed]] = field(default_factory=list)
    shown: list[tuple[JobId, RevisionId]] = field(default_factory=list)
    store: JobStore = field(init=False)
    fitting: Fitting = field(init=False)
    submitted: list[JobId] = field(default_factory=list)

    async def begin(self) -> None:
        """With one revision that serves."""
        self.store = await MemoryStores(self.clock).open_jobs("memory:")
        self.fitting = Fitting(lambda: self.routes, self.clock, PATIENCE)
        await self.table(REVISIONS[:1])

    async def submit(self, fits: str) -> None:
        """A job that fits the revisions of these letters."""
        number = len(self.submitted)
        self.submitted.append(JobId(f"{number}-{fits}"))
        await self.store.submit([NewJob(self.submitted[-1], HELLO, Payload(b""), number * 37 % 100, ttl=1e9)])

    async def table(self, revisions: Sequence[RevisionId], weights: Sequence[int] = ()) -> None:
        """These serve, the first of them is the stable one."""
        shares: Sequence[int | None] = weights or [None] * len(revisions)
        route = jobs_route("hello", *(side(revision=r, weight=w) for r, w in zip(revisions, shares, strict=True)))
        old = self.routes
        self.routes = Routes(RoutingTable(old.version + 1, (route,)), {}, {"hello": jobs_routing(route)})
        self.fitting.table_swapped(Swap(old, self.routes, frozenset({"hello"})))

    async def weights(self, revisions: Sequence[RevisionId]) -> None:
        """The same with shares: the stable one has what the others leave."""
        rest = [30] * (len(revisions) - 1)
        await self.table(revisions, [100 - sum(rest), *rest])

    async def claim(self, revision: RevisionId) -> None:
        """A worker of that revision asks for a job, if a table lets it."""
        routing = self.routes.jobs["hello"]
        share = routing.shares.get(revision)
        if share is None:
            return
        worker = Worker(
            worker_id(ReplicaId(revision[0]), InstanceId("life")), HELLO, ReplicaId(""), InstanceId(""), revision
        )
        self.fitting.learn(worker, {"f": f"f({revision[0]})"})
        serving = self.fitting.serving(routing)
        claim = Claim(HELLO, worker.id, revision, 1, 1e9, share.lanes, share.pinned_only, serving)
        for job in await self.store.claim(claim):
            if (end := self.fitting.nowhere(worker, job)) is not None:
                await self.take(end)
            else:
                self.shown.append((job.id, revision))
                self.held.append((worker, job))

    async def report(self, number: int) -> None:
        """One of those that work says what became of its job."""
        if not self.held:
            return
        worker, job = self.held.pop(number % len(self.held))
        letter = worker.revision[0]
        if letter in fits_of(job.id):
            await self.take(Ended(_finish(worker, job, Payload(letter.encode()))))
        else:
            result = Result(job.id, job.attempt, error="no", unfit=f"f({letter})")
            await self.take(self.fitting.judge(worker, job, result, _Silent()))

    async def take(self, report: Ended | Returned) -> None:
        """As the recorder does."""
        if isinstance(report, Ended):
            if report.end.error is not None:
                lives = {revision[0] for revision in self.fitting.serving(self.routes.jobs["hello"])}
                assert not lives & fits_of(report.end.id), "it fails while somebody could take it"
            await self.store.finish([report.end])
        else:
            await self.store.give_back([report.end])

    async def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    async def settle(self) -> None:
        """All that serve ask and answer until nothing is left to do."""
        await self.wait(2 * PATIENCE)
        serving = list(self.routes.jobs["hello"].serving)
        for _ in range(4 * len(self.submitted) + 4):
            for revision in serving:
                await self.claim(revision)
            while self.held:
                await self.report(0)


def fits_of(job: JobId) -> frozenset[str]:
    """The letters of the revisions that a job fits; its id says so."""
    return frozenset(job.partition("-")[2])


def _finish(worker: Worker, job: Claimed, output: Payload) -> Finish:
    return Finish(job.id, worker.id, output)


@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_no_job_is_shown_twice_to_a_revision_or_left_behind(steps: list[tuple[str, object]]) -> None:
    """Q33: over any order of jobs, claims, answers and tables, each ends well or with what nobody can take."""

    async def play() -> None:
        it = _Play()
        await it.begin()
        for name, value in steps:
            await getattr(it, name)(value)
        await it.settle()
        assert len(it.shown) == len(set(it.shown))
        for identity in it.submitted:
            job = await it.store.get(identity)
            assert job is not None
            assert job.charged == 0
            assert job.status is (JobStatus.FAILED if job.output is None else JobStatus.COMPLETED)
            assert job.output is None or bytes(job.output.data).decode() in fits_of(identity)

    asyncio.run(play())
