"""What a person or a machine does wrong is answered with a clear error, and leaves nothing lost or half-written."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ONE = """
from flashcore import QueueEndpoint

hello = QueueEndpoint("hello")


@hello.function
def greet(name: str = "world") -> str:
    return f"hello {name}"
"""


def test_a_project_without_endpoints_is_told_how_to_make_one(project: ProjectUnderTest) -> None:
    """Nothing is started for nothing."""
    project.write("app.py", "print('no endpoint here')\n")

    ran = project.run("deploy")

    assert ran.code == 1
    assert "QueueEndpoint" in ran.err
    assert project.processes() == []


@pytest.mark.parametrize("name", ["Hello World", "a--b", "v2", "x" * 50])
def test_an_impossible_name_is_refused_where_it_stands(project: ProjectUnderTest, name: str) -> None:
    """File and line are in the message."""
    project.write("app.py", ONE.replace('"hello"', repr(name)))

    ran = project.run("build")

    assert ran.code in (1, 2)
    assert "app.py:4" in ran.err


def test_a_duplicate_name_is_refused_with_both_places(project: ProjectUnderTest) -> None:
    """Both files are in the message."""
    project.write("one.py", ONE)
    project.write("two.py", ONE)

    ran = project.run("build")

    assert ran.code in (1, 2)
    assert "one.py:4" in ran.err
    assert "two.py:4" in ran.err


def test_a_function_that_cannot_be_imported_in_the_replica_says_why(project: ProjectUnderTest) -> None:
    """The traceback of the replica is in the answer, and nothing goes on trying unseen."""
    project.write("app.py", "import a_package_that_is_nowhere\n" + ONE)

    ran = project.run("deploy", "--timeout", "60")

    assert ran.code == 1
    assert "a_package_that_is_nowhere" in ran.out + ran.err


def test_a_bad_update_leaves_the_old_version_serving(project: ProjectUnderTest) -> None:
    """The rollout is taken back by itself, and says why."""
    project.write("app.py", ONE)
    project.must("deploy")
    project.write("app.py", "raise RuntimeError('bad day')\n" + ONE)

    ran = project.run("deploy", "--timeout", "90")

    assert ran.code == 1
    assert "bad day" in ran.out + ran.err
    assert project.must("call", "hello").out == "hello world\n"


def test_ports_that_are_taken_are_stepped_over(project: ProjectUnderTest) -> None:
    """Somebody else's server is no obstacle: the next free port is taken and shown."""
    project.write("app.py", ONE)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        project.environment = {"FLASHCORE_GATEWAY_PORT": str(taken), "FLASHCORE_API_PORT": str(taken)}

        project.must("deploy")

        assert not project.url().endswith(f":{taken}")
        assert project.must("call", "hello").out == "hello world\n"


@pytest.mark.parametrize("name", ["state.db", "jobs.db"])
def test_a_corrupt_file_is_named_and_left_as_it_is(project: ProjectUnderTest, name: str) -> None:
    """Nothing is overwritten: the way out is in the message."""
    project.write("app.py", ONE)
    project.write(f".flashcore/environments/production/{name}", "this is no database\n" * 400)
    damaged = (project.root / f".flashcore/environments/production/{name}").read_bytes()

    ran = project.run("deploy")

    assert ran.code == 1
    assert name in ran.err + project.logs()
    assert (project.root / f".flashcore/environments/production/{name}").read_bytes() == damaged
    assert project.processes() == []


def test_a_newer_state_is_refused(project: ProjectUnderTest) -> None:
    """A state of a later version is not touched, and the message says who must be upgraded."""
    project.write("app.py", ONE)
    project.must("deploy")
    project.must("server", "stop")
    path = project.root / ".flashcore/environments/production/state.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 1000")
    db.close()

    ran = project.run("deploy")

    assert ran.code == 1
    assert "newer" in ran.err


def test_a_stale_token_is_refused(project: ProjectUnderTest) -> None:
    """Another token than the server's opens nothing, and the message says so."""
    project.write("app.py", ONE)
    project.must("deploy")
    token = project.root / ".flashcore/environments/production/token"
    real = token.read_text()
    token.write_text("stale\n")

    ran = project.run("status")

    assert ran.code == 1
    assert "token" in ran.err
    token.write_text(real)


def test_what_a_crash_left_behind_is_no_obstacle(project: ProjectUnderTest) -> None:
    """After kill -9 of everything, sockets and files of the dead are taken over by the next start."""
    project.write("app.py", ONE)
    project.must("deploy")
    project.end()

    project.must("deploy")

    assert project.must("call", "hello").out == "hello world\n"


def test_a_full_disk_is_an_error_and_leaves_nothing_half_written(project: ProjectUnderTest) -> None:
    """With no room the deploy is refused; with room again the same command works."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    project.write("app.py", ONE)
    local = project.root / ".flashcore"
    local.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(local)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        with contextlib.suppress(OSError), (local / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"\0" * 4096)

        ran = project.run("deploy")

        assert ran.code == 1
        assert "room" in ran.err or "full" in ran.err
        assert project.processes() == []
        (local / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=200m", str(local)], check=True, capture_output=True)
        project.must("deploy")
        assert project.must("call", "hello").out == "hello world\n"
    finally:
        project.run("server", "stop")
        subprocess.run(["umount", "-l", str(local)], check=False, capture_output=True)


def test_ctrl_c_during_a_deploy_detaches_and_says_so(project: ProjectUnderTest) -> None:
    """The rollout goes on without the terminal."""
    go_on = project.root / "go-on"
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(go_on)!r}).exists():\n    time.sleep(0.01)\n"
    project.write("app.py", waits + ONE)
    process = project.start("deploy")
    assert process.stderr is not None
    assert any("warming up" in line for line in process.stderr)

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "background" in err
    go_on.touch()
    deadline = time.monotonic() + 60
    while project.must("status", "--json").json["deployments"][0]["status"] != "ready":
        assert time.monotonic() < deadline
    assert project.must("call", "hello").out == "hello world\n"


def test_a_file_that_is_called_like_a_module_of_python_does_not_reach_the_platform(project: ProjectUnderTest) -> None:
    """A `types.py` that no endpoint needs is nobody's business; one that a replica would import is refused."""
    project.write("app.py", ONE)
    project.write("types.py", "raise RuntimeError('not to be imported')\n")
    project.write("queue.py", ONE.replace('"hello"', '"other"'))

    refused = project.run("deploy")
    (project.root / "queue.py").unlink()

    assert refused.code == 1
    assert "queue.py: it has the name of Python's own module" in refused.err
    project.must("deploy")
    assert project.must("call", "hello").out == "hello world\n"
