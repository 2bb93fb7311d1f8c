"""A plugin that is installed, or a setting that is changed, while the platform runs."""

from __future__ import annotations

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
from flashcore import QueueEndpoint

hello = QueueEndpoint("hello", gates={"promotion": ["always"]})


@hello.function
def greet() -> str:
    return "hello"
"""

PLUGIN = """
from flashcore.hookspecs.gates import Pass
from flashcore.plugin import Part, hookimpl


class Always:
    def verdict(self, view):
        return Pass()


@hookimpl
def flashcore_gates():
    return {"always": Part("flashcore_plugins:Always", "Holds nothing")}
"""


def test_a_control_plane_that_runs_without_a_new_plugin_is_to_be_restarted(project: ProjectUnderTest) -> None:
    """It is installed where the command runs: to say "install it" would be of no help."""
    project.must("server", "start")
    project.write("flashcore_plugins.py", PLUGIN)
    project.write("app.py", APP)

    refused = project.run("deploy")
    found = project.must("doctor").err

    assert refused.code != 0
    assert "the control plane does not have what is installed here: there is no gate 'always'" in refused.err
    assert "next: flashcore server stop --keep-serving, flashcore server start" in refused.err
    assert found.count("restart needed") == 1
    project.must("server", "stop", "--keep-serving")
    project.must("server", "start")
    project.must("deploy")
    assert project.must("call", "hello").out == "hello\n"
    assert "restart needed" not in project.must("doctor").err


def test_settings_that_are_changed_count_after_a_restart(project: ProjectUnderTest) -> None:
    """Until then whoever deploys, or asks the doctor, is told what the platform does not go by."""
    project.must("server", "start")
    project.write("app.py", APP.replace(', gates={"promotion": ["always"]}', ""))
    settings = (project.root / "flashcore.toml").read_text()
    project.write("flashcore.toml", settings + "\n[gateway]\nqueued_limit = 5\n")

    project.must("deploy")
    found = project.must("doctor").err

    note = "restart needed: gateway changed in the settings after the process started (flashcore server stop"
    assert note in project.must("status").err
    assert note in found
