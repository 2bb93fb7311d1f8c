"""A function gets one more argument while jobs of the old form are queued."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
import os, time
from flashcore import QueueEndpoint, Rolling

hello = QueueEndpoint(
    "hello", replicas=2, max_concurrency=2, warm=False, strategy=Rolling(max_surge=1, max_unavailable=0)
)


@hello.function
def greet({parameters}) -> str:
    return f"version {version}: {{name}}"
"""

WAITING = """

def wait_until_let(folder="{folder}"):
    try:
        os.mkdir(folder + "/first")
    except FileExistsError:
        while not os.path.exists(folder + "/go"):
            time.sleep(0.05)


if "FLASHCORE_REPLICA" in os.environ:
    wait_until_let()
"""

CALLER = """
from datetime import datetime
from app import greet

# Such a value travels in a sealed call alone.
print(greet.remote(name=datetime(2026, 1, 2)))
"""


def post(url: str, body: Any) -> Any:
    """The JSON answer of a POST."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310 - only this machine is asked
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - only this machine is asked
        return json.load(response)


def call_sealed(project: ProjectUnderTest) -> subprocess.CompletedProcess[str]:
    """Call as a program of the project does that was written for the old form."""
    project.write("caller.py", CALLER)
    return subprocess.run(
        [project.python, "caller.py"], cwd=project.root, capture_output=True, text=True, timeout=60, check=False
    )


def test_old_jobs_stay_with_the_old_version_and_then_say_why_they_cannot_run(
    project: ProjectUnderTest, tmp_path: Path
) -> None:
    """Q33: JSON and sealed ones, while both versions serve; afterwards they fail with both signatures."""
    project.write("flashcore.toml", 'app = "shop"\n[gateway]\nunfit_patience = 1.0\n')
    project.write("app.py", APP.format(version=1, parameters="name"))
    project.must("deploy")
    url = f"{project.url()}/v2/hello/runsync"
    new = APP.format(version=2, parameters="name, loud") + WAITING.format(folder=tmp_path)
    project.write("app.py", new)

    with project.start("deploy") as deploying:
        deadline = time.monotonic() + 60
        while post(url, {"input": {"name": "x", "loud": True}})["status"] != "COMPLETED":
            assert time.monotonic() < deadline, project.logs()
            assert deploying.poll() is None, project.logs()
        during = [post(url, {"input": {"name": f"{n}"}}) for n in range(20)]
        called = [call_sealed(project).stdout for _ in range(4)]
        (tmp_path / "go").touch()
        deploying.communicate(timeout=90)
    after = post(url, {"input": {"name": "late"}})
    sealed = call_sealed(project)

    assert [(job["status"], job["output"]) for job in during] == [("COMPLETED", f"version 1: {n}") for n in range(20)]
    assert called == ["version 1: 2026-01-02 00:00:00\n"] * 4
    assert after["status"] == "FAILED"
    told = json.loads(after["error"])
    assert told["error_type"] == "TypeError"
    for said in (told["error_message"], sealed.stderr):
        assert "takes greet(name, loud) -> str" in said
        assert "takes greet(name) -> str" in said
