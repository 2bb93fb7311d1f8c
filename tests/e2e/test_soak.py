"""Mixed load while gateways, replicas and control planes are killed and frozen: what was accepted is kept."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import random
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.e2e.history import History, faults
from tests.e2e.patrons import Fates, Patrons, may_have_run, reason_of

from flashcore import Unavailable
from flashcore.testing.open_loop import Call, OpenLoop
from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
import asyncio
import os
import time

from flashcore import LoadBalancedEndpoint, QueueEndpoint

jobs = QueueEndpoint("jobs", replicas=3, max_concurrency=4)
web = LoadBalancedEndpoint("web", replicas=2, max_concurrency=50)


@jobs.function
def square(value: int, key: str, book: str) -> int:
    page = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(page, f"{key}\\n".encode())
    os.close(page)
    time.sleep(0.02)
    return value * value


@web.get("/quick")
async def quick(key: str) -> str:
    return key


@web.post("/write")
async def write(key: str, book: str) -> str:
    page = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(page, f"{key}\\n".encode())
    os.close(page)
    await asyncio.sleep(0.02)
    return key
"""

# An hour in which somebody calls once a second and submits a job once a second, and in which something dies every five
# minutes: as many events, sooner one after the other.
REQUESTS = 3600
JOBS = 3600
STRIKES = 12

SEED = os.environ.get("FLASHCORE_TEST_SEED")  # now: within a test no variable of ours is left

CALLERS = 4
RATE = 100
"""Calls in a second, by our client."""
RAW_RATE = 20
"""Requests in a second, of somebody who repeats nothing."""
PAUSE = 2.5
"""Seconds between two strikes."""
EXPLAINED = re.compile(
    r"""/web/quick\?key=here:\ (
        50[234]\ b'\{"error":\{"code":"[a-z_]+","message":"  # refused with a reason
      | (ConnectionRefused|ConnectionReset|BrokenPipe|IncompleteRead)Error  # of a gateway that was killed
    )""",
    re.VERBOSE,
)


class Callers:
    """Submit jobs, half of them by our client; a submission that is not answered is sent again with its key."""

    def __init__(self, url: str, book: str, app: Any) -> None:
        self._url = url
        self._book = book
        self._app = app
        ways = (self._submit, self._spawn)
        self._threads = [threading.Thread(target=ways[number % 2]) for number in range(CALLERS)]
        self.history = History()
        self.refusals: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Until all are submitted."""
        for thread in self._threads:
            thread.join()

    def look(self) -> History:
        """Ask for all ends, twice, and read what was run."""
        history = self.history
        for _ in range(2):
            for job in {job for ids in history.accepted.values() for job in ids}:
                end = self.insist(functools.partial(self.ask, f"status-sync/{job}?wait=60000"))
                if isinstance(end.get("output"), dict):  # as our client's calls are answered, for it to unpack
                    end["output"] = end["output"]["$flashcore"]["value"]
                history.ends.setdefault(job, []).append(end)
        history.runs.update(Path(self._book).read_text("ascii").split())
        history.counted = self.insist(functools.partial(self.ask, "health"))["jobs"]
        return history

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

    def _submit(self) -> None:
        for _ in range(JOBS // CALLERS):
            value, key = random.randrange(1000), str(uuid.uuid4())
            body = {"input": {"value": value, "key": key, "book": self._book}}
            self.history.values[key] = value
            job = self.insist(functools.partial(self.ask, "run", body, key))
            self.history.accepted.setdefault(key, []).append(job["id"])
            if value % 10 == 0:  # as a caller does whose answer was lost
                again = self.insist(functools.partial(self.ask, "run", body, key))
                self.history.accepted[key].append(again["id"])

    def _spawn(self) -> None:
        for _ in range(JOBS // CALLERS):
            value, key = random.randrange(1000), str(uuid.uuid4())
            self.history.values[key] = value
            self.history.accepted[key] = [self._spawned(value, key)]

    def _spawned(self, value: int, key: str) -> str:
        while True:
            try:
                return str(self._app.square.spawn(value, key, self._book).id)
            except Unavailable as error:
                # What was sent and not answered, the client has sent again with its key: this was a refusal.
                if error.data.get("status") != 503:
                    raise
                self.refusals[reason_of(error)] += 1
            time.sleep(0.05)


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


def imported(project: ProjectUnderTest) -> Any:
    """The project's module, as its users import it."""
    spec = importlib.util.spec_from_file_location("app", project.root / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def faults_of_writing(fates: Fates, runs: Counter[str]) -> list[str]:
    """Of calls that are not to run twice: those that did, and those whose end says something else than what was."""
    faults = [f"{key} ran {count} times" for key, count in runs.items() if count > 1]
    faults += [f"{key} was answered and did not run" for key in fates.answered if not runs[key]]
    for key, error in fates.refused.items():
        if runs[key] and not may_have_run(error):
            faults.append(f"{key} ran, and its caller was told: {error!r}")
    return faults


def test_every_accepted_job_ends_once_and_every_request_has_an_answer(
    project: ProjectUnderTest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q01, Q02, Q05, Q22: as many events as in an hour; a seed is printed, and the same kills come again with it."""
    seed = int(SEED or random.SystemRandom().randrange(10**6))
    chance = random.Random(seed)
    project.write("app.py", APP)
    project.must("deploy")
    monkeypatch.setenv("FLASHCORE_GATEWAY_URL", project.url())
    app, book, writing = imported(project), project.root / "book", project.root / "writing"
    callers = Callers(project.url(), str(book), app)
    patrons = Patrons(RATE, quick=app.quick, write=lambda key: app.write(key, str(writing)))
    raw = OpenLoop(project.url(), rate=RAW_RATE, calls=(Call("/web/quick?key=here"),))
    with patrons, raw:
        callers.start()
        strikes = []
        for _ in range(STRIKES):
            time.sleep(PAUSE)
            strikes.append(strike(project, chance))
        callers.finish()
        patrons.wait_for(REQUESTS)
    history = callers.look()

    with capsys.disabled():
        ended = Counter(ends[-1]["status"] for ends in history.ends.values())
        sys.stdout.write(f"\n  seed {seed}; struck: {dict(Counter(strikes))}")
        sys.stdout.write(f"\n  jobs: {dict(ended)}; their callers met {dict(callers.refusals)}")
        for name, fates in patrons.fates.items():
            sys.stdout.write(f"\n  {name} by our client: {fates}")
        sys.stdout.write(f"\n  quick by nobody's client: {raw.tally}\n")
    assert faults(history) == []
    assert (len(history.accepted), len(history.ends)) == (JOBS, JOBS)
    quick, write = patrons.fates["quick"], patrons.fates["write"]
    assert quick.faults() + write.faults() == []
    assert [error for error in quick.refused.values() if "sent" in error.data] == [], "it may be repeated"
    assert faults_of_writing(write, Counter(writing.read_text("ascii").split())) == []
    tally = raw.tally
    assert tally.answered + tally.failures.total() == tally.offered
    assert tally.bodies.keys() == {'"here"'}
    assert [what for what in tally.failures if not EXPLAINED.match(what)] == [], tally
