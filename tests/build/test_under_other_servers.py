"""B32: generated handlers as they are under RunPod's SDK, and generated apps under any ASGI server.

The SDK wants a hundred packages, so that it has an environment of its own, made once and kept in `.cache/`.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.build.conftest import Project
from tests.build.test_handlers import unpack
from tests.ports import free_port

from flashcore.build.uv import uv_program
from flashcore.model.errors import BuildError

pytestmark = pytest.mark.slow

ProjectWriter = Callable[..., Project]

PACKAGES = ("runpod==1.12.0", "granian", "hypercorn")
START = 60.0

KINDS = {
    "sync": "def run(n: int = 2, **rest):\n    return {'sum': n + 1}\n",
    "async": "async def run(n: int = 2):\n    return [n] * 2\n",
    "generator": "def run(n: int = 2):\n    for i in range(n):\n        yield {'i': i}\n",
    "async-generator": "async def run(n: int = 2):\n    for i in range(n):\n        yield i\n",
    "class": "class Run:\n    def __init__(self, base: int = 10):\n        self.base = base\n"
    "    def add(self, n: int = 2):\n        return self.base + n\n",
    "several": "def run(n: int = 2):\n    return 'run'\n"
    "@q.function\nasync def other(n: int = 2):\n    return 'other'\n",
}
CALLS: dict[str, tuple[dict[str, Any], Any]] = {
    "sync": ({"n": 4}, {"sum": 5}),
    "async": ({"n": 4}, [4, 4]),
    "generator": ({"n": 2}, [{"i": 0}, {"i": 1}]),
    "async-generator": ({"n": 3}, [0, 1, 2]),
    "class": ({"n": 5}, 15),
    "several": ({"n": 1}, "other"),
}
"""By kind the plain arguments of a call, and what comes of it."""


def call(kind: str) -> dict[str, Any]:
    """A job's input: plain arguments, or an envelope where a function has to be chosen."""
    arguments = CALLS[kind][0]
    if kind != "several":
        return arguments
    return {"$flashcore": {"version": 1, "function": "other", "arguments": {"kwargs": arguments}}}


def plain(value: Any) -> Any:
    """The value in an envelope, or the value."""
    return value["$flashcore"]["value"] if isinstance(value, dict) and "$flashcore" in value else value


@pytest.fixture(scope="session")
def interpreter(repository: Path) -> Path:
    """A Python that has RunPod's SDK and other servers, and nothing of flashcore."""
    home = repository / ".cache" / f"runpod-1.12.0-{sys.version_info.major}.{sys.version_info.minor}"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        try:
            for arguments in (
                ["venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
                ["pip", "install", "--quiet", "--python", str(python), *PACKAGES],
            ):
                subprocess.run([uv_program(), *arguments], check=True, capture_output=True, text=True, timeout=300)
        except (BuildError, subprocess.SubprocessError) as error:
            shutil.rmtree(home, ignore_errors=True)
            pytest.skip(f"RunPod's SDK cannot be installed here: {error}")
        (home / "complete").touch()
    return python


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, registry: Any) -> dict[str, Path]:
    """The unpacked archives of one endpoint of each kind, as handlers."""
    made = Project(tmp_path_factory.mktemp("kinds") / "shop", registry)
    for kind, text in KINDS.items():
        made.write(
            f"{kind}.py", f"from flashcore import QueueEndpoint\nq = QueueEndpoint('{kind}')\n@q.function\n{text}"
        )
    made.write(
        "web.py",
        "from flashcore import LoadBalancedEndpoint\nweb = LoadBalancedEndpoint('web')\n"
        "@web.get('/items/{item_id}')\nasync def item(item_id: int, verbose: bool = False):\n"
        "    return {'id': item_id, 'verbose': verbose}\n"
        "@web.post('/sum')\ndef total(numbers: list[int]):\n    return sum(numbers)\n",
    )
    return {kind: unpack(made, kind, tmp_path_factory.mktemp(kind)) for kind in (*KINDS, "web")}


def environment() -> dict[str, str]:
    """Nothing of this process but where programs are; the SDK's own checks of the machine are not what is tried."""
    skip = {"RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true", "RUNPOD_SKIP_GPU_CHECK": "true"}
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONUNBUFFERED": "1", **skip}


@contextmanager
def serving(command: list[str], folder: Path, port: int) -> Iterator[str]:
    """Run a server until it listens; gives its address."""
    log = folder.parent / f"{folder.name}-{port}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=output) as process,
    ):
        try:
            deadline = time.monotonic() + START
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(START)


def ask(url: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON document of an answer."""
    connection = http.client.HTTPConnection(url, timeout=START)
    try:
        data = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None
    finally:
        connection.close()


def test_handlers_of_every_kind_run_in_the_sdks_local_test_mode(interpreter: Path, folders: dict[str, Path]) -> None:
    """B32: `python handler_NAME.py --test_input '{...}'`, unmodified; it runs one job and ends."""
    with ThreadPoolExecutor() as threads:
        done = dict(
            zip(KINDS, threads.map(lambda kind: in_test_mode(interpreter, folders[kind], kind), KINDS), strict=True)
        )

    for kind, (status, said) in done.items():
        assert status == 0, f"{kind}: {said}"
        assert "error" not in said.lower().replace("error_", ""), f"{kind}: {said}"


def in_test_mode(interpreter: Path, handler: Path, kind: str) -> tuple[int, str]:
    """Exit status and output of the handler with one job."""
    done = subprocess.run(
        [str(interpreter), handler.name, "--test_input", json.dumps({"id": "t", "input": call(kind)})],
        cwd=handler.parent,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=START,
    )
    return done.returncode, done.stdout + done.stderr


def test_handlers_of_every_kind_run_behind_the_sdks_local_server(interpreter: Path, folders: dict[str, Path]) -> None:
    """B32: `--rp_serve_api`, with the results that callers expect; a generator's all together."""
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        started = threads.map(lambda kind: stack.enter_context(behind_the_sdk(interpreter, folders[kind])), KINDS)
        urls = dict(zip(KINDS, started, strict=True))
        answers = {kind: ask(url, "/runsync", {"input": call(kind)}) for kind, url in urls.items()}
        _, failed = ask(urls["async"], "/runsync", {"input": {"m": 1}})

    for kind, (status, answer) in answers.items():
        assert (status, answer["status"]) == (200, "COMPLETED"), (kind, answer)
        output = [plain(one) for one in answer["output"]] if "generator" in kind else plain(answer["output"])
        assert output == CALLS[kind][1]
    assert failed["status"] == "FAILED"
    assert "unexpected keyword argument 'm'" in failed["error"]


def behind_the_sdk(interpreter: Path, handler: Path) -> AbstractContextManager[str]:
    """The SDK's local server with this handler."""
    port = free_port()
    words = [handler.name, "--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", str(port)]
    return serving([str(interpreter), *words], handler.parent, port)


SERVERS = {
    "uvicorn": ["-m", "uvicorn", "handler_web:app", "--host", "127.0.0.1", "--port", "{port}"],
    "granian": ["-m", "granian", "--interface", "asgi", "handler_web:app", "--host", "127.0.0.1", "--port", "{port}"],
    "hypercorn": ["-m", "hypercorn", "handler_web:app", "--bind", "127.0.0.1:{port}"],
}


@pytest.mark.parametrize("server", SERVERS)
def test_the_app_runs_under_any_asgi_server(interpreter: Path, folders: dict[str, Path], server: str) -> None:
    """B32: as `handler_NAME:app`; paths, queries and bodies arrive, mistakes are 422, `/ping` answers."""
    handler, port = folders["web"], free_port()
    command = [str(interpreter), *(word.format(port=port) for word in SERVERS[server])]

    with serving(command, handler.parent, port) as url:
        assert ask(url, "/items/3?verbose=true") == (200, {"id": 3, "verbose": True})
        assert ask(url, "/sum", [1, 2, 3]) == (200, 6)
        assert ask(url, "/items/three")[0] == 422
        assert ask(url, "/execute", {})[0] == 404
        assert ask(url, "/ping")[0] in (200, 204)
