"""A rollout that waits for a person: the preview serves nobody until it is promoted, and an abort leaves no trace."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
from flashcore import BlueGreen, QueueEndpoint

hello = QueueEndpoint("hello", replicas=2, strategy=BlueGreen(auto_promote=False))


@hello.function
def greet() -> str:
    return "version {version}"
"""


def test_e21_a_promotion_waits_for_a_person_and_moves_everything_at_once(project: ProjectUnderTest) -> None:
    """E21, E20: the deploy ends with the question, the old version serves, and one command moves the traffic."""
    project.write("app.py", APP.format(version=1))
    project.must("deploy")
    project.write("app.py", APP.format(version=2))

    waiting = project.must("deploy", "--json").json["deployments"][0]

    assert (waiting["status"], waiting["preview"]) == ("awaiting_promotion", "/v2/hello--preview")
    assert {project.must("call", "hello").out for _ in range(4)} == {"version 1\n"}
    assert project.must("call", "hello--preview").out == "version 2\n"
    project.must("rollout", "promote", "hello")
    assert {project.must("call", "hello").out for _ in range(4)} == {"version 2\n"}


def test_whatever_waits_for_a_person_has_not_failed(project: ProjectUnderTest) -> None:
    """A deploy, an undo and a look at either exit alike: there is nothing more for a script to wait for."""
    project.write("app.py", APP.format(version=1))
    project.must("deploy")
    project.write("app.py", APP.format(version=2))
    project.must("deploy")
    project.must("rollout", "status", "hello", "--follow")
    project.must("rollout", "promote", "hello")

    undone = project.must("rollout", "undo", "hello", "--json").json["deployments"][0]

    assert undone["status"] == "awaiting_promotion"
    project.must("rollout", "promote", "hello")
    assert project.must("call", "hello").out == "version 1\n"


def test_an_aborted_rollout_leaves_the_old_version_alone(project: ProjectUnderTest) -> None:
    """After an abort nothing of the new version is left, and a second abort is refused."""
    project.write("app.py", APP.format(version=1))
    project.must("deploy")
    project.write("app.py", APP.format(version=2))
    project.must("deploy")

    project.must("rollout", "abort", "hello")

    status = project.must("status", "hello", "--json").json
    assert (status["status"], len(status["replicas"])) == ("ready", 2)
    assert project.must("call", "hello").out == "version 1\n"
    assert project.run("rollout", "abort", "hello").code == 1


def test_a_promotion_that_another_gate_holds_says_so_at_once(project: ProjectUnderTest) -> None:
    """The person learns what is still waited for, instead of waiting with it."""
    project.write(
        "flashcore_plugins.py",
        """
        from flashcore.hookspecs.gates import Hold
        from flashcore.plugin import Part, hookimpl


        class Never:
            def verdict(self, view):
                return Hold("the moon is not full")


        @hookimpl
        def flashcore_gates():
            return {"never": Part("flashcore_plugins:Never", "Holds for ever")}
        """,
    )
    gated = APP.replace("BlueGreen(auto_promote=False))", "BlueGreen(), gates={{'promotion': ['never']}})")
    project.write("app.py", gated.format(version=1))
    project.must("deploy")
    project.write("app.py", gated.format(version=2))
    project.must("deploy")

    held = project.run("rollout", "promote", "hello")

    assert held.code == 1
    assert "the moon is not full" in held.err
    assert project.must("call", "hello").out == "version 1\n"


def test_a_gate_that_measures_sees_what_the_preview_answered(project: ProjectUnderTest) -> None:
    """Calls of the preview are counted, and the rollout goes on by itself when there were enough of them."""
    project.write(
        "flashcore_plugins.py",
        """
        from flashcore.hookspecs.gates import Hold, Pass
        from flashcore.plugin import Part, hookimpl


        class Tried:
            def verdict(self, view):
                seen = 0 if view.target_signals is None else view.target_signals.requests
                return Pass() if seen >= 3 else Hold(f"{seen} of 3 calls were seen")


        @hookimpl
        def flashcore_gates():
            return {"tried": Part("flashcore_plugins:Tried", "Waits for three calls")}
        """,
    )
    gated = APP.replace("BlueGreen(auto_promote=False))", "BlueGreen(), gates={{'promotion': ['tried']}})")
    project.write("app.py", gated.format(version=1))
    project.must("deploy")
    project.write("app.py", gated.format(version=2))
    waiting = project.must("deploy", "--json").json["deployments"][0]
    assert waiting["reason"].startswith("0 of 3"), waiting["reason"]

    answers = [post(f"{project.url()}/v2/hello--preview/runsync", {"input": {}})["output"] for _ in range(3)]

    assert answers == ["version 2"] * 3
    deadline = time.monotonic() + 60
    while project.must("status", "hello", "--json").json["status"] != "ready":
        assert time.monotonic() < deadline
    assert project.must("call", "hello").out == "version 2\n"


def post(url: str, body: Any) -> Any:
    """The JSON answer of a POST."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310 - only this machine is asked
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - only this machine is asked
        return json.load(response)
