"""A project is declared, built, deployed, called, changed, scaled and removed, every part real."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
from flashcore import LoadBalancedEndpoint, QueueEndpoint, Rolling, remote

VERSION = {version}

hello = QueueEndpoint("hello", replicas=2, max_concurrency=4, strategy=Rolling(max_surge=1, max_unavailable=0))
tools = QueueEndpoint("tools", max_concurrency=2)
api = LoadBalancedEndpoint("web", replicas=2)


@hello.function
def greet(name: str = "world") -> str:
    print("greeting", name)
    return f"hello {{name}} from version {{VERSION}}"


@tools.function
async def add(a: int, b: int) -> int:
    return a + b


@tools.function
def fail(message: str) -> None:
    raise ValueError(message)


@remote(tools)
class Counter:
    def __init__(self) -> None:
        self.count = 0

    def increase(self) -> int:
        self.count += 1
        return self.count


@api.get("/items/{{item_id}}")
def item(item_id: int) -> dict:
    return {{"item": item_id, "greeting": greet.remote(name=f"item {{item_id}}"), "version": VERSION}}
"""


def get(url: str) -> Any:
    """The JSON answer of a GET."""
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 - only this machine is asked
        return json.load(response)


def post(url: str, body: Any) -> Any:
    """The JSON answer of a POST."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310 - only this machine is asked
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - only this machine is asked
        return json.load(response)


def wait_until(condition: Callable[[], bool]) -> None:
    """Fail unless it comes true soon."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_function_is_served_and_removed_without_a_trace(project: ProjectUnderTest) -> None:
    """The whole way, once: deploy, call in every manner, look, scale, undeploy."""
    project.write("app.py", APP.format(version=1))

    deployed = project.must("deploy", "--json").json

    assert {one["endpoint"]: one["status"] for one in deployed["deployments"]} == {
        "hello": "ready",
        "tools": "ready",
        "web": "ready",
    }
    assert project.must("call", "hello").out == "hello world from version 1\n"
    assert project.must("call", "tools", "add", "[1, 2]").out == "3\n"
    assert [project.must("call", "tools", "Counter.increase").out for _ in range(2)] == ["1\n", "2\n"]
    assert get(f"{project.url()}/web/items/7") == {"item": 7, "greeting": "hello item 7 from version 1", "version": 1}
    answer = post(f"{project.url()}/v2/hello/runsync", {"input": {"name": "curl"}})
    assert (answer["status"], answer["output"]) == ("COMPLETED", "hello curl from version 1")

    failed = project.run("call", "tools", "fail", '{"message": "no such thing"}')
    assert failed.code == 1
    assert "ValueError: no such thing" in failed.err
    assert "app.py" in failed.err
    unknown = project.run("call", "helo")
    assert (unknown.code, "deployed: hello, tools, web" in unknown.err) == (1, True)
    assert "greeting curl" in project.must("logs", "hello").out

    project.must("scale", "tools", "1")
    assert "2 of 2 ready" in project.must("scale", "hello", "auto").err
    status = project.must("status", "hello", "--json").json
    assert (status["ready"], len(status["replicas"])) == (2, 2)

    project.must("undeploy", "--all", "--force")
    assert project.must("status", "--json").json["deployments"] == []
    assert "greeting curl" in project.must("logs", "hello").out
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(f"{project.url()}/web/items/7")
    with refused.value as answered:
        assert answered.code == 404
    assert project.running("flashcore.worker") + project.running("flashcore.worker.warm") == []
    assert list((project.root / ".flashcore/environments/production/replicas").iterdir()) == []


def test_a_rolling_update_drops_no_call(project: ProjectUnderTest) -> None:
    """While callers go on, version 2 takes over from version 1: every call is answered."""
    project.write("app.py", APP.format(version=1))
    project.must("deploy")
    url, stop = project.url(), threading.Event()
    answers: Counter[str] = Counter()

    def call_on() -> None:
        while not stop.is_set():
            try:
                answers[f"api {get(f'{url}/web/items/1')['version']}"] += 1
                answers[post(f"{url}/v2/hello/runsync", {"input": {}})["output"]] += 1
            except (OSError, KeyError) as error:
                answers[f"failed: {error!r}"] += 1

    callers = [threading.Thread(target=call_on) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        wait_until(lambda: len(answers) == 2)
        project.write("app.py", APP.format(version=2))
        project.must("deploy")
        seen_after = answers.total()
        wait_until(lambda: answers.total() >= seen_after + 20)
    finally:
        stop.set()
        for caller in callers:
            caller.join()

    assert not [answer for answer in answers if answer.startswith("failed")], answers
    assert {"api 1", "api 2", "hello world from version 1", "hello world from version 2"} == set(answers), answers


def test_m66_the_same_code_again_changes_nothing(project: ProjectUnderTest) -> None:
    """M66: an identical deploy makes no revision and touches no replica."""
    project.write("app.py", APP.format(version=1))
    project.must("deploy")
    before = [one["id"] for one in project.must("status", "hello", "--json").json["replicas"]]

    again = project.must("deploy", "--json").json

    assert {one["change"] for one in again["endpoints"]} == {"unchanged"}
    assert [one["id"] for one in project.must("status", "hello", "--json").json["replicas"]] == before


def test_e52_a_killed_replica_is_replaced(project: ProjectUnderTest) -> None:
    """E52: what dies by itself comes back, and the endpoint is whole again."""
    project.write("app.py", APP.format(version=1))
    project.must("deploy")
    workers = project.running("flashcore.worker")

    victim = next(one for one in workers if one.environ().get("FLASHCORE_ENDPOINT") == "hello")
    lost = victim.environ()["FLASHCORE_REPLICA"]
    victim.kill()

    deadline = time.monotonic() + 60
    status = project.must("status", "hello", "--json").json
    while status["ready"] < 2 or lost in json.dumps(status["replicas"]):
        assert time.monotonic() < deadline, status
        status = project.must("status", "hello", "--json").json
    assert status["status"] == "ready"
    assert project.must("call", "hello").out == "hello world from version 1\n"


def test_the_gateway_goes_on_when_the_control_plane_is_killed(project: ProjectUnderTest) -> None:
    """Calls are answered without a control plane, and the next command brings it back with nothing lost."""
    project.write("app.py", APP.format(version=1))
    project.must("deploy")
    before = [one["id"] for one in project.must("status", "hello", "--json").json["replicas"]]
    control = project.running("flashcore.server")[0]

    control.kill()
    control.wait(60)

    assert get(f"{project.url()}/web/items/3")["item"] == 3
    project.must("server", "start")
    status = project.must("status", "hello", "--json").json
    assert [one["id"] for one in status["replicas"]] == before
    assert project.must("call", "hello").out == "hello world from version 1\n"


def test_what_is_deployed_comes_back_after_a_stop(project: ProjectUnderTest) -> None:
    """Stopping ends every process; starting brings the endpoints back."""
    project.write("app.py", APP.format(version=1))
    project.must("deploy")

    project.must("server", "stop")
    assert project.processes() == []

    project.must("server", "start")
    deadline = time.monotonic() + 60
    while project.must("status", "hello", "--json").json["ready"] < 2 and time.monotonic() < deadline:
        pass
    assert project.must("call", "hello").out == "hello world from version 1\n"
