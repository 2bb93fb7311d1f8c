"""What operators do to a rollout, on a real platform: plan, follow, detach, undo, restart, cordon, ask why."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
from flashcore import BlueGreen, QueueEndpoint

hello = QueueEndpoint("hello", replicas=2, strategy=BlueGreen(auto_promote={auto}, keep_old=120))


@hello.function
def greet() -> str:
    return "version {version}"
"""


def write(project: ProjectUnderTest, version: int, *, auto: bool = True) -> None:
    """Another version of the project."""
    project.write("app.py", APP.format(version=version, auto=auto))


def test_a_rollout_is_planned_undone_at_once_and_explained(project: ProjectUnderTest) -> None:
    """A plan changes nothing; an undo to what is still warm starts nothing; `why` names who asked and what decided."""
    write(project, 1)
    assert "\x1b" not in project.must("deploy").err
    write(project, 2)

    plan = project.must("deploy", "--plan").out
    assert "rolling out" in plan
    assert "at most 4 replicas, at least 2 ready" in plan
    assert project.must("call", "hello").out == "version 1\n"

    project.must("deploy")
    assert project.must("call", "hello").out == "version 2\n"
    undone = project.must("rollout", "undo", "hello", "--json").json["deployments"][0]
    assert undone["generation"] == 3
    assert project.must("call", "hello").out == "version 1\n"

    history = project.must("rollout", "history", "hello", "--json").json["revisions"]
    assert [one["number"] for one in history if "stable" in one["roles"]] == [1]
    told = project.must("why", "hello").out
    assert "(by undo)" in told
    assert "(by strategy 'blue_green')" in told


def test_replicas_are_restarted_and_taken_out_of_the_traffic(project: ProjectUnderTest) -> None:
    """One after the other, all of them; a cordoned one answers no call, held calls wait."""
    write(project, 1)
    project.must("deploy")
    before = {one["id"] for one in project.must("status", "hello", "--json").json["replicas"]}

    project.must("rollout", "restart", "hello")

    replicas = [one["id"] for one in project.must("status", "hello", "--json").json["replicas"]]
    assert before.isdisjoint(replicas)
    project.must("cordon", "hello", replicas[0])
    status = project.must("status", "hello", "--json").json
    assert [wait["code"] for wait in status["waits"]] == ["cordon"]
    assert project.must("call", "hello").out == "version 1\n"
    project.must("uncordon", "hello", replicas[0])
    project.must("hold-traffic", "hello")
    assert project.run("call", "hello", "--timeout", "1").code != 0
    project.must("release-traffic", "hello")
    assert project.must("call", "hello").out == "version 1\n"
    assert project.run("rollout", "retry", "hello").code == 1


def on_a_terminal(project: ProjectUnderTest, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """A command whose standard error is a terminal, and the other end of that."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "flashcore", *arguments],
        cwd=project.root,
        env={**os.environ, "FLASHCORE_GATEWAY_PORT": "0", "FLASHCORE_API_PORT": "0", "TERM": "xterm", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    return process, ours


def read_until(terminal: int, *wanted: str, within: float = 60.0) -> str:
    """What came from the terminal when something had come for each of these patterns."""
    seen, deadline = "", time.monotonic() + within
    while not all(re.search(one, seen) for one in wanted):
        assert time.monotonic() < deadline, seen
        seen += os.read(terminal, 65_536).decode(errors="replace")
    return seen


def test_a_rollout_is_followed_in_place_and_ctrl_c_only_detaches(project: ProjectUnderTest) -> None:
    """Two lanes of replicas, what is waited for; after Ctrl-C it goes on, and says how to come back."""
    write(project, 1)
    project.must("deploy")
    project.write("slow.py", "import time\nwhile True:\n    time.sleep(1)\n")
    project.write("app.py", APP.format(version=2, auto=True).replace("from", "import slow\nfrom", 1))

    process, terminal = on_a_terminal(project, "deploy")
    read_until(terminal, "stable", "target", "warming up", r"\x1b\[", "looks again at|waits")
    process.send_signal(signal.SIGINT)
    left = read_until(terminal, "detached", "flashcore rollout status hello --follow")
    assert process.wait(60) == 130
    assert "Traceback" not in left

    os.close(terminal)

    process, terminal = on_a_terminal(project, "rollout", "status", "hello", "--follow")
    read_until(terminal, "warming up")
    write(project, 3)
    project.must("deploy", "--detach")
    read_until(terminal, "superseded")
    assert process.wait(60) == 4
    os.close(terminal)


def test_what_this_machine_can_never_place_is_refused_unless_somebody_insists(project: ProjectUnderTest) -> None:
    """Nothing has been deployed then; who insists sees it wait for what is missing."""
    write(project, 1)
    app = (project.root / "app.py").read_text()
    project.write("app.py", app.replace("replicas=2", "replicas=2, gpu_count=1000"))

    refused = project.run("deploy")
    nothing = project.must("status", "--json").json["deployments"]
    project.must("deploy", "--force", "--detach")

    assert refused.code == 1
    assert "endpoint 'hello': 2 replicas need 2000 GPUs, and this machine has" in refused.err
    assert (nothing, project.must("status", "hello", "--json").json["endpoint"]) == ([], "hello")
