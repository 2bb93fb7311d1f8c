"""What hangs: a function that never ends costs its replica and not its endpoint, a gateway is told of."""

from __future__ import annotations

import json
import os
import signal

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

APP = """
import time

from flashcore import LoadBalancedEndpoint, QueueEndpoint

jobs = QueueEndpoint("jobs", execution_timeout=1)
web = LoadBalancedEndpoint("web", execution_timeout=1)


@jobs.function
def work(hang: bool = False) -> str:
    while hang:
        time.sleep(0.1)
    return "done"


@web.get("/hang")
def hang() -> None:
    while True:
        time.sleep(0.1)


@web.get("/quick")
def quick() -> str:
    return "done"
"""


def test_a_plain_function_that_never_ends_has_its_replica_replaced(project: ProjectUnderTest) -> None:
    """Q22: one call for each slot, and the endpoint was ready, healthy, and answered nobody any more."""
    project.write("app.py", APP)
    project.must("deploy")

    late = project.run("call", "jobs", '{"hang": true}')
    unanswered = project.run("call", "web", "/hang")
    again = project.must("call", "jobs", "--timeout", "80")
    while (answer := project.run("call", "web", "/quick", "--timeout", "60")).code:
        assert "did not answer in time" in answer.err or "No replica of web is ready" in answer.err

    assert "ran out of time" in late.err
    assert "did not answer in time" in unanswered.err
    assert (again.out, answer.out) == ("done\n", "done\n")
    for name in ("jobs", "web"):
        assert "past" in (why := project.must("why", name).out)
        assert "and cannot be interrupted" in why


def test_a_gateway_that_hangs_is_told_of_by_the_status(project: ProjectUnderTest) -> None:
    """All was said to be ready, and every call waited; it goes on where it was once it runs again."""
    project.write("app.py", APP)
    project.must("deploy")
    gateway = json.loads((project.root / ".flashcore/environments/production/gateway.json").read_text())["pid"]

    os.kill(gateway, signal.SIGSTOP)
    try:
        hanging = project.must("status")
    finally:
        os.kill(gateway, signal.SIGCONT)

    assert f"the gateway (pid {gateway}) does not answer" in hanging.err
    assert project.must("call", "jobs").out == "done\n"
    assert "does not answer" not in project.must("status").err
