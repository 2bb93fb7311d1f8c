"""How long the first caller waits for an endpoint that has no replica: the request is held at the gateway until one is.

The platform runs as it does for users: control plane, gateway, replicas, each endpoint scaled to zero by its own scaler
after half a second of nothing to do. The parent that has imported the code stays, as it does at zero. Each round waits
until nothing of an endpoint runs, sends it one request, and then some more; what the first took beyond the middle one
of those is what the cold start cost. Beside it stand, taking turns with it, the limit (a bare fork of a process that
has imported the same, until its child's hello is read from a socket) and the peer (uvicorn with a FastAPI app, spawned,
until its first answer). `decided` is when the log of the platform says that a replica was made, `ready` when it was.

    python benchmarks/bench_cold.py [--rounds 10]    takes about a minute; exit status 1 when a figure is missed
"""

from __future__ import annotations

import argparse
import http.client
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench_start import bare_forks
from deployed import deployed, events_of, token_of

from flashcore.testing.project import ProjectUnderTest

APP = """
import numpy

from flashcore import LoadBalancedEndpoint, QueueEndpoint

queue = QueueEndpoint("queue", replicas=(0, 3), idle_timeout=0.5)
web = LoadBalancedEndpoint("web", replicas=(0, 3), idle_timeout=0.5)


@queue.function
def total(numbers: list[float]) -> float:
    return float(numpy.sum(numbers))


@web.get("/total")
def read(a: float, b: float) -> float:
    return float(numpy.sum([a, b]))
"""

PEER = """
import numpy
from fastapi import FastAPI

app = FastAPI()


@app.get("/total")
def read(a: float, b: float) -> float:
    return float(numpy.sum([a, b]))
"""

LIMIT = 150.0
"""Milliseconds over the function's own time."""
WARM_CALLS = 5
JOB = '{"input": {"numbers": [1.0, 2.0]}}'


@dataclass(frozen=True, slots=True)
class Cold:
    """One cold start, in milliseconds since the request was sent."""

    decided: float
    ready: float
    answered: float
    warm: float
    """What a request took once there was a replica."""

    @property
    def added(self) -> float:
        """What the cold start cost."""
        return self.answered - self.warm


class Caller:
    """Sends an endpoint the same request again and again, on one connection."""

    def __init__(self, project: ProjectUnderTest, endpoint: str) -> None:
        self._http = http.client.HTTPConnection(project.url().removeprefix("http://"), timeout=30)
        self._endpoint = endpoint
        self._headers = {"authorization": f"Bearer {token_of(project)}", "content-type": "application/json"}

    def call(self) -> float:
        """Milliseconds of one call."""
        began = time.perf_counter()
        if self._endpoint == "queue":
            self._http.request("POST", "/v2/queue/runsync?wait=30000", JOB, self._headers)
        else:
            self._http.request("GET", "/web/total?a=1&b=2", headers=self._headers)
        answer = self._http.getresponse()
        said = answer.read()
        if answer.status != 200 or b"3.0" not in said:
            raise SystemExit(f"{self._endpoint} answered {answer.status}: {said[:300]!r}")
        return 1000 * (time.perf_counter() - began)

    def close(self) -> None:
        """Hang up."""
        self._http.close()


def cold_start(project: ProjectUnderTest, endpoint: str) -> Cold:
    """One of them, from zero."""
    wait_for_zero(project, endpoint)
    caller = Caller(project, endpoint)
    sent = time.time()
    answered = caller.call()
    warm = statistics.median(caller.call() for _ in range(WARM_CALLS))
    caller.close()
    at = {event["kind"]: 1000 * (event["at"] - sent) for event in events_of(project, endpoint)}
    return Cold(at["replica.created"], at["replica.ready"], answered, warm)


def wait_for_zero(project: ProjectUnderTest, endpoint: str) -> None:
    """Until the endpoint's last replica is gone, and the platform has come to rest after it."""
    until = time.monotonic() + 30
    while True:
        kinds = [event["kind"] for event in events_of(project, endpoint)]
        if kinds.count("replica.created") == kinds.count("replica.terminated"):
            break
        if time.monotonic() > until:
            raise SystemExit(f"{endpoint} does not go to zero: {kinds[-5:]}")
        time.sleep(0.1)
    time.sleep(0.3)


def spawned_server(folder: Path) -> float:
    """The peer: milliseconds from the start of uvicorn with a FastAPI app to its first answer."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "error", "peer:app"]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=folder) as process:
        try:
            while not answers(port):
                if process.poll() is not None:
                    raise SystemExit("uvicorn does not start")
                time.sleep(0.001)
            return 1000 * (time.perf_counter() - began)
        finally:
            process.kill()


def answers(port: int) -> bool:
    """Whether the peer answers."""
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        asked.request("GET", "/total?a=1&b=2")
        return asked.getresponse().status == 200
    except ConnectionRefusedError:
        return False
    finally:
        asked.close()


def show(what: str, times: list[float]) -> None:
    """The middle one and the worst."""
    print(f"{what:<64}{statistics.median(times):8.1f}   worst {max(times):8.1f}")


def tell(endpoint: str, colds: list[Cold], peer: float) -> bool:
    """Whether the figure is as asked; says so."""
    added = [cold.added for cold in colds]
    median = statistics.median(added)
    show(f"flashcore, {endpoint}: added to the first call", added)
    for name in ("decided", "ready", "answered", "warm"):
        show(f"    {name}", [getattr(cold, name) for cold in colds])
    good = median < LIMIT
    print(f"    less than {LIMIT:g}: {'ok' if good else 'MISSED'}; {peer / median:.1f} x as fast as the peer\n")
    return good


def main() -> None:
    """Measure in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    limit: dict[str, list[float]] = {"queue": [], "web": []}
    colds: dict[str, list[Cold]] = {"queue": [], "web": []}
    peer = []
    with deployed(APP) as project:
        project.write("peer.py", PEER)
        for _ in range(rounds):
            limit["queue"] += bare_forks(1)
            limit["web"] += bare_forks(1, "fastapi", "uvicorn")
            peer.append(spawned_server(project.root))
            for endpoint, found in colds.items():
                found.append(cold_start(project, endpoint))
    print(f"milliseconds, medians of {rounds} rounds in turns\n")
    show("limit: os.fork to hello, numpy imported", limit["queue"])
    show("limit: os.fork to hello, numpy and FastAPI imported", limit["web"])
    show("peer: uvicorn with FastAPI and numpy, spawned, to its answer", peer)
    print()
    verdicts = [tell(endpoint, found, statistics.median(peer)) for endpoint, found in colds.items()]
    sys.exit(not all(verdicts))


if __name__ == "__main__":
    main()
