"""A project that is deployed as users do it, and what its platform says: for benchmarks of the whole."""

from __future__ import annotations

import json
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from flashcore.testing.project import ProjectUnderTest


@contextmanager
def deployed(app: str) -> Iterator[ProjectUnderTest]:
    """A project of one module, deployed, and taken down in the end."""
    with tempfile.TemporaryDirectory(prefix="fc") as folder:
        project = ProjectUnderTest(Path(folder))
        project.write("flashcore.toml", 'app = "bench"\n')
        project.write("app.py", app)
        try:
            project.must("deploy")
            yield project
        finally:
            project.run("server", "stop")


def token_of(project: ProjectUnderTest) -> str:
    """The project's own, which may do everything."""
    return (_home(project) / "token").read_text().strip()


def events_of(project: ProjectUnderTest, endpoint: str) -> list[dict[str, Any]]:
    """What the platform's own log says of an endpoint, oldest first."""
    url = json.loads((_home(project) / "server.json").read_text())["url"]
    request = urllib.request.Request(  # noqa: S310 - the platform's own address on this machine
        f"{url}/api/v1/events/last?count=5000&endpoint={endpoint}",
        headers={"authorization": f"Bearer {token_of(project)}"},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - as above
        return list(json.load(answer)["events"])


def replicas_of(project: ProjectUnderTest, endpoint: str) -> list[psutil.Process]:
    """The processes of an endpoint's ready replicas, oldest first."""
    found = []
    for record in (_home(project) / "replicas").glob("*/replica.json"):
        told = json.loads(record.read_text())
        if told["identity"]["endpoint"] == endpoint and told["status"]["stage"] == "ready":
            found.append(psutil.Process(told["identity"]["pid"]))
    return sorted(found, key=psutil.Process.create_time)


def _home(project: ProjectUnderTest) -> Path:
    return project.root / ".flashcore" / "environments" / "production"
