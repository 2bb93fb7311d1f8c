"""A policy of the package in a declaration, on a real platform: built without it, resolved by the gateway, applied."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

APP = """
import os

from flashcore import LoadBalancedEndpoint
from flashcore_routing import First

filled = LoadBalancedEndpoint("filled", replicas=3, routing=First())
spread = LoadBalancedEndpoint("spread", replicas=3, routing="random")


@filled.get("/who")
def who() -> int:
    return os.getpid()


@spread.get("/who")
def which() -> int:
    return os.getpid()
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ProjectUnderTest]:
    """The app, deployed; nothing of it is left running."""
    under_test = ProjectUnderTest(tmp_path / "shop")
    under_test.write("flashcore.toml", 'app = "shop"\n')
    under_test.write("app.py", APP)
    under_test.must("deploy")
    yield under_test
    under_test.run("server", "stop")
    left = under_test.processes()
    for process in left:
        process.kill()
    assert left == []


def served_by(project: ProjectUnderTest, endpoint: str) -> int:
    """The process that answers a request."""
    with urllib.request.urlopen(f"{project.url()}/{endpoint}/who", timeout=30) as answer:  # noqa: S310 - our own gateway
        return int(json.load(answer))


def test_each_endpoint_is_routed_as_it_says(project: ProjectUnderTest) -> None:
    """One request at a time fills one replica, where chance uses all three."""
    assert len({served_by(project, "filled") for _ in range(20)}) == 1
    assert len({served_by(project, "spread") for _ in range(60)}) == 3
