"""A rollout that waits for a person: the preview serves nobody until it is promoted, and an abort leaves no trace."""

from __future__ import annotations

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

    assert waiting["status"] == "awaiting_promotion"
    assert {project.must("call", "hello").out for _ in range(4)} == {"version 1\n"}
    project.must("rollout", "promote", "hello")
    assert {project.must("call", "hello").out for _ in range(4)} == {"version 2\n"}


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
