"""What Python warns of in one version is gone in a later one: nothing that a platform does makes it warn."""

from __future__ import annotations

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
from collections.abc import Iterator

from flashcore import LoadBalancedEndpoint, QueueEndpoint

VERSION = {version}

jobs = QueueEndpoint("jobs")
cold = QueueEndpoint("cold", warm=False)
web = LoadBalancedEndpoint("web")


@jobs.function
def count(to: int) -> Iterator[int]:
    yield from range(to)


@cold.function
async def version() -> int:
    return VERSION


@web.get("/version")
async def web_version() -> int:
    return await version()
"""
UNWELCOME = ("Exception ignored in", "Warning")


def test_a_platform_works_with_every_warning_an_error(project: ProjectUnderTest) -> None:
    """In commands, in the control plane, in the gateway, in replicas that are forked or spawned."""
    project.environment = {"PYTHONWARNINGS": "error"}
    said = []
    for version in (1, 2):
        project.write("app.py", APP.format(version=version))
        said.append(project.must("deploy").err)

        assert project.must("call", "jobs", "count", '{"to": 3}').out == "[0, 1, 2]\n"
        assert project.must("call", "web", "/version").out == f"{version}\n"

    last = (("status",), ("why", "web"), ("logs", "web"), ("rollout", "undo", "web"), ("server", "stop"))
    said.extend(project.must(*command).err for command in last)
    shown = "".join([*said, project.logs()])
    assert [line for line in shown.splitlines() if any(word in line for word in UNWELCOME)] == []
