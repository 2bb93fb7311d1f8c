"""An endpoint whose replicas run a script; this one speaks as RunPod's package does, and needs nothing installed."""

from __future__ import annotations

import pytest
from tests.worker.test_script_replica import SCRIPT

from flashcore.testing.project import ProjectUnderTest

APP = """
    from flashcore import ScriptEndpoint

    shop = ScriptEndpoint("shop", script="jobs/worker.py", replicas=1)
"""


@pytest.mark.slow
def test_a_script_is_deployed_called_and_changed(project: ProjectUnderTest) -> None:
    """Q-C1: a change of the script is a new revision; its jobs have any input."""
    project.write("app.py", APP)
    project.write("jobs/worker.py", SCRIPT)
    project.must("deploy")
    first = project.must("call", "shop", "--input", '{"output": [1, "ä"]}').out
    again = project.must("call", "shop", '{"output": 2}').out
    failed = project.run("call", "shop", "--input", '{"error": "no such model"}')
    project.write("jobs/worker.py", SCRIPT.replace("return asked", 'return {"output": "new"}'))
    project.must("deploy")

    assert (first, again) == ('[1, "ä"]\n', "2\n")
    assert (failed.code != 0, "no such model" in failed.err) == (True, True)
    assert project.must("call", "shop", "--input", "{}").out == "new\n"


def test_what_is_wrong_with_a_declaration_is_said(project: ProjectUnderTest) -> None:
    """B03, B22: a script that is not there, settings that are the script's own, a script where functions are served."""
    project.write(
        "app.py",
        """
        from flashcore import QueueEndpoint, ScriptEndpoint

        lost = ScriptEndpoint("lost", script="lost.py", max_concurrency=3)
        none = ScriptEndpoint("none")
        both = QueueEndpoint("both", script="app.py")

        @both.function
        def f() -> int:
            return 1
        """,
    )
    said = project.run("build").err

    for problem in (
        "its script 'lost.py' is no file of the project",
        "the script's own concurrency_modifier decides that",
        "it has no script",
        "a script is run by a ScriptEndpoint",
    ):
        assert problem in said
