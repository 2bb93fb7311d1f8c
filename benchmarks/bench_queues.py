"""Jobs that do nothing, 1 KB in and out, each submitted, acknowledged and read singly: our queue beside others.

One driver, one worker and the broker, on the same machine, in turns. A driver keeps 1 job or 50 in flight: so many are
submitted, the oldest is read, the next is submitted. Every peer has the settings that serve it best here: pools without
forks, 50 slots where it has slots, polling each millisecond where it polls, hiredis, sockets instead of ports, Redis
without snapshots; `peers/` has them, one file for each. litequeue and persist-queue have no results: a second queue
brings them back. procrastinate has none either: the end of the job is waited for.

Four rows are ours. The verdicts go by the first: one link, as our client has it (`wire/calls.py`), to a worker that
does nothing, with jobs on disk, synced; each job is an item of its own in a frame, with an answer of its own. The same
with jobs in memory, to tell what a busy disk takes; `runsync` over plain HTTP with as many connections as jobs in
flight; and our client with a real replica, on disk. A durable peer has what it accepted on disk when it says so. Asked
is that we are ahead of each durable one by 4 times at 50 in flight, of each other by 2; for both, processors and disk
have to be our own.
CPU is that of all processes together, for a job at 50 in flight.
The limit is a queue with nothing to it, `bare_broker.py`, which takes its turns too. What the machine gave it to work
with: a ping-pong of 1 KB over a Unix socket, rows inserted into SQLite with a sync for each.

Peers are installed into environments of their own the first time. Redis and Postgres are started here; what needs one
that is not installed is left out, and that is said.

    python benchmarks/bench_queues.py [--rounds 3] [--seconds 1] [--only huey,rq] [--redis-fsync]

It takes about four minutes; exit status 1 when we are not as far ahead as asked. With --redis-fsync Redis syncs each
write, and what is on it is durable.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import bench_jobs
import psutil
from beside import CannotInstall, python_with
from servers import NoServer, postgres_server, redis_server

from flashcore.model.layout import Layout
from flashcore.model.manifest import FunctionEntry, FunctionKind
from flashcore.testing.stand import Served, standing
from flashcore.wire import sealed

PEERS = Path(__file__).resolve().parent / "peers"
IN_FLIGHT = 50
WARM_UP = 0.5
"""Seconds that do not count."""
ASKED = {True: 4.0, False: 2.0}
"""How many times as many jobs a second as a peer that is durable, and one that is not."""


class Store(enum.Enum):
    """What a peer keeps its jobs in."""

    FOLDER = "folder"
    REDIS = "redis"
    POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class Peer:
    """A queue of others."""

    name: str
    script: str
    version: str
    requirements: tuple[str, ...]
    store: Store
    durable: bool = False
    place: str = "jobs"
    """The name of its folder; the scripts go by it."""


HUEY = ("huey_sqlite.py", "3.5.4", ("huey==3.5.4",), Store.FOLDER)
ALL_PEERS = (
    Peer("huey, fsync", *HUEY, durable=True, place="fsync"),
    Peer("huey", *HUEY),
    Peer("litequeue", "litequeue_sqlite.py", "0.9", ("litequeue==0.9",), Store.FOLDER),
    Peer("persist-queue", "persistqueue_sqlite.py", "1.1.0", ("persist-queue==1.1.0",), Store.FOLDER, durable=True),
    Peer("dramatiq", "dramatiq_redis.py", "2.2.1", ("dramatiq[redis]==2.2.1", "hiredis==3.5.0"), Store.REDIS),
    Peer("celery", "celery_redis.py", "5.7.0", ("celery[redis]==5.7.0", "hiredis==3.5.0"), Store.REDIS),
    Peer("rq", "rq_redis.py", "3.0.0", ("rq==3.0.0", "hiredis==3.5.0"), Store.REDIS),
    Peer("arq", "arq_redis.py", "0.28.0", ("arq==0.28.0", "hiredis==3.5.0"), Store.REDIS),
    Peer(
        "taskiq", "taskiq_redis_lists.py", "0.13.0", ("taskiq==0.13.0", "taskiq-redis==1.2.4", "hiredis==3.5.0"),
        Store.REDIS,
    ),
    Peer(
        "procrastinate", "procrastinate_postgres.py", "3.10.0", ("procrastinate==3.10.0", "psycopg[binary]==3.3.9"),
        Store.POSTGRES, durable=True,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn: jobs a second, milliseconds of a job, microseconds of all processors for one."""

    rate: float
    p50: float
    p99: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Turn:
    """Both orders of one turn."""

    alone: Sample
    together: Sample


Order: TypeAlias = Callable[[float, int], Sample]
"""From seconds and jobs in flight."""
Opened: TypeAlias = Callable[[Path], contextlib.AbstractContextManager[Order]]
"""A queue that runs in a folder as long as it is needed."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A queue, ours or theirs."""

    name: str
    durable: bool
    opened: Opened


# -- driving -----------------------------------------------------------------------------------------------------------


class Driver:
    """A process that follows orders, as `peers/driving.py` has it."""

    def __init__(self, command: list[str], environ: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command, cwd=PEERS, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def sample(self, seconds: float, in_flight: int) -> Sample:
        """One order."""
        before = _processors()
        assert self._process.stdin is not None  # noqa: S101 - piped above
        self._process.stdin.write(json.dumps({"seconds": seconds, "in_flight": in_flight}) + "\n")
        self._process.stdin.flush()
        said = self._answer()
        return _sample(said["took"], said["times"], _processors() - before)

    def end(self) -> None:
        """It is not needed any more."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - piped above
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args!r} ended with status {self._process.wait()}")
        return json.loads(line)  # type: ignore[no-any-return]  # what driving.py writes


def _processors() -> float:
    """Seconds of processors that all processes below this one have had, with those that have ended."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


def _sample(took: float, times: list[float], cpu: float) -> Sample:
    ordered = sorted(times)
    p99 = ordered[int(0.99 * (len(ordered) - 1))]
    return Sample(len(times) / took, 1e3 * statistics.median(ordered), 1e3 * p99, 1e6 * cpu / len(times))


# -- theirs ------------------------------------------------------------------------------------------------------------


def opened_peer(peer: Peer, python: Path, address: str) -> Opened:
    """The peer's worker and driver; `address` is its server's, or nothing where it keeps jobs in a folder."""

    @contextlib.contextmanager
    def opened(folder: Path) -> Iterator[Order]:
        place = address or str(folder / peer.place)
        if not address:
            (folder / peer.place).mkdir()
        command = [str(python), peer.script]
        worker = None
        with (folder / "log").open("wb") as log:
            # The driver first: it makes what a server's database needs.
            driver = Driver([*command, "drive", place])
            try:
                worker = subprocess.Popen([*command, "work", place], cwd=PEERS, stdout=log, stderr=log)
                yield driver.sample
            finally:
                driver.end()
                if worker is not None:
                    worker.kill()
                    worker.wait()

    return opened


def candidates_of(peers: list[Peer], addresses: dict[Store, str], *, redis_synced: bool) -> Iterator[Candidate]:
    """Those that can be had here; says which cannot, and why."""
    for peer in peers:
        if peer.store not in addresses:
            print(f"skipped: {peer.name} {peer.version}, which needs {peer.store.value}")
            continue
        try:
            python = python_with(peer.name.partition(",")[0], peer.version, *peer.requirements)
        except CannotInstall as problem:
            print(f"skipped: {peer.name}: {problem}")
            continue
        durable = peer.durable or (peer.store is Store.REDIS and redis_synced)
        name = f"{peer.name} {peer.version}"
        yield Candidate(name, durable, opened_peer(peer, python, _address(peer, addresses[peer.store])))


def _address(peer: Peer, place: str) -> str:
    """As the peer writes it."""
    match peer.store:
        case Store.FOLDER:
            return ""
        case Store.POSTGRES:
            return f"postgresql:///postgres?host={place}&user=bench"
        case Store.REDIS:
            return f"{'redis+socket' if peer.name == 'celery' else 'unix'}://{place}"


@contextlib.contextmanager
def servers(folder: Path, wanted: set[Store], *, redis_synced: bool) -> Iterator[dict[Store, str]]:
    """The servers that peers need and that can be had here; says which cannot."""
    makers = {
        Store.REDIS: lambda: redis_server(folder / "redis", synced=redis_synced),
        Store.POSTGRES: lambda: postgres_server(folder / "postgres"),
    }
    with contextlib.ExitStack() as stack:
        addresses = {Store.FOLDER: ""}
        for store in wanted & makers.keys():
            try:
                addresses[store] = stack.enter_context(makers[store]())
            except NoServer as problem:
                print(f"no {store.value}: {problem}")
        yield addresses


# -- ours --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def over_link(folder: Path) -> Iterator[Order]:
    """Over one link, to a worker that does nothing; jobs are on disk."""
    with _served(folder, f"sqlite:///{Layout(folder, 'bench').jobs_db}", bench_jobs.Served.drive_link) as order:
        yield order


@contextlib.contextmanager
def over_link_in_memory(folder: Path) -> Iterator[Order]:
    """The same, with jobs in memory alone."""
    with _served(folder, "memory:", bench_jobs.Served.drive_link) as order:
        yield order


@contextlib.contextmanager
def over_http(folder: Path) -> Iterator[Order]:
    """`runsync` over plain HTTP, to the same worker; jobs are on disk."""
    with _served(folder, f"sqlite:///{Layout(folder, 'bench').jobs_db}", bench_jobs.Served.drive) as order:
        yield order


@contextlib.contextmanager
def _served(
    folder: Path, jobs: str, drive: Callable[[bench_jobs.Served, int, float], tuple[float, list[float]]]
) -> Iterator[Order]:
    with bench_jobs.gateway("", jobs, Layout(folder, "bench")) as served:

        def order(seconds: float, in_flight: int) -> Sample:
            before = _processors() + time.process_time()
            rate, times = drive(served, in_flight, seconds)
            return _sample(len(times) / rate, times, _processors() + time.process_time() - before)

        yield order


@contextlib.contextmanager
def with_our_client(folder: Path) -> Iterator[Order]:
    """Our client, and a replica that runs a function."""
    function = FunctionEntry("echo", "flashcore_jobs.py", "echo", FunctionKind.ASYNC_FUNCTION)
    with standing(folder, [Served("jobs", "jobs", PEERS, [function], IN_FLIGHT)], KEY) as stand:
        environ = {**os.environ, "FLASHCORE_GATEWAY_URL": stand.url, sealed.KEY_VARIABLE: KEY}
        driver = Driver([sys.executable, "flashcore_jobs.py"], environ)
        try:
            yield driver.sample
        finally:
            driver.end()


KEY = "the key of the measurement"
OURS = Candidate("flashcore, over a link", durable=True, opened=over_link)
OURS_IN_MEMORY = Candidate("flashcore, the same in memory", durable=False, opened=over_link_in_memory)
OURS_OVER_HTTP = Candidate("flashcore, runsync over HTTP", durable=True, opened=over_http)
OUR_CLIENT = Candidate("flashcore, client and replica", durable=True, opened=with_our_client)


@contextlib.contextmanager
def bare(folder: Path) -> Iterator[Order]:
    """The limit: what no such queue can do without."""
    command = [sys.executable, str(Path(__file__).with_name("bare_broker.py"))]
    others = [subprocess.Popen([*command, what, str(folder)]) for what in ("serve", "work")]
    try:
        driver = Driver([*command, "drive", str(folder)])
        try:
            yield driver.sample
        finally:
            driver.end()
    finally:
        for other in others:
            other.kill()
            other.wait()


LIMIT = Candidate("limit: a bare broker", durable=True, opened=bare)


# -- all of it ---------------------------------------------------------------------------------------------------------


def turn_of(candidate: Candidate, seconds: float) -> Turn:
    """One turn of one candidate, from its start to its end."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fc", ignore_cleanup_errors=True))
        order = stack.enter_context(candidate.opened(Path(folder)))
        order(WARM_UP, IN_FLIGHT)
        return Turn(order(seconds, 1), order(seconds, IN_FLIGHT))


def show(name: str, durable: str, turns: list[Turn]) -> None:
    """One line, with the medians."""
    alone = [turn.alone for turn in turns]
    rate, cpu = (statistics.median(getattr(turn.together, field) for turn in turns) for field in ("rate", "cpu"))
    p50, p99 = (statistics.median(getattr(sample, field) for sample in alone) for field in ("p50", "p99"))
    print(f"{name:34}{durable:>8}{p50:12.2f}{p99:10.2f}{rate:14,.0f}{cpu:12,.0f}")


def tell(candidate: Candidate, ours: list[Turn], theirs: list[Turn]) -> bool:
    """How far ahead of one of them we are; whether that is as asked."""
    ratio = statistics.median(our.together.rate / its.together.rate for our, its in zip(ours, theirs, strict=True))
    asked = ASKED[candidate.durable]
    good = ratio >= asked
    cpu = statistics.median(its.together.cpu / our.together.cpu for our, its in zip(ours, theirs, strict=True))
    verdict = f"(at least {asked:g}: {'ok' if good else 'MISSED'})"
    print(f"ahead of {candidate.name:24}{ratio:8.1f} x   {verdict:24} a job of theirs costs {cpu:5.1f} x the CPU")
    return good


def tell_limit(ours: list[Turn], limit: list[Turn]) -> None:
    """How far from the limit we are."""
    pairs = list(zip(ours, limit, strict=True))
    alone = statistics.median(our.alone.p50 / its.alone.p50 for our, its in pairs)
    together = statistics.median(our.together.rate / its.together.rate for our, its in pairs)
    print(f"of the limit: a job alone takes {alone:.1f} x as long, {IN_FLIGHT} in flight are {together:.2f} x as many")


def measure(candidates: list[Candidate], rounds: int, seconds: float) -> dict[str, list[Turn]]:
    """All in turns."""
    turns: dict[str, list[Turn]] = {candidate.name: [] for candidate in candidates}
    for number in range(rounds):
        for candidate in candidates:
            print(f"round {number + 1} of {rounds}: {candidate.name}", file=sys.stderr)
            turns[candidate.name].append(turn_of(candidate, seconds))
    return turns


def limits(seconds: float, folder: Path) -> None:
    """What the machine can do."""
    pong, row = bench_jobs.ping_pong(seconds), bench_jobs.inserts(folder, 1, seconds)
    for name, limit in (("a ping-pong over a Unix socket", pong), ("a row into SQLite, synced", row)):
        print(f"beside: {name:34}{limit.p50 / 1000:12.3f}{limit.p99 / 1000:10.3f}{limit.rate:14,.0f}")


def run(peers: list[Peer], rounds: int, seconds: float, *, redis_synced: bool) -> bool:
    """Measure everything; whether all is as asked."""
    with tempfile.TemporaryDirectory(prefix="fc", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        with servers(place, {peer.store for peer in peers}, redis_synced=redis_synced) as addresses:
            theirs = list(candidates_of(peers, addresses, redis_synced=redis_synced))
            candidates = [OURS, LIMIT, OURS_IN_MEMORY, OURS_OVER_HTTP, OUR_CLIENT, *theirs]
            turns = measure(candidates, rounds, seconds)
        print(f"\nmedians of {rounds} turns of {seconds:g} s")
        print(f"{'':34}{'durable':>8}{'1: p50 ms':>12}{'p99 ms':>10}{f'{IN_FLIGHT}: jobs/s':>14}{'CPU us':>12}")
        for one in candidates:
            show(one.name, "yes" if one.durable else "no", turns[one.name])
        limits(seconds, place)
    print()
    tell_limit(turns[OURS.name], turns[LIMIT.name])
    told = [tell(one, turns[OURS.name], turns[one.name]) for one in theirs]
    return all(told)


def main() -> None:
    """Read the arguments, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each of the two orders of a turn")
    parser.add_argument("--only", default="", metavar="NAMES", help="the peers to take, with commas between them")
    parser.add_argument("--redis-fsync", action="store_true", help="have Redis sync each write")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else [peer.name.partition(",")[0] for peer in ALL_PEERS]
    peers = [peer for peer in ALL_PEERS if peer.name.partition(",")[0] in names]
    sys.exit(not run(peers, given.rounds, given.seconds, redis_synced=given.redis_fsync))


if __name__ == "__main__":
    main()
