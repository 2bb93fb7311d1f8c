"""Files of the platform that somebody deleted: what is left does not stand in the way of what is new."""

from __future__ import annotations

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

    assert project.must("call", "hello", "--timeout", "20").out == "hello\n"
