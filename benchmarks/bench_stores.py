"""What a durable commit and a durable job cost in the stores alone, beside what the disk and plain sqlite3 can do.

In each round every contender has one turn, so that a busy neighbour hits all of them; a figure is the median of the
rounds. A job is submitted, claimed, finished and read, each by a call of its own, with 1 KB in and out: three durable
writes. All but `memory` sync to disk before they answer.

    python benchmarks/bench_stores.py [--rounds 3] [--seconds 0.7] [--depth 50000]

The second table says what a job costs the store: the processor's time of all of its threads, and the kilobytes that it
has the system write. `--depth` is for the last table: what submitting and claiming cost in front of so many
queued jobs, beside 1,000.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvloop

from flashcore.builtin.memory_state import MemoryStores
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import ALL_LANES, Claim, Finish, JobStore, Return, lane_share, remaining_lanes
from flashcore.hookspecs.state import Put, StateBackend, Transaction
from flashcore.model.job import NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

ENDPOINT, REVISION = EndpointName("bench"), RevisionId("1" * 64)
KILOBYTE = b"x" * 1000
CALLERS = 50
INSERT = "insert into t (a, b) values (?, ?)"


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a contender works, and until when."""

    folder: Path
    seconds: float


Contender = Callable[[Turn], Awaitable[float]]
"""Gives operations a second."""


async def disk(turn: Turn) -> float:
    """Appends of 4 KiB, each synced."""
    block = b"x" * 4096
    descriptor = os.open(turn.folder / "append", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append() -> None:
        os.write(descriptor, block)
        os.fdatasync(descriptor)

    try:
        return timed(turn, append, worth=1)
    finally:
        os.close(descriptor)


def plain_sqlite(rows: int) -> Contender:
    """Inserts of 1 KB by sqlite3 itself, so many in a transaction."""

    async def run(turn: Turn) -> float:
        connection = sqlite3.connect(turn.folder / f"plain-{rows}.db", isolation_level=None)
        for setting in ("journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("create table t (n integer primary key, a text, b blob)")

        def commit() -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, [("a", KILOBYTE)] * rows)
            connection.execute("COMMIT")

        try:
            return timed(turn, commit, worth=rows)
        finally:
            connection.close()

    return run


def timed(turn: Turn, work: Callable[[], object], worth: int) -> float:
    """How many operations a second, when one call of `work` is worth so many."""
    begin, done = time.perf_counter(), 0
    while (now := time.perf_counter()) < begin + turn.seconds:
        work()
        done += worth
    return done / (now - begin)


def commits(kind: str, callers: int) -> Contender:
    """Commits of one key to a state, by so many callers at once."""

    async def run(turn: Turn) -> float:
        state = await open_state(kind, turn.folder)
        numbers = itertools.count()

        async def commit() -> None:
            await state.commit(Transaction(puts=(Put(f"k/{next(numbers) % 500}", KILOBYTE),)))

        rate = await repeated(turn, commit, callers)
        await state.close()
        return rate

    return run


def jobs(kind: str, callers: int) -> Contender:
    """Whole jobs, by so many callers at once, each its own worker."""

    async def run(turn: Turn) -> float:
        store = await open_jobs(kind, turn.folder)
        numbers = itertools.count()

        async def job() -> None:
            number = next(numbers)
            worker = WorkerId(f"w/{number % callers}")
            await store.submit([new_job(number)])
            (claimed,) = await store.claim(Claim(ENDPOINT, worker, REVISION, count=1, lease=60.0))
            await store.finish([Finish(claimed.id, worker, claimed.input)])
            await store.get(claimed.id)

        rate = await repeated(turn, job, callers)
        await store.close()
        return rate

    return run


async def repeated(turn: Turn, work: Callable[[], Awaitable[None]], callers: int) -> float:
    """How many a second, when so many callers repeat it."""
    begin, done = time.perf_counter(), 0

    async def call() -> None:
        nonlocal done
        while time.perf_counter() < begin + turn.seconds:
            await work()
            done += 1

    await asyncio.gather(*(call() for _ in range(callers)))
    return done / (time.perf_counter() - begin)


def new_job(number: int) -> NewJob:
    """A job of 1 KB; ids in the order of time, as a gateway makes them, keep the index of ids narrow."""
    return NewJob(JobId(f"{time.time_ns():x}-{number}"), ENDPOINT, Payload(KILOBYTE), number % 100)


async def open_state(kind: str, folder: Path) -> StateBackend:
    """A new state of that kind."""
    if kind == "memory":
        return await MemoryStores().open_state("memory:")
    return await SqliteStores().open_state(f"sqlite:///{folder}/state.db")


async def open_jobs(kind: str, folder: Path) -> JobStore:
    """A new job store of that kind."""
    if kind == "memory":
        return await MemoryStores().open_jobs("memory:")
    return await SqliteStores().open_jobs(f"sqlite:///{folder}/jobs.db")


CONTENDERS: Mapping[str, Contender] = {
    "disk: 4 KiB appended and synced": disk,
    "sqlite3: 1 KB inserted, 1 in a transaction": plain_sqlite(1),
    f"sqlite3: 1 KB inserted, {CALLERS} in a transaction": plain_sqlite(CALLERS),
    "state, sqlite: commits, 1 caller": commits("sqlite", 1),
    f"state, sqlite: commits, {CALLERS} callers": commits("sqlite", CALLERS),
    f"state, memory: commits, {CALLERS} callers": commits("memory", CALLERS),
    "jobs, sqlite: whole jobs, 1 caller": jobs("sqlite", 1),
    f"jobs, sqlite: whole jobs, {CALLERS} callers": jobs("sqlite", CALLERS),
    f"jobs, memory: whole jobs, {CALLERS} callers": jobs("memory", CALLERS),
}


async def compare(rounds: int, seconds: float) -> None:
    """Let all contenders take turns, and print their medians beside the disk's."""
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, contender in CONTENDERS.items():
            with tempfile.TemporaryDirectory() as folder:
                rates[name].append(await contender(Turn(Path(folder), seconds)))
    medians = {name: statistics.median(measured) for name, measured in rates.items()}
    limit = next(iter(medians.values()))
    print(f"{'':52}{'a second':>12}{'/ disk':>9}")
    for name, rate in medians.items():
        print(f"{name:52}{rate:12,.0f}{rate / limit:9.2f}")


async def weigh() -> None:
    """Print what a whole job costs, of jobs whose claims share the transaction of their submission, as in a gateway."""
    print(f"\n{'for one job':52}{'CPU us':>12}{'kB':>9}")
    for kind, callers, count in (("memory", 1, 1000), ("memory", CALLERS, 5000)):
        used, _ = await weighed(kind, callers, count)
        print(f"{f'jobs, {kind}, {callers} at once':52}{used:12,.0f}")
    for callers, count in ((1, 1000), (14, 5000), (CALLERS, 5000)):
        used, written = await weighed("sqlite", callers, count)
        print(f"{f'jobs, sqlite, {callers} at once':52}{used:12,.0f}{written:9.1f}")


async def weighed(kind: str, callers: int, count: int) -> tuple[float, float]:
    """Microseconds of the processor and kilobytes written for each of so many jobs."""
    with tempfile.TemporaryDirectory() as folder:
        store = await open_jobs(kind, Path(folder))
        numbers = iter(range(count))
        begin, before = time.process_time(), written_so_far()
        await asyncio.gather(*(whole_jobs(store, numbers, WorkerId(f"w/{n}")) for n in range(callers)))
        used, written = time.process_time() - begin, written_so_far() - before
        await store.close()
    return used / count * 1e6, written / count / 1e3


def written_so_far() -> int:
    """Bytes that this process has written, into whatever."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["wchar"])


async def whole_jobs(store: JobStore, numbers: Iterator[int], worker: WorkerId) -> None:
    """Submit, claim, finish and read one job after the other."""
    for number in numbers:
        submitting = asyncio.ensure_future(store.submit([new_job(number)]))
        await asyncio.sleep(0)
        (claimed,) = await store.claim(Claim(ENDPOINT, worker, REVISION, count=1, lease=60.0))
        await submitting
        await store.finish([Finish(claimed.id, worker, claimed.input)])
        await store.get(claimed.id)


async def deepen(depth: int) -> None:
    """Print what a submission and a claim cost in front of 1,000 and of `depth` queued jobs, in microseconds."""
    print(f"\n{'microseconds for one, in front of so many queued jobs':52}{1000:>12,}{depth:>12,}{'ratio':>9}")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        shallow, deep = await filled(Path(one), 1000), await filled(Path(other), depth)
        for name, work in (("submit", submit_some), *((f"claim, {lanes}", claim_from(lanes)) for lanes in SHARES)):
            turns = [(await work(shallow), await work(deep)) for _ in range(5)]
            near, far = (statistics.median(costs) * 1e6 for costs in zip(*turns, strict=True))
            print(f"{name:52}{near:12,.0f}{far:12,.0f}{far / near:9.2f}")
        for store in (shallow, deep):
            await store.close()
        begin = time.perf_counter()
        store = await open_jobs("sqlite", Path(other))
        await claim_some(store, ALL_LANES, 1)
        print(
            f"{'opened again, until the first claim, in milliseconds':52}{(time.perf_counter() - begin) * 1e3:24,.0f}"
        )
        await store.close()


SHARES: Mapping[str, range] = {
    "all lanes": ALL_LANES,
    "the target's lanes at 1 %": lane_share(1),
    "the stable side's lanes at 50 %": remaining_lanes(50),
    "the stable side's lanes at 1 %": remaining_lanes(1),
}


async def filled(folder: Path, depth: int) -> JobStore:
    """A store with so many queued jobs."""
    store = await open_jobs("sqlite", folder)
    for first in range(0, depth, 1000):
        await store.submit([new_job(number) for number in range(first, min(first + 1000, depth))])
    return store


async def submit_some(store: JobStore) -> float:
    """Seconds of one of 100 submissions, ten at a time."""
    begin = time.perf_counter()
    for _ in range(10):
        await asyncio.gather(*(store.submit([new_job(number)]) for number in range(10)))
    return (time.perf_counter() - begin) / 100


def claim_from(share: str) -> Callable[[JobStore], Awaitable[float]]:
    """Seconds of one of some claims from those lanes."""

    async def run(store: JobStore) -> float:
        return await claim_some(store, SHARES[share], 8)

    return run


async def claim_some(store: JobStore, lanes: range, times: int) -> float:
    """Seconds of one of so many claims; what was claimed goes back, for a worker of another name."""
    begin = time.perf_counter()
    worker = WorkerId(f"w/{begin}")
    claims = [await store.claim(Claim(ENDPOINT, worker, REVISION, 1, 600.0, lanes)) for _ in range(times)]
    seconds = time.perf_counter() - begin
    await store.give_back([Return(claimed.id, worker, "measured", charged=False) for (claimed,) in claims])
    return seconds / times


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--depth", type=int, default=50_000)
    given = parser.parse_args()
    uvloop.run(compare(given.rounds, given.seconds))
    uvloop.run(weigh())
    uvloop.run(deepen(given.depth))


if __name__ == "__main__":
    main()
