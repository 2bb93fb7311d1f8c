"""Two people at once: each is told the truth about what came of their command."""

from __future__ import annotations

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NEVER_STARTS = """
import time

from flashcore import QueueEndpoint

hello = QueueEndpoint("hello")
while True:
    time.sleep(1)


@hello.function
def greet() -> str:
    return "hello"
"""


def test_who_deploys_is_told_that_it_was_taken_down_meanwhile(project: ProjectUnderTest) -> None:
    """A deploy whose endpoint somebody else removes has not succeeded."""
    project.write("app.py", NEVER_STARTS)
    project.must("server", "start")

    with project.start("deploy") as deploying:
        assert deploying.stderr is not None
        said = next(line for line in deploying.stderr if "warming up" in line)
        project.must("undeploy", "hello")
        _, rest = deploying.communicate(timeout=60)

    assert "hello" in said
    assert deploying.returncode == 1
    assert "hello: taken down while it was waited for" in rest
