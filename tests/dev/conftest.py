"""A session of `flashcore dev`, as somebody has it who works on a project."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flashcore.testing.project import ProjectUnderTest

WITHIN = 90.0
"""Seconds: far more than anything takes here, on a machine that has much else to do."""

APP = """
import time
from dataclasses import dataclass
from pathlib import Path

from flashcore import LoadBalancedEndpoint, QueueEndpoint

jobs = QueueEndpoint("jobs", replicas=(0, 3), max_concurrency=4)
web = LoadBalancedEndpoint("web", replicas=2)


@jobs.function
def greet(name: str = "world") -> str:
    print("greeting", name)
    return f"Hello, {name}!"


def waited(begun: str, until: str) -> str:
    Path(begun).touch()
    while not Path(until).exists():
        time.sleep(0.01)
    return "old"


@jobs.function
def wait(begun: str, until: str) -> str:
    return waited(begun, until)


@jobs.function
def shapes() -> dict[str, object]:
    return {"tuple": (1, 2), "bytes": b"x", "set": {3}}


@dataclass
class Point:
    x: int


@jobs.function
def point() -> Point:
    return Point(1)


@jobs.function
def fail() -> None:
    raise ValueError("no such luck")


@web.get("/hello")
def hello() -> dict[str, str]:
    return {"hello": "world"}


@web.get("/wait")
def wait_too(begun: str, until: str) -> str:
    return waited(begun, until)


@web.get("/fail")
def fail_too() -> None:
    raise ValueError("no such luck either")
"""


class DevUnderTest:
    """A running `flashcore dev --json`, with all that it has said."""

    def __init__(self, project: ProjectUnderTest, *options: str) -> None:
        self.project = project
        self.said: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self.process = project.start("dev", "--json", "--port", "0", *options)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.said.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def heard(self, kind: str, wanted: Callable[[dict[str, Any]], bool] = bool, since: int = 0) -> dict[str, Any]:
        """The first thing of that kind that is as wanted, waited for."""

        def found() -> dict[str, Any] | None:
            return next((one for one in self.said[since:] if one["kind"] == kind and wanted(one)), None)

        with self._news:
            self._news.wait_for(lambda: found() or self.process.poll() is not None, timeout=WITHIN)
            answer = found()
        if answer is None:
            raise AssertionError(f"never said: {kind}\n" + "\n".join(map(str, self.said)) + self._complaint())
        return answer

    def _complaint(self) -> str:
        if self.process.poll() is None or self.process.stderr is None:
            return self.project.logs()
        return self.process.stderr.read()

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.heard("started")["url"])

    @property
    def home(self) -> Path:
        """Where it keeps its things."""
        return self.project.root / ".flashcore/environments" / str(self.heard("started")["environment"])

    def until_ready(self, *endpoints: str, since: int = 0) -> None:
        """Wait for the code of these endpoints."""
        for endpoint in endpoints:
            self.heard("ready", lambda one, name=endpoint: one["endpoint"]["endpoint"] == name, since)  # type: ignore[misc]  # mypy cannot infer a lambda's default

    def change(self, old: str, new: str) -> None:
        """Edit the app, and wait until both of its endpoints run the change, the next one being told of alike."""
        said = len(self.said)
        edit(self.project, lambda app: app.replace(old, new))
        self.until_ready("jobs", "web", since=said)

    def submit(self, function: str, *args: Any) -> str:
        """The id of a job."""
        call = {"function": function, "method": None, "arguments": {"args": args, "kwargs": {}}}
        body = {"input": {"$flashcore": {"version": 1, **call}}}
        status, answer = ask(f"{self.url}/v2/jobs/run", body)
        assert status == 200, answer
        return str(answer["id"])

    def call(self, function: str, *args: Any) -> Any:
        """The value of a job, or its error."""
        job = self.submit(function, *args)
        answer = ask(f"{self.url}/v2/jobs/status-sync/{job}")[1]
        return answer["error"] if "error" in answer else answer["output"]["$flashcore"]["value"]

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(WITHIN)
        self._reader.join(WITHIN)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


def ask(url: str, body: Any = None, token: str = "") -> tuple[int, Any]:
    """Status and JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - the address is one of ours
    try:
        with urllib.request.urlopen(request, timeout=WITHIN) as response:  # noqa: S310 - the address is one of ours
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


def edit(project: ProjectUnderTest, edited: Callable[[str], str]) -> None:
    """Put another text in the place of the app's, at one stroke: half of it would be another edit."""
    app, draft = project.root / "app.py", project.root.with_name("app.draft")
    draft.write_text(edited(app.read_text()))
    draft.replace(app)


def until(true: Callable[[], bool]) -> None:
    """Return when it is true."""
    deadline = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def made_project(folder: Path) -> ProjectUnderTest:
    """A project with two endpoints."""
    project = ProjectUnderTest(folder)
    folder.mkdir()
    project.write("flashcore.toml", 'app = "shop"\n')
    project.write("app.py", APP)
    return project


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[ProjectUnderTest]:
    """A project; a test that leaves something running fails."""
    project = made_project(tmp_path / "shop")
    yield project
    left = project.processes()
    for process in left:
        process.kill()
    assert not left, left


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevUnderTest]:
    """A session that the tests of a module share."""
    session = DevUnderTest(made_project(tmp_path_factory.mktemp("dev") / "shop"))
    try:
        session.until_ready("jobs", "web")
        yield session
    finally:
        assert session.stop() == 0
        left = session.project.processes()
        for process in left:
            process.kill()
    assert not left, left
