"""A control plane that was cut off: the next command finds what goes on without it, and ends or continues it."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from http.client import HTTPConnection

import psutil
import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ONE = """
from flashcore import QueueEndpoint

hello = QueueEndpoint("hello")


@hello.function
def greet() -> str:
    return "hello"
"""


def kill_control_plane(project: ProjectUnderTest) -> None:
    """SIGKILL, and wait until it is gone."""
    control = project.running("flashcore.server")[0]
    control.kill()
    control.wait(60)


@pytest.fixture
def deployed(project: ProjectUnderTest) -> ProjectUnderTest:
    """A project whose endpoint is served."""
    project.write("app.py", ONE)
    project.must("deploy")
    return project


def test_a_stop_ends_what_a_killed_control_plane_left_running(deployed: ProjectUnderTest) -> None:
    """Nothing serves on unseen after somebody was told that the platform has stopped."""
    kill_control_plane(deployed)

    ran = deployed.must("server", "stop")

    assert "stopped" in ran.err
    assert deployed.processes() == []


def test_a_stop_ends_what_was_kept_serving(deployed: ProjectUnderTest) -> None:
    """`server stop` after `server stop --keep-serving` ends the rest."""
    deployed.must("server", "stop", "--keep-serving")
    assert deployed.must("call", "hello").out == "hello\n"

    deployed.must("server", "stop")

    assert deployed.processes() == []


UNENDING = """
import sys

if "flashcore.server" in sys.orig_argv:
    from pathlib import Path

    from flashcore.builtin.process_provider import ProcessProvider
    from flashcore.control import shutdown

    let_end, shutdown.SLACK = ProcessProvider._let_end, 1.0

    def let_end_if_told(self, replica, grace):
        if Path("go-on").exists():
            let_end(self, replica, grace)

    ProcessProvider._let_end = let_end_if_told
"""


def test_a_stop_that_leaves_a_replica_says_which_and_the_next_one_ends_it(project: ProjectUnderTest) -> None:
    """By name and pid, with what to do and an exit status; it is no longer said that all has stopped."""
    project.write("flashcore_plugins.py", UNENDING)
    project.write("app.py", ONE.replace('"hello")', '"hello", termination_grace=0.1)', 1))
    project.must("deploy")
    records = (project.root / ".flashcore").rglob("replica.json")
    (replica,) = [json.loads(record.read_bytes())["identity"]["pid"] for record in records]

    ran = project.run("server", "stop")

    assert ran.code == 3
    assert "stopped" not in ran.err
    assert "hello-" in ran.err
    assert f"kill -9 {replica}" in ran.err
    assert replica in [process.pid for process in project.processes()]
    project.write("go-on", "")
    assert "stopped" in project.must("server", "stop").err
    assert project.processes() == []


def test_the_next_command_brings_a_killed_control_plane_back(deployed: ProjectUnderTest) -> None:
    """`server status` says that it is gone and what goes on; any other command starts it again."""
    kill_control_plane(deployed)

    gone = deployed.run("server", "status")
    ran = deployed.must("status", "--json")

    assert gone.code == 1
    assert "its gateway goes on at" in gone.err
    assert [one["status"] for one in ran.json["deployments"]] == ["ready"]


def test_what_was_stopped_stays_stopped(deployed: ProjectUnderTest) -> None:
    """A command that only looks starts nothing that somebody ended on purpose."""
    deployed.must("server", "stop")

    ran = deployed.run("status")

    assert ran.code == 1
    assert "is not running" in ran.err
    assert deployed.processes() == []


def test_a_call_brings_back_what_was_killed_altogether(deployed: ProjectUnderTest) -> None:
    """As after a power cut: nothing runs, and nobody has said that it should not."""
    deployed.end()

    assert deployed.must("call", "hello").out == "hello\n"


def test_a_call_waits_for_a_gateway_that_is_started_again(deployed: ProjectUnderTest) -> None:
    """Between its end and its return somebody calls."""
    gateway = deployed.running("flashcore.gateway")[0]
    gateway.kill()
    gateway.wait(60)

    assert deployed.must("call", "hello").out == "hello\n"


def test_an_upload_that_was_cut_off_leaves_nothing(deployed: ProjectUnderTest) -> None:
    """What came of it takes room until the control plane is started again, and no longer."""
    home = deployed.root / ".flashcore" / "environments" / "production"
    own = json.loads((home / "server.json").read_text())
    with contextlib.closing(HTTPConnection(own["url"].removeprefix("http://"), timeout=60)) as upload:
        upload.putrequest("PUT", f"/api/v1/artifacts/{'0' * 64}")
        upload.putheader("Authorization", f"Bearer {(home / 'token').read_text().strip()}")
        upload.putheader("Content-Length", "1000000")
        upload.endheaders(b"a beginning")
        while not [*(home / "uploads").glob("*")]:
            assert psutil.pid_exists(own["pid"])
            time.sleep(0.01)
        kill_control_plane(deployed)
    assert len([*(home / "uploads").iterdir()]) == 1

    deployed.must("server", "start")

    assert [*(home / "uploads").glob("*")] == []


STARTS_WHEN_TOLD = """
import sys
import time
from pathlib import Path

while "flashcore.server" in sys.orig_argv and not Path("go-on").exists():
    time.sleep(0.01)
"""


def test_ctrl_c_while_the_platform_starts_says_that_it_goes_on(project: ProjectUnderTest) -> None:
    """What was begun is not left unsaid, and a stop a moment later ends it."""
    project.write("flashcore_plugins.py", STARTS_WHEN_TOLD)
    with project.start("server", "start") as starting:
        while not project.running("flashcore.server"):
            assert starting.poll() is None
        starting.send_signal(signal.SIGINT)
        _, rest = starting.communicate(timeout=60)

    project.write("go-on", "")
    assert starting.returncode == 130
    assert "goes on starting in the background" in rest
    assert project.must("server", "stop").err == "stopped\n"
    assert project.processes() == []
