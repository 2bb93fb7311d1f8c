"""The generated handlers: read, checked, and run from an unpacked archive in a process of their own."""

import ast
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.build.conftest import Project

from flashcore.builtin.queue_handler import QueueHandlerGenerator
from flashcore.hookspecs.handlers import HandlerGenerator
from flashcore.model.declaration import Declaration

ProjectWriter = Callable[..., Project]

FILES: dict[str, str | bytes] = {
    "03_workers/a-b.py": """
    import helper
    from flashcore import QueueEndpoint, remote
    odd = QueueEndpoint("odd-one", max_concurrency=4)

    @odd.function
    def add(a: int, b: int = 2, *rest: int, c: int = 0) -> int:
        return helper.total(a, b, *rest, c)

    @odd.function
    async def fail() -> None:
        raise KeyError("lost")

    @remote(odd)
    class Counter:
        made = 0
        def __init__(self, start: int = 10):
            Counter.made += 1
            self.value = start
        def up(self, by: int = 1) -> dict:
            self.value += by
            return {"value": self.value, "made": Counter.made}
    """,
    "03_workers/helper.py": "def total(*numbers):\n    return sum(numbers)\n",
    "pkg/__init__.py": "",
    "pkg/web.py": """
    from flashcore import LoadBalancedEndpoint
    web = LoadBalancedEndpoint("web")

    @web.get("/items/{item_id}")
    async def item(item_id: int, verbose: bool = False) -> dict:
        return {"id": item_id, "verbose": verbose}

    @web.get("/items/latest")
    def latest() -> dict:
        return {"id": "latest"}
    """,
}


def unpack(made: Project, name: str, where: Path) -> Path:
    """Build, and unpack an endpoint's archive as a provider does; returns the handler's path."""
    result = made.build()
    entry = result.manifest.endpoint(name)
    assert entry is not None
    with tarfile.open(result.artifacts[entry.artifact]) as archive:
        archive.extractall(where, filter="data")
    return where / entry.handler


def run(code: str, folder: Path) -> Any:
    """Run code in the unpacked archive, which is all of the project and of flashcore that it sees; returns its JSON."""
    isolated = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder.parent, env=isolated, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


CALLS = """
import asyncio, json, flashcore, handler_odd_one
from flashcore.wire.envelope import Arguments, Call, wrap_call

def call(value):
    return asyncio.run(handler_odd_one.handler({"id": "1", "input": value}))

answers = [
    call(wrap_call(Call("add", arguments=Arguments((1,), {"c": 5})))),
    call(wrap_call(Call("add", arguments=Arguments((1, 2, 3, 4))))),
    call(wrap_call(Call("Counter", "up", Arguments((5,))))),
    call(wrap_call(Call("Counter", "up"))),
    call(wrap_call(Call("Counter", "up", constructor=Arguments((100,))))),
]
values = [answer["$flashcore"]["value"] for answer in answers]
failures = [json.loads(call(wrap_call(one))["error"]) for one in (
    Call("fail"), Call("add"), Call("add", arguments=Arguments((1,), {"d": 1}))
)]
print(json.dumps({
    "values": values,
    "failures": [[one["error_type"], one["error_message"]] for one in failures],
    "from": flashcore.__file__,
}))
"""


def test_b31_b35_b36_the_archive_serves_functions_and_classes(project: ProjectWriter, tmp_path: Path) -> None:
    """B31, B35, B36: from a path that Python could not import; arguments as in Python; classes made once."""
    handler = unpack(project(FILES), "odd-one", tmp_path / "unpacked")

    answer = run(CALLS, handler.parent)

    assert answer["from"] == str(handler.parent / "flashcore" / "__init__.py")
    assert answer["values"] == [
        8,
        10,
        {"value": 15, "made": 1},
        {"value": 16, "made": 1},
        {"value": 101, "made": 2},
    ]
    assert answer["failures"][0] == ["KeyError", "'lost'"]
    assert answer["failures"][1][0] == "TypeError"
    assert "missing 1 required positional argument: 'a'" in answer["failures"][1][1]
    assert "unexpected keyword argument 'd'" in answer["failures"][2][1]


RUNPOD = '''
"""As much of RunPod's SDK as a handler sees: start() is given the handler, and calls it with one job."""
import asyncio, inspect, json, os
class serverless:
    @staticmethod
    def start(config):
        handler = config["handler"]
        assert config["concurrency_modifier"](1) == 4
        job = {"id": "j", "input": json.loads(os.environ["JOB"])}
        assert not inspect.isasyncgenfunction(handler) and inspect.iscoroutinefunction(handler)
        print(json.dumps(asyncio.run(handler(job))))
'''


@pytest.mark.parametrize(
    ("job", "output"),
    [
        ({"$flashcore": {"version": 1, "function": "add", "arguments": {"args": [1]}}}, 3),
        ({"$flashcore": {"version": 1, "function": "Counter", "method": "up"}}, {"value": 11, "made": 1}),
    ],
)
def test_b32_the_queue_handler_runs_under_runpods_start(
    project: ProjectWriter, tmp_path: Path, job: Any, output: Any
) -> None:
    """B32: as a script, as it is: `python handler_odd_one.py`."""
    handler = unpack(project(FILES), "odd-one", tmp_path / "unpacked")
    sdk = tmp_path / "sdk"
    (sdk / "runpod").mkdir(parents=True)
    (sdk / "runpod" / "__init__.py").write_text(RUNPOD)

    done = subprocess.run(
        [sys.executable, str(handler)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(sdk), "JOB": json.dumps(job)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"$flashcore": {"version": 1, "value": output}}


REQUESTS = """
import json
from fastapi.testclient import TestClient
import handler_web
client = TestClient(handler_web.app)
print(json.dumps([client.get(p).json() for p in ("/items/3?verbose=true", "/items/latest")]
    + [client.get(p).status_code for p in ("/ping", "/execute")]))
"""


def test_b32_the_app_runs_under_any_asgi_server(project: ProjectWriter, tmp_path: Path) -> None:
    """B32, B37: a fixed path comes before a placeholder, whatever comes first; `/execute` is not there."""
    handler = unpack(project(FILES), "web", tmp_path / "unpacked")

    assert run(REQUESTS, handler.parent) == [{"id": 3, "verbose": True}, {"id": "latest"}, 200, 404]


def test_b30_handlers_are_short_valid_and_the_same_each_time(project: ProjectWriter) -> None:
    """B30: they parse, pass the linter, import nothing of the build, and hold no address of this machine."""
    made = project(FILES)
    first = made.build()
    texts = {path.name: path.read_text() for path in first.directory.glob("handler_*")}
    second = made.build()

    assert texts == {path.name: path.read_text() for path in second.directory.glob("handler_*")}
    for name, text in texts.items():
        assert str(made.root) not in text
        if name.endswith(".py"):
            assert len(text.splitlines()) <= 30
            modules = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
            assert {module for module in modules if module and module.startswith("flashcore")} <= {
                "flashcore.worker.handler",
                "flashcore.worker.lb",
                "flashcore.worker.load",
            }
    linted = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,I,W", "--line-length", "120", "."],
        cwd=first.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_b30_no_two_endpoints_have_one_handler() -> None:
    """B30: the name of the file says which endpoint it is, and is a module's name."""
    names = ["a-b", "ab", "a-b-c", "a1"]
    made = {QueueHandlerGenerator().generate(Declaration(name, "queue"), ()).entry for name in names}

    assert len(made) == len(names)
    assert all(entry.removesuffix(".py").isidentifier() for entry in made)


def test_b30_a_file_of_the_users_is_never_replaced_by_a_handler(project: ProjectWriter) -> None:
    """B30: it is named instead."""
    made = project({**FILES, "handler_web.py": "mine = 1\n"})

    assert "handler_web.py: the handler of 'web' gets this name" in made.refusal()


@pytest.mark.parametrize("name", ["queue", "load_balanced"])
def test_generators_say_what_they_need_beside_the_users_requirements(project: ProjectWriter, name: str) -> None:
    """And it stands beside the handler, for who installs."""
    made = project(FILES)
    generator: HandlerGenerator = made.registry.handler_generators.factory(name)()
    endpoint = {"queue": "odd-one", "load_balanced": "web"}[name]
    result = made.build()
    entry = result.manifest.endpoint(endpoint)
    assert entry is not None

    listed = json.loads((result.directory / entry.handler).with_suffix(".json").read_text())

    assert listed["requirements"] == sorted(generator.requirements())


def test_b30_a_generator_may_write_into_a_folder(project: ProjectWriter, tmp_path: Path) -> None:
    """B30: its files are shown with the build as they are in the archive; no build could be written."""
    made = project(
        {
            "app.py": """
            from flashcore_acme import SiteEndpoint
            shop = SiteEndpoint("shop")

            @shop.function
            def buy() -> None: ...
            """
        }
    )

    handler = unpack(made, "shop", tmp_path / "unpacked")

    for folder in (handler.parent, made.build().directory):
        assert (folder / "handler_shop/pages/start.html").read_text() == "<p>Welcome</p>"
