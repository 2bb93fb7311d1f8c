"""Backing the state of a real platform up while it is used, and putting it back."""

from __future__ import annotations

import stat

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
from flashcore import QueueEndpoint

hello = QueueEndpoint("hello")


@hello.function
def greet() -> str:
    return "version {version}"
"""


def test_a_backup_brings_back_what_was_deployed_then(project: ProjectUnderTest) -> None:
    """Refused while anything runs, and over what has changed since unless it is forced; calls are answered then."""
    project.write("app.py", APP.format(version=1))
    project.must("deploy")
    file = project.root / "state.backup"

    made = project.must("server", "backup", str(file), "--json").json

    assert made["keys"] > 5
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    project.write("app.py", APP.format(version=2))
    project.must("deploy")
    running = project.run("server", "restore", str(file))
    assert (running.code, "flashcore server stop" in running.err) == (1, True)
    project.must("server", "stop")
    changed = project.run("server", "restore", str(file))
    assert (changed.code, "--force" in changed.err) == (1, True)
    project.must("server", "backup", str(project.root / "newer.backup"))

    project.must("server", "restore", str(file), "--force")

    project.must("server", "start")
    assert project.must("rollout", "status", "hello", "--follow").code == 0
    assert project.must("call", "hello").out == "version 1\n"
    project.must("server", "stop")
    file.write_text(file.read_text()[:-100])
    assert "nothing was changed" in project.run("server", "restore", str(file), "--force").err
