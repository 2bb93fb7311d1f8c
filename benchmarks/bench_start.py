"""How long a replica takes from the controller's decision to its own "ready", and what its memory costs.

The platform runs as it does for users: control plane, gateway, replicas. Times are those of its own log of events, from
`replica.created` to `replica.ready`. Beside them stand, from the same run, the limit (a bare fork of a process that has
imported the same, until its child's hello is read from a socket) and two peers (a Python process that is spawned and
imports the same; a process of multiprocessing's forkserver that has imported the same ahead).

    python benchmarks/bench_start.py [--starts 15]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
from deployed import deployed, events_of, replicas_of

from flashcore.testing.project import ProjectUnderTest

APP = """
import numpy

from flashcore import LoadBalancedEndpoint, QueueEndpoint

queue = QueueEndpoint("queue", replicas=(1, 100))
spawned = QueueEndpoint("spawned", replicas=(1, 100), warm=False)
web = LoadBalancedEndpoint("web", replicas=(1, 100))
web_spawned = LoadBalancedEndpoint("web-spawned", replicas=(1, 100), warm=False)


@queue.function
def total(numbers: list[float]) -> float:
    return float(numpy.sum(numbers))


@spawned.function
def total_too(numbers: list[float]) -> float:
    return float(numpy.sum(numbers))


@web.get("/total")
def read(a: float, b: float) -> float:
    return float(numpy.sum([a, b]))


@web_spawned.get("/total")
def read_too(a: float, b: float) -> float:
    return float(numpy.sum([a, b]))
"""

BUDGETS = {"queue": 50.0, "web": 150.0}
"""Milliseconds from decision to ready for a warm replica."""
SHARE = 0.4
"""Of the first replica's memory that the second one may cost."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in bytes."""

    rss: int
    pss: int


@dataclass(frozen=True, slots=True)
class Started:
    """What the platform's own log says of an endpoint, in milliseconds."""

    cold: float
    warm: tuple[float, ...]
    first: Memory
    second: Memory


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=15, help="of each kind")
    starts = parser.parse_args().starts
    print(f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, medians of {starts} starts, milliseconds\n")
    _show("limit: os.fork to hello, numpy imported", bare_forks(starts))
    _show("limit: os.fork to hello, numpy and FastAPI imported", bare_forks(starts, "fastapi", "uvicorn"))
    _show("peer: multiprocessing forkserver, numpy imported ahead", forkserver(starts))
    _show("peer: spawned Python that imports numpy", spawned(min(starts, 5), "numpy"))
    _show("peer: spawned Python that imports numpy and FastAPI", spawned(min(starts, 5), "numpy", "fastapi", "uvicorn"))
    print()
    with deployed(APP) as project:
        for warm, alone in (("queue", "spawned"), ("web", "web-spawned")):
            forked, spawned_ones = measured(project, warm, starts), measured(project, alone, 4)
            _tell(warm, forked)
            _tell(alone, spawned_ones)
            share = forked.second.pss / spawned_ones.first.rss
            print(f"  a second warm replica costs {share:.0%} of the RSS of one that was spawned\n")


def measured(project: ProjectUnderTest, endpoint: str, starts: int) -> Started:
    """Scale an endpoint up by one, again and again."""
    (cold,) = _times(project, endpoint).values()
    first = memory_of(replicas_of(project, endpoint)[0])
    _scale(project, endpoint, 2)
    second = memory_of(replicas_of(project, endpoint)[-1])
    for count in range(3, starts + 2):
        _scale(project, endpoint, count)
    times = [*_times(project, endpoint).values()]
    _scale(project, endpoint, 1)
    return Started(cold, tuple(times[1:]), first, second)


def _tell(name: str, started: Started) -> None:
    kind = "warm" if name in BUDGETS else "again"
    _show(f"flashcore, {name}: first start", [started.cold])
    _show(f"flashcore, {name}: {kind}", started.warm, BUDGETS.get(name))
    share = started.second.pss / started.first.rss
    verdict = "" if name not in BUDGETS else f"  (at most {SHARE:.0%}: {'ok' if share <= SHARE else 'MISSED'})"
    first, second = started.first.rss / 1e6, started.second.pss / 1e6
    print(f"  memory: first RSS {first:.1f} MB, second PSS {second:.1f} MB, {share:.0%}{verdict}")


def _show(what: str, times: list[float] | tuple[float, ...], budget: float | None = None) -> None:
    median = statistics.median(times)
    verdict = "" if budget is None else f"  (at most {budget:g}: {'ok' if median <= budget else 'MISSED'})"
    print(f"{what:<56} {median:8.1f}   worst {max(times):8.1f}{verdict}", flush=True)


def _scale(project: ProjectUnderTest, endpoint: str, count: int) -> None:
    project.must("scale", endpoint, str(count))
    while len(replicas_of(project, endpoint)) != count:  # the command answers when the wish is known
        time.sleep(0.02)


def _times(project: ProjectUnderTest, endpoint: str) -> dict[str, float]:
    """Milliseconds from decision to ready, by replica, in the order of the decisions."""
    events = events_of(project, endpoint)
    decided = {one["replica"]: one["at"] for one in events if one["kind"] == "replica.created"}
    ready = {one["replica"]: one["at"] for one in events if one["kind"] == "replica.ready"}
    return {name: 1000 * (ready[name] - at) for name, at in decided.items() if name in ready}


def memory_of(process: psutil.Process) -> Memory:
    """What it has, and its part of what it shares."""
    told = process.memory_full_info()
    return Memory(told.rss, told.pss)


def bare_forks(starts: int, *modules: str) -> list[float]:
    """The limit: nothing but a fork and a hello, from a process that has imported the same and does nothing else."""
    script = f"""
import os, socket, sys, tempfile, time
import numpy, asyncio, json{"".join(f", {module}" for module in modules)}
folder = tempfile.mkdtemp()
for number in range({starts}):
    path = f"{{folder}}/{{number}}"
    reading, writing = os.pipe()
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        os.write(writing, b"!")
        server.accept()[0].sendall(b"hello")
        os._exit(0)
    os.read(reading, 1)
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.recv(5)
    print(1000 * (time.perf_counter() - began))
    os.waitpid(pid, 0)
    os.unlink(path)
os.rmdir(folder)
"""
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environ)
    return [float(line) for line in ran.stdout.split()]


def forkserver(starts: int) -> list[float]:
    """A peer: Python's own forkserver, which has imported numpy; until the child's hello."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["numpy"])
    return _until_hello(starts + 1, lambda path: _forked(context, path))[1:]  # the first one starts the server


def _forked(context: Any, path: str) -> Callable[[], object]:
    process = context.Process(target=say_hello, args=(path,))
    process.start()
    return process.join  # type: ignore[no-any-return]  # multiprocessing's contexts are untyped


def spawned(starts: int, *modules: str) -> list[float]:
    """A peer: a Python process of its own for each; until its hello."""
    hello = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'hello')"
    command = [sys.executable, "-c", f"import {', '.join(modules)}; {hello}"]
    return _until_hello(starts, lambda path: subprocess.Popen([*command, path]).wait)


def say_hello(path: str) -> None:
    """What a child of the forkserver does."""
    import numpy as np

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"hello" if np.zeros(1).size else b"")


def _until_hello(starts: int, start: Callable[[str], Callable[[], object]]) -> list[float]:
    times = []
    with tempfile.TemporaryDirectory(prefix="fc") as folder, socket.socket(socket.AF_UNIX) as server:
        path = f"{folder}/hello"
        server.bind(path)
        server.listen()
        for _ in range(starts):
            began = time.perf_counter()
            wait = start(path)
            with server.accept()[0] as connection:
                connection.recv(5)
            times.append(1000 * (time.perf_counter() - began))
            wait()
    return times


if __name__ == "__main__":
    main()
