"""A project of thirty endpoints of every shape: built, deployed, asked, and removed without a trace."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LONG = 400.0

DATA = """
from pathlib import Path

@q.function
def run(n: int):
    return Path(__file__).with_name("words.txt").read_text() * n
"""
BODIES = {
    "sync": ("@q.function\ndef run(n: int):\n    return n + 1\n", {"n": 1}, 2),
    "async": ("@q.function\nasync def run(n: int):\n    return [n]\n", {"n": 1}, [1]),
    "generator": ("@q.function\ndef run(n: int):\n    yield from range(n)\n", {"n": 2}, [0, 1]),
    "async-generator": (
        "@q.function\nasync def run(n: int):\n    for i in range(n):\n        yield i\n",
        {"n": 2},
        [0, 1],
    ),
    "class": ("@q.function\nclass Index:\n    def find(self, n: int):\n        return {'n': n}\n", {"n": 3}, {"n": 3}),
    "remote": ("from flashcore import remote\n@remote(q)\ndef run(n: int):\n    return n\n", {"n": 4}, 4),
    "data": (DATA, {"n": 2}, "wordword"),
}
PLACES = ["{name}.py", "03_workers/{name}-x.py", "pkg/{name}/__init__.py", "src/deep/{name}.py"]

Ask = tuple[str, str, Any, Any]
"""Endpoint, path, body (None: GET), and what comes back."""


def queue_files() -> Iterator[tuple[str, str, str, Any, Any]]:
    """Path, text, endpoint, arguments and result of twenty-four queues: each body, in different places."""
    for number in range(24):
        kind = [*BODIES][number % len(BODIES)]
        text, arguments, result = BODIES[kind]
        name = f"{kind}-{number}"
        path = PLACES[number % len(PLACES)].format(name=f"m{number}")
        yield path, f"from flashcore import QueueEndpoint\nq = QueueEndpoint('{name}')\n{text}", name, arguments, result


WEB = """
from flashcore import LoadBalancedEndpoint
from shared import GREETING
web = LoadBalancedEndpoint("web-{number}", max_concurrency=4)

@web.get("/items/{{item_id}}")
async def item(item_id: int, verbose: bool = False):
    return {{"id": item_id, "verbose": verbose, "greeting": GREETING}}

@web.post("/sum")
def total(numbers: list[int]):
    return sum(numbers)
"""
TWO = """
from kinds import Small
from flashcore import remote
both = Small("both")

@both.function
def first(n: int):
    return f"first {n}"

@remote(both)
async def second(n: int):
    return f"second {n}"
"""


def write(project: ProjectUnderTest) -> list[Ask]:
    """Write the project; returns what to ask it."""
    asks: list[Ask] = []
    for path, text, name, arguments, result in queue_files():
        project.write(path, text)
        if "data" in name:
            project.write(f"{path.rpartition('/')[0] or '.'}/words.txt", "word")
        asks.append((name, f"/v2/{name}/runsync", {"input": arguments}, result))
    for number in range(5):
        project.write(f"web{number}.py", WEB.format(number=number))
        found = {"id": number, "verbose": True, "greeting": "hello"}
        asks.append((f"web-{number}", f"/web-{number}/items/{number}?verbose=true", None, found))
        asks.append((f"web-{number}", f"/web-{number}/sum", [1, number], 1 + number))
    project.write("shared.py", "GREETING = 'hello'\n")
    project.write(
        "kinds.py", "from flashcore import QueueEndpoint\nclass Small(QueueEndpoint):\n    max_concurrency = 2\n"
    )
    project.write("two.py", TWO)
    for function in ("first", "second"):
        call = {"$flashcore": {"version": 1, "function": function, "arguments": {"kwargs": {"n": 1}}}}
        asks.append(("both", "/v2/both/runsync", {"input": call}, f"{function} 1"))
    return asks


def answer(project: ProjectUnderTest, ask: Ask) -> Any:
    """What the gateway answers."""
    _, path, body, _ = ask
    connection = http.client.HTTPConnection(project.url().removeprefix("http://"), timeout=60)
    try:
        data = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, data, {"Content-Type": "application/json"})
        found = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if not path.startswith("/v2/"):
        return found
    output = found.get("output", found)
    return output["$flashcore"]["value"] if isinstance(output, dict) and "$flashcore" in output else output


def test_thirty_endpoints_of_every_shape(project: ProjectUnderTest) -> None:
    """B02, B06, B31, B32: all of them answer as they were written, and nothing of them is left in the end."""
    asks = write(project)

    with project.start("deploy", "--timeout", str(LONG)) as deploying:
        out, err = deploying.communicate(timeout=LONG + 60)
    assert deploying.returncode == 0, f"{out}\n{err}\n{project.logs()}"

    deployed = project.must("status", "--json").json["deployments"]
    assert len(deployed) == 30
    assert {one["status"] for one in deployed} == {"ready"}
    wrong = {ask[0]: found for ask in asks if (found := answer(project, ask)) != ask[3]}
    assert wrong == {}

    with project.start("undeploy", "--all") as removing:
        out, err = removing.communicate(timeout=LONG)
    assert removing.returncode == 0, f"{out}\n{err}"
    assert project.must("status", "--json").json["deployments"] == []
    environment = project.root / ".flashcore" / "environments" / "production"
    assert not [*(environment / "replicas").glob("*")]
    project.must("server", "stop")
    assert project.processes() == []
