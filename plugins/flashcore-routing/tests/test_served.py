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
from flashcore_routing import First, PrefixHash

filled = LoadBalancedEndpoint("filled", replicas=3, routing=First())
spread = LoadBalancedEndpoint("spread", replicas=3, routing="random")
prompted = LoadBalancedEndpoint("prompted", replicas=3, routing=PrefixHash(characters=8))


@filled.get("/who")
def who() -> int:
    return os.getpid()


@spread.get("/who")
def which() -> int:
    return os.getpid()


@prompted.post("/who")
def whose(body: dict[str, str]) -> int:
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


def served_by(project: ProjectUnderTest, endpoint: str, body: object = None) -> int:
    """The process that answers a request."""
    request = urllib.request.Request(  # noqa: S310 - our own gateway
        f"{project.url()}/{endpoint}/who",
        None if body is None else json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own gateway
        return int(json.load(answer))


def test_each_endpoint_is_routed_as_it_says(project: ProjectUnderTest) -> None:
    """One request at a time fills one replica, where chance uses all three."""
    assert len({served_by(project, "filled") for _ in range(20)}) == 1
    assert len({served_by(project, "spread") for _ in range(60)}) == 3


def test_prompts_that_begin_alike_are_served_by_one_process(project: ProjectUnderTest) -> None:
    """The gateway reads the body's start before it chooses; what comes behind the beginning does not count."""
    alike = {served_by(project, "prompted", {"prompt": f"You are a helpful assistant. {tail}"}) for tail in range(20)}
    unlike = {served_by(project, "prompted", {"prompt": f"{head:08} is where it begins"}) for head in range(60)}

    assert (len(alike), len(unlike)) == (1, 3)
