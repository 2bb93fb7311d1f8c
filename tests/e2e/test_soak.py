"""Mixed load while gateways, replicas and control planes are killed and frozen: what was accepted is kept."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from flashcore.testing.open_loop import Call, OpenLoop
from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
import time

from flashcore import LoadBalancedEndpoint, QueueEndpoint

jobs = QueueEndpoint("jobs", replicas=3, max_concurrency=4)
web = LoadBalancedEndpoint("web", replicas=2, max_concurrency=50)


@jobs.function
def square(value: int) -> int:
    time.sleep(0.02)
    return value * value


@web.get("/quick")
async def quick() -> str:
    return "here"
"""

CALLERS = 4
KILLS = 12
PAUSE = 1.5
"""Seconds between two of them."""


class Callers:
    """Submit jobs until told to stop; a submission that is not answered is sent again with its key."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._submit_on) for _ in range(CALLERS)]
        self.accepted: dict[str, int] = {}
        self.refusals: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def ask(self, path: str, body: Any = None, key: str = "") -> Any:
        """An answer, from whichever gateway is there. Raises OSError."""
        headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}/v2/jobs/{path}", data, headers)  # noqa: S310 - our own gateway
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own gateway
            return json.load(answer)

    def insist(self, ask: Callable[[], Any]) -> Any:
        """The answer, however often it has to be asked for."""
        while True:
            try:
                return ask()
            except urllib.error.HTTPError as error:
                with error:
                    self.refusals[f"{error.code} {json.load(error)['error']['code']}"] += 1
            except (OSError, EOFError):
                self.refusals["no connection"] += 1
            time.sleep(0.05)

    def _submit_on(self) -> None:
        while not self._over.is_set():
            value, key = random.randrange(1000), str(uuid.uuid4())
            job = self.insist(functools.partial(self.ask, "run", {"input": {"value": value}}, key))
            self.accepted[job["id"]] = value
            time.sleep(0.01)


def running(project: ProjectUnderTest, what: str) -> list[psutil.Process]:
    """Processes of the project that serve, by what they are."""
    found = []
    for process in project.processes():
        with contextlib.suppress(psutil.Error):
            if what in process.cmdline() or (what == "replica" and "/replicas/" in process.cwd()):
                found.append(process)
    return found


def strike(project: ProjectUnderTest, chance: random.Random) -> str:
    """Kill or freeze something; what it was."""
    what = chance.choice(["flashcore.gateway", "replica", "replica", "frozen replica", "flashcore.server"])
    victims = running(project, what.removeprefix("frozen "))
    if not victims:
        return f"no {what}"
    victim = chance.choice(sorted(victims, key=lambda one: one.pid))
    with contextlib.suppress(psutil.NoSuchProcess):
        if what.startswith("frozen"):
            victim.suspend()
            threading.Timer(1.0, lambda: _thaw(victim.pid)).start()
        else:
            victim.kill()
    if what == "flashcore.server":
        project.run("status")
    return what


def _thaw(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def test_every_accepted_job_ends_once_and_every_request_has_an_answer(
    project: ProjectUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Q01, Q02, Q05, Q22: a seed is printed; the same kills come again with it."""
    seed = int(os.environ.get("FLASHCORE_TEST_SEED", random.SystemRandom().randrange(10**6)))
    chance = random.Random(seed)
    project.write("app.py", APP)
    project.must("deploy")
    callers = Callers(project.url())
    with OpenLoop(project.url(), rate=50, calls=(Call("/web/quick"), Call("/web/quick", fresh=True))) as load:
        callers.start()
        strikes = []
        for _ in range(KILLS):
            time.sleep(PAUSE)
            strikes.append(strike(project, chance))
        time.sleep(PAUSE)
        callers.stop()
    ends = {
        job: callers.insist(functools.partial(callers.ask, f"status-sync/{job}?wait=60000")) for job in callers.accepted
    }

    with capsys.disabled():
        sys.stdout.write(f"\n  seed {seed}: {len(ends)} jobs; struck: {dict(Counter(strikes))}\n  {load.tally}\n")
    assert len(ends) > 200
    lost = {job: end for job, end in ends.items() if end["status"] not in {"COMPLETED", "FAILED"}}
    assert lost == {}
    wrong = {
        job: end
        for job, end in ends.items()
        if end["status"] == "COMPLETED" and end["output"] != callers.accepted[job] ** 2
    }
    assert wrong == {}
    failed = [end["error"] for end in ends.values() if end["status"] == "FAILED"]
    assert all("worker lost" in error for error in failed), failed
    assert load.tally.bodies.keys() == {'"here"'}
    unexplained = [what for what in load.tally.failures if "TimeoutError" in what]
    assert unexplained == [], load.tally
