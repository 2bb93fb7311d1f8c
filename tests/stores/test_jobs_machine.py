"""Random operations against the memory job store and the SQLite one, which must agree at every step.

The SQLite store keeps few numbers of each lane at hand here, so that short queues already reach the disk.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flashcore.builtin.memory_state import MemoryStores
from flashcore.builtin.sqlite.jobs import filling, lanes
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import Claim, Finish, JobStore, Return
from flashcore.model.errors import Conflict, IllegalMove
from flashcore.model.job import NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId
from flashcore.testing.clock import VirtualClock

ENDPOINTS = st.sampled_from([EndpointName("one"), EndpointName("two")])
WORKERS = st.sampled_from([WorkerId(f"replica-{n}/life") for n in range(4)])
REVISIONS = st.sampled_from([RevisionId("1" * 64), RevisionId("2" * 64)])
LANES = st.sampled_from([range(100), range(2), range(1, 100), range(1, 2)])
PAYLOADS = st.sampled_from([Payload(b""), Payload(b"x"), Payload(b"y" * 20_000, "x/y"), Payload(b"z" * (1 << 20 | 1))])
TIMES = st.sampled_from([5.0, 20.0, 100.0, 1e6])
NUMBERS = st.integers(0, 60)


@pytest.fixture(autouse=True)
def short_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that queues of a few jobs are long ones."""
    monkeypatch.setattr(lanes, "AT_HAND", 4)
    monkeypatch.setattr(filling, "FEWEST", 2)
    monkeypatch.setattr(filling, "MOST", 3)
    monkeypatch.setattr(filling, "LOW", 2)


class JobsMachine(RuleBasedStateMachine):
    """One sequence of operations, on both."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{Path(self.folder.name) / 'jobs.db'}"
        self.memory: JobStore = self.runner.run(MemoryStores(self.clock).open_jobs("memory:"))
        self.sqlite: JobStore = self.open()
        self.submitted = 0
        self.crashes = 0

    def open(self) -> JobStore:
        """The SQLite store on this machine's clock."""
        return self.runner.run(SqliteStores(self.clock.wall, self.clock.monotonic).open_jobs(self.url))

    def both(self, ask: Callable[[JobStore], Awaitable[Any]]) -> Any:
        """Ask both the same, and demand the same answer."""
        one, two = (self.runner.run(_answer(ask(store))) for store in (self.memory, self.sqlite))
        assert one == two
        return one

    @rule(
        endpoint=ENDPOINTS,
        lanes=st.lists(st.integers(0, 2), min_size=1, max_size=40),
        payload=PAYLOADS,
        key=st.one_of(st.none(), st.sampled_from("kl")),
        pin=st.one_of(st.none(), REVISIONS),
        priority=st.integers(-1, 1),
        times=st.tuples(TIMES, TIMES, TIMES),
        max_attempts=st.integers(1, 3),
    )
    def submit(self, endpoint: EndpointName, lanes: list[int], times: tuple[float, float, float], **rest: Any) -> None:
        """Submit a few jobs, or very many, in one call."""
        first, self.submitted = self.submitted, self.submitted + len(lanes)
        ttl, timeout, retention = times
        payload, key, pin, priority, most = (
            rest[name] for name in ("payload", "key", "pin", "priority", "max_attempts")
        )
        news = [
            NewJob(
                JobId(f"job-{first + n}"),
                endpoint,
                payload if n == 0 else Payload(b"%d" % n),
                lane,
                ttl,
                timeout,
                retention,
                priority,
                key,
                pin,
                max_attempts=most,
            )
            for n, lane in enumerate(lanes)
        ]
        self.both(lambda store: store.submit(news))

    @rule(
        endpoint=ENDPOINTS,
        numbers=st.lists(NUMBERS, min_size=1, max_size=3),
        lane=st.integers(0, 2),
        key=st.one_of(st.none(), st.sampled_from("kl")),
    )
    def submit_again(self, endpoint: EndpointName, numbers: list[int], lane: int, key: str | None) -> None:
        """Submit ids that may be known, with a key that another job may have."""
        news = [NewJob(JobId(f"job-{n}"), endpoint, Payload(b"again"), lane, idempotency_key=key) for n in numbers]
        self.both(lambda store: store.submit(news))

    @rule(
        endpoint=ENDPOINTS,
        worker=WORKERS,
        revision=REVISIONS,
        count=st.sampled_from([1, 1, 2, 5, 100]),
        lease=TIMES,
        lanes=LANES,
        pinned_only=st.booleans(),
        serving=st.one_of(st.none(), st.frozensets(REVISIONS)),
    )
    def claim(self, **given: Any) -> None:
        """Claim from some lanes."""
        self.both(lambda store: store.claim(Claim(**given)))

    @rule(number=NUMBERS, worker=WORKERS, payload=PAYLOADS, error=st.one_of(st.none(), st.just("it broke")))
    def finish(self, number: int, worker: WorkerId, payload: Payload, error: str | None) -> None:
        """Report a result, mostly a stale one."""
        result = Finish(JobId(f"job-{number}"), worker, payload, error)
        self.both(lambda store: store.finish([result]))

    @rule(worker=WORKERS, payload=PAYLOADS)
    def finish_all(self, worker: WorkerId, payload: Payload) -> None:
        """Report results of all that a worker has."""
        mine = sorted(job.id for job in self.runner.run(_held(self.memory)) if job.worker == worker)
        self.both(lambda store: store.finish([Finish(identity, worker, payload) for identity in mine]))

    @rule(worker=WORKERS, charged=st.booleans(), share=st.integers(1, 3))
    def give_back(self, worker: WorkerId, *, charged: bool, share: int) -> None:
        """Give back some of what a worker has."""
        mine = sorted(job.id for job in self.runner.run(_held(self.memory)) if job.worker == worker)[::share]
        self.both(lambda store: store.give_back([Return(identity, worker, "it left", charged) for identity in mine]))

    @rule(worker=WORKERS, share=st.integers(1, 3))
    def does_not_fit(self, worker: WorkerId, share: int) -> None:
        """Some of what a worker has does not fit its revision."""
        mine = sorted(job.id for job in self.runner.run(_held(self.memory)) if job.worker == worker)[::share]
        ends = [Return(identity, worker, "it takes more", charged=False, unfit="f(more)") for identity in mine]
        self.both(lambda store: store.give_back(ends))

    @rule(number=NUMBERS, worker=WORKERS, first=st.integers(0, 3))
    def stream(self, number: int, worker: WorkerId, first: int) -> None:
        """Some chunks by their numbers, repeated ones perhaps."""
        for position in range(first, first + 3):
            chunk = Payload(b"%d" % position)
            self.both(partial(_append, worker, JobId(f"job-{number}"), chunk, position))

    @rule(number=NUMBERS, after=st.integers(0, 5))
    def read_on(self, number: int, after: int) -> None:
        """Read what follows what one has."""
        self.both(lambda store: store.read_stream(JobId(f"job-{number}"), after))

    @rule(number=NUMBERS, worker=WORKERS, payload=PAYLOADS)
    def report(self, number: int, worker: WorkerId, payload: Payload) -> None:
        """Progress and two chunks."""
        identity = JobId(f"job-{number}")
        self.both(lambda store: store.progress(worker, identity, payload))
        self.both(lambda store: store.append_stream(worker, identity, payload))
        self.both(lambda store: store.append_stream(worker, identity, Payload(b"second")))

    @rule(number=NUMBERS)
    def read_stream(self, number: int) -> None:
        """Read what is unread."""
        self.both(lambda store: store.read_stream(JobId(f"job-{number}")))

    @rule(worker=WORKERS, first=NUMBERS, lease=TIMES)
    def extend(self, worker: WorkerId, first: int, lease: float) -> None:
        """Extend some leases."""
        ids = [JobId(f"job-{n}") for n in range(first, first + 10)]
        self.both(lambda store: store.extend(worker, ids, lease))

    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        """Cancel one."""
        self.both(lambda store: store.cancel(JobId(f"job-{number}")))

    @rule(number=NUMBERS)
    def retry(self, number: int) -> None:
        """Retry one; mostly refused."""
        self.both(lambda store: store.retry(JobId(f"job-{number}")))

    @rule(endpoint=ENDPOINTS)
    def purge(self, endpoint: EndpointName) -> None:
        """Purge a queue."""
        self.both(lambda store: store.purge(endpoint))

    @rule(endpoint=ENDPOINTS)
    def forget(self, endpoint: EndpointName) -> None:
        """Forget an endpoint."""
        self.both(lambda store: store.forget(endpoint))

    @rule(seconds=st.sampled_from([1.0, 10.0, 50.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, and is noticed."""
        self.clock.advance(seconds)
        self.both(_swept)

    @rule()
    def reopen(self) -> None:
        """The SQLite store is closed and opened."""
        self.runner.run(self.sqlite.close())
        self.sqlite = self.open()

    @rule()
    def crash(self) -> None:
        """Of the SQLite store, no more is left than its files as they are at this moment."""
        left = Path(self.folder.name) / f"crash-{self.crashes}"
        self.crashes += 1
        place = Path(self.url.removeprefix("sqlite:///"))
        left.mkdir()
        for file in place.parent.glob("jobs.db*"):
            if file.is_dir():
                shutil.copytree(file, left / file.name)
            elif not file.name.endswith("-shm"):
                shutil.copy(file, left / file.name)
        self.runner.run(self.sqlite.close())
        self.url = f"sqlite:///{left / 'jobs.db'}"
        self.sqlite = self.open()

    @invariant()
    def counts_agree(self) -> None:
        """Both count the same."""
        for endpoint in (EndpointName("one"), EndpointName("two")):
            self.both(partial(_counts, endpoint))

    @invariant()
    def jobs_agree(self) -> None:
        """Both hold the same jobs."""
        for number in range(min(self.submitted, 60)):
            self.both(partial(_get, JobId(f"job-{number}")))
        self.both(_held)

    def teardown(self) -> None:
        """Nothing is left."""
        for store in (self.memory, self.sqlite):
            self.runner.run(store.close())
        self.runner.close()
        self.folder.cleanup()


async def _answer(asked: Awaitable[Any]) -> Any:
    try:
        return await asked
    except (Conflict, IllegalMove) as refusal:
        return str(refusal)


async def _counts(endpoint: EndpointName, store: JobStore) -> Any:
    counts = await store.counts(endpoint)
    # Of a long queue one of them does not count all that are pinned as such.
    return replace(counts, pressing={}), {pin: waiting.oldest for pin, waiting in counts.pressing.items()}


async def _get(identity: JobId, store: JobStore) -> Any:
    return await store.get(identity)


async def _append(worker: WorkerId, job: JobId, chunk: Payload, number: int, store: JobStore) -> bool:
    return await store.append_stream(worker, job, chunk, number)


async def _held(store: JobStore) -> Any:
    return sorted(await store.held(), key=lambda job: job.id)


async def _swept(store: JobStore) -> Any:
    return sorted(await store.sweep(), key=lambda job: job.id)


TestJobsMachine = JobsMachine.TestCase
TestJobsMachine.settings = settings(max_examples=15, stateful_step_count=40, deadline=None)
