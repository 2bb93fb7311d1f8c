"""How many short jobs a worker of RunPod's own package works off in a second, paced by the gateway and unpaced.

A driver, a gateway with jobs on disk, and one worker of the package, each a process. The worker sleeps for a second
after each answer that fills all its slots; that is its limit, and the unpaced rows show it. The package is installed
into an environment of its own the first time.

    python benchmarks/bench_runpod.py [--version 1.12.0] [--rounds 3] [--jobs 300]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from beside import python_with

from flashcore.control.link import SocketDataPlane
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.table import EndpointRoute, RoutingTable, SideRoute
from flashcore.presence import read_presence

WORKER = """
import os, runpod
async def handler(job):
    return job["input"]
slots = int(os.environ["SLOTS"])
runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: slots})
"""


@contextmanager
def gateway(layout: Layout, *, paced: bool) -> Iterator[str]:
    """A gateway that serves one queue endpoint without replicas; its address."""
    layout.home.mkdir(parents=True)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "flashcore.gateway", "--layout", str(layout.root), "--env", layout.environment),
            *("--jobs", f"sqlite:///{layout.jobs_db}", "--port", "0", f"--set=poll_pacing={int(paced)}"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        while (presence := read_presence(layout.gateway_file)) is None:
            if process.poll() is not None:
                raise SystemExit("the gateway did not come up")
            time.sleep(0.02)
        asyncio.run(publish(layout))
        yield presence.url
    finally:
        process.terminate()
        process.wait()


async def publish(layout: Layout) -> None:
    """Give the gateway its table."""
    route = EndpointRoute(
        EndpointName("noop"), "jobs", (SideRoute(RevisionId("r" * 64), None, ()),), PartRef("p2c"),
        execution_timeout=60, ttl=600, result_retention=600, max_attempts=2,
    )  # fmt: skip
    plane = SocketDataPlane(layout.dataplane_socket)
    await plane.publish(RoutingTable(1, (route,)))
    async for _ in plane.changes():
        if any(state.applied == 1 for state in plane.gateways()):
            break
    await plane.close()


@contextmanager
def worker(python: Path, url: str, slots: int, home: Path) -> Iterator[None]:
    """One worker of the package."""
    base = f"{url}/v2/noop"
    process = subprocess.Popen(
        [python, "-c", WORKER],
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "SLOTS": str(slots),
            "RUNPOD_LOG_LEVEL": "ERROR",
            "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=LOCAL",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=LOCAL",
            "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID?gpu=LOCAL",
            "RUNPOD_POD_ID": "bench",
            "RUNPOD_AI_API_KEY": "none",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
        },
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def rate(url: str, jobs: int, in_flight: int) -> float:
    """Jobs a second, with so many callers that wait for one each."""
    left = iter(range(jobs))

    async def call_on(http: httpx2.AsyncClient) -> None:
        for number in left:
            answer = await http.post(f"{url}/v2/noop/runsync", json={"input": number})
            if answer.json().get("output") != number:
                raise SystemExit(f"a job did not end well: {answer.text[:300]}")

    async with httpx2.AsyncClient(timeout=120, limits=httpx2.Limits(max_connections=in_flight)) as http:
        await http.post(f"{url}/v2/noop/runsync", json={"input": -1})
        began = time.perf_counter()
        await asyncio.gather(*(call_on(http) for _ in range(in_flight)))
        return jobs / (time.perf_counter() - began)


def main() -> None:
    """Measure in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="1.12.0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=300)
    given = parser.parse_args()
    python = python_with("runpod", given.version, f"runpod=={given.version}")
    found: dict[tuple[int, bool], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="fc-bench-") as folder:
        for round_ in range(given.rounds):
            for slots in (1, 50):
                for paced in (False, True):
                    home = Path(folder) / f"{round_}-{slots}-{paced}"
                    with gateway(Layout(home, "bench"), paced=paced) as url, worker(python, url, slots, home):
                        # One at a time is one a second, unpaced: fewer are enough to see that.
                        jobs = given.jobs if slots > 1 or paced else 8
                        found.setdefault((slots, paced), []).append(asyncio.run(rate(url, jobs, 50)))
    print(f"runpod {given.version}, 50 callers{'jobs/s':>20}{'over unpaced':>16}")
    for (slots, paced), rates in sorted(found.items()):
        unpaced = statistics.median(found[slots, False])
        median = statistics.median(rates)
        print(f"  {slots:>2} slots, {'paced' if paced else 'unpaced':<10}{median:>24.1f}{median / unpaced:>15.1f}x")


if __name__ == "__main__":
    main()
