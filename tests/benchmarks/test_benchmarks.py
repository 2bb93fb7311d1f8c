"""What can be told of the benchmarks without running them: each is listed, and all queues are driven alike."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("bench_*.py"))

QUEUE = """
import sys, threading, time
sys.path.insert(0, "peers")
from driving import serve

flying = most = 0

def submit(data):
    global flying, most
    flying += 1
    most = max(most, flying)
    return data, most

def read(handle):
    global flying
    flying -= 1
    time.sleep(0.001)
    return handle[0]{spoiled}

serve(submit, read)
print(most)
"""


def drive(order: dict[str, float], spoiled: str = "") -> subprocess.CompletedProcess[str]:
    """Give an order to the driver of a queue that answers at once."""
    return subprocess.run(
        [sys.executable, "-c", QUEUE.format(spoiled=spoiled)],
        cwd=ROOT / "benchmarks",
        input=json.dumps(order) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_every_benchmark_is_on_the_page_that_lists_them(path: Path) -> None:
    """With what it is compared with, and how long it takes."""
    assert f"`python benchmarks/{path.name}`" in (ROOT / "docs" / "benchmarks.md").read_text()


@pytest.mark.parametrize("in_flight", [1, 50])
def test_a_driver_keeps_as_many_jobs_in_flight_as_it_is_told(in_flight: int) -> None:
    """It reads the oldest, submits the next, and reads all in the end."""
    began = time.monotonic()
    ran = drive({"seconds": 0.2, "in_flight": in_flight})

    _, told, most = ran.stdout.splitlines()
    said = json.loads(told)
    assert int(most) == in_flight
    assert len(said["times"]) >= in_flight
    assert 0.2 <= said["took"] < time.monotonic() - began
    assert 0 < said["cpu"] < said["took"]


def test_a_driver_ends_when_an_answer_is_wrong() -> None:
    """What does not do its work is not measured."""
    ran = drive({"seconds": 0.2, "in_flight": 1}, spoiled=" + '!'")

    assert ran.returncode == 1
    assert "a job did not end well" in ran.stderr
