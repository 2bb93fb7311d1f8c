"""`flashcore server stop` under load: what was accepted is answered before any replica ends."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import pytest

from flashcore.testing.open_loop import Call, OpenLoop, json_call
from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

APP = """
import asyncio
from pathlib import Path

from flashcore import LoadBalancedEndpoint, QueueEndpoint

GO = Path({go!r})

web = LoadBalancedEndpoint("web", replicas=2, max_concurrency=100)
jobs = QueueEndpoint("jobs", replicas=2, max_concurrency=8)
others = QueueEndpoint("others", max_concurrency=4)


async def told_to_go_on(waits: str):
    GO.with_name(waits).touch()
    while not GO.exists():
        await asyncio.sleep(0.02)


@web.get("/quick")
async def quick() -> str:
    return "quick"


@web.get("/slow")
async def slow() -> str:
    await asyncio.sleep(0.3)
    return "slow"


@web.get("/held")
async def held() -> str:
    await told_to_go_on("request")
    return "held"


@jobs.function
async def add(hold: bool = False) -> str:
    if not hold:
        return "added"
    await told_to_go_on("job")
    return await other()


@others.function
async def other() -> str:
    return "another one's"
"""

CALLS = (
    Call("/web/quick", fresh=True),
    Call("/web/quick"),
    Call("/web/slow"),
    json_call("/v2/jobs/runsync", {"input": {}}),
)


class Waiting:
    """A caller who waits for an answer."""

    def __init__(self, url: str, document: object = None) -> None:
        self._request = Request(  # noqa: S310 - a URL of this test's own gateway
            url,
            None if document is None else json.dumps(document).encode(),
            {"Content-Type": "application/json"},
        )
        self.answer: Any = None
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        with urlopen(self._request, timeout=120) as answer:  # noqa: S310 - as above
            self.answer = json.load(answer)

    def answered(self) -> Any:
        """What it is told in the end."""
        self._thread.join()
        return self.answer


def until(true: Callable[[], object]) -> None:
    """Wait for something that gives no signal."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_accepted_request_is_answered_before_replicas_end(
    project: ProjectUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who comes after the stop began is refused with a reason; nobody is cut off, nor a call that a job makes."""
    go = project.root / "go"
    project.write("flashcore.toml", 'app = "shop"\ngateway_grace = 60\n')
    project.write("app.py", APP.format(go=str(go)))
    project.must("deploy")
    url = project.url()
    held = Waiting(f"{url}/web/held")
    job = Waiting(f"{url}/v2/jobs/runsync", {"input": {"hold": True}})

    until(lambda: go.with_name("request").exists() and go.with_name("job").exists())

    with OpenLoop(url, rate=150, calls=CALLS) as load:
        load.wait_for(100)
        stopping = project.start("server", "stop")
        until(lambda: load.tally.failures.total() > 20)
    assert stopping.poll() is None
    go.touch()
    with stopping:
        _, said = stopping.communicate(timeout=90)

    with capsys.disabled():
        sys.stdout.write(f"\n  {load.tally}\n")
    assert all(" 503 " in why and "gateway_stopping" in why for why in load.tally.failures), load.tally
    assert load.tally.answered + load.tally.failures.total() == load.tally.offered
    assert held.answered() == "held"
    assert job.answered()["output"] == "another one's"
    assert (stopping.returncode, said) == (0, "stopped\n")
    assert project.processes() == []
