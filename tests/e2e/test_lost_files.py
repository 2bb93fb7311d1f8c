"""Files of the platform that somebody deleted: what is left does not stand in the way of what is new."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

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


def test_a_new_state_is_served_where_the_old_one_was_lost(project: ProjectUnderTest) -> None:
    """The gateway's last table is of the state that is gone, and is no reason to refuse those of the new one."""
    project.write("app.py", ONE)
    project.must("deploy")
    project.must("server", "stop")
    project.must("server", "start")
    project.must("server", "stop")
    for path in (project.root / ".flashcore/environments/production").glob("state.db*"):
        path.unlink()

    project.must("deploy")

    assert project.must("call", "hello", "--timeout", "60").out == "hello\n"


def wait_until(condition: Callable[[], bool]) -> None:
    """Fail unless it comes true soon."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["server.json", "gateway.json", "token"])
def test_a_file_by_which_commands_find_the_platform_is_put_back(project: ProjectUnderTest, name: str) -> None:
    """Somebody deleted it while the platform runs; nothing has to be killed for it."""
    project.write("app.py", ONE)
    project.must("deploy")
    file = project.root / ".flashcore/environments/production" / name
    before = file.read_text()

    file.unlink()
    wait_until(file.exists)

    assert file.read_text() == before
    assert file.stat().st_mode & 0o077 == 0 or name != "token"
    assert project.must("status", "--json").json["deployments"][0]["status"] == "ready"
    assert project.must("call", "hello").out == "hello\n"


def test_an_address_that_was_spoilt_is_written_anew(project: ProjectUnderTest) -> None:
    """Also when a command looks for it just then."""
    project.write("app.py", ONE)
    project.must("deploy")
    (project.root / ".flashcore/environments/production/server.json").write_text("{ garbage")

    assert project.must("status", "--json").json["deployments"][0]["status"] == "ready"


def test_a_platform_whose_folder_is_gone_ends(project: ProjectUnderTest, tmp_path: Path) -> None:
    """Nobody could reach it any more, and nothing may run unseen."""
    project.write("app.py", ONE)
    project.must("deploy")
    away = tmp_path / "away"

    # At one stroke: while the folder is emptied, a file that is missed would be put back into it.
    (project.root / ".flashcore").rename(away)
    shutil.rmtree(away, ignore_errors=True)

    wait_until(lambda: not project.processes())


def test_jobs_whose_file_was_deleted_are_told_of_and_taken_again_after_a_restart(project: ProjectUnderTest) -> None:
    """The status says so within seconds; the next gateway begins with an empty file."""
    project.write("app.py", ONE)
    project.must("deploy")
    (project.root / ".flashcore/environments/production/jobs.db").unlink()

    wait_until(lambda: "was deleted or replaced" in project.must("status").err)
    refused = project.run("call", "hello", "--timeout", "60")
    project.must("server", "restart-gateway")

    assert refused.code != 0
    assert "was deleted or replaced while it was in use" in refused.err
    assert project.must("call", "hello", "--timeout", "60").out == "hello\n"
    assert "was deleted" not in project.must("status").err
