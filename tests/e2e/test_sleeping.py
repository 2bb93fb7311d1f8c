"""A queue that sleeps when it has nothing to do, with real processes."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

IDLE = 1.0

APP = f"""
from flashcore import QueueEndpoint

hello = QueueEndpoint("hello", replicas=(0, 1), max_concurrency=4, idle_timeout={IDLE})


@hello.function
def greet(name: str) -> str:
    return f"hello {{name}}"
"""


def ask(url: str, body: Any = None) -> Any:
    """The JSON answer of a POST, of a GET where there is no body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - only this machine is asked
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - only this machine is asked
        return json.load(response)


def until_asleep(project: ProjectUnderTest) -> None:
    """Wait until no replica is left."""
    deadline = time.monotonic() + 60
    while project.must("status", "hello", "--json").json["replicas"]:
        assert time.monotonic() < deadline


def test_jobs_at_every_moment_wake_it_and_those_of_low_priority_do_not(project: ProjectUnderTest) -> None:
    """Q36, Q04: also those that come just when the last replica is let go."""
    project.write("app.py", APP)
    project.must("deploy")
    url = f"{project.url()}/v2/hello"
    until_asleep(project)

    low = ask(f"{url}/run", {"input": {"name": "low"}, "policy": {"lowPriority": True}})["id"]
    time.sleep(3 * IDLE)
    assert ask(f"{url}/status/{low}")["status"] == "IN_QUEUE"
    assert project.must("status", "hello", "--json").json["replicas"] == []
    jobs = [ask(f"{url}/runsync", {"input": {"name": "first"}})]
    assert ask(f"{url}/status-sync/{low}")["output"] == "hello low"
    for step in range(10):
        time.sleep(IDLE * (0.9 + step * 0.05))
        jobs.append(ask(f"{url}/runsync", {"input": {"name": f"{step}"}}))
    until_asleep(project)
    jobs.append(ask(f"{url}/runsync", {"input": {"name": "last"}}))

    assert {job["status"] for job in jobs} == {"COMPLETED"}
    assert len({job["workerId"] for job in jobs}) > 1, "it slept in between"
