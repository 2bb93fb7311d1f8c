"""RunPod's own package as what an endpoint's replicas run: deployed, rolled out, killed, replaced."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from tests.runpod_sdk.conftest import NEWEST

from flashcore.testing.project import ProjectUnderTest

WORKER = """
    import asyncio, os
    import runpod

    async def handler(job):
        asked = job["input"]
        with open(os.environ["BEGUN"], "a") as begun:
            begun.write(f"{asked.get('number')}\\n")
        await asyncio.sleep(asked.get("sleep", 0))
        while "until" in asked and not os.path.exists(asked["until"]):
            await asyncio.sleep(0.02)
        if asked.get("refresh"):
            return {"refresh_worker": True, "pid": os.getpid()}
        return {"number": asked.get("number"), "version": VERSION, "pid": os.getpid()}

    if __name__ == "__main__":
        runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: SLOTS})
"""

APP = """
    from flashcore import ScriptEndpoint

    shop = ScriptEndpoint("shop", script="worker.py", replicas=2, env={{"PYTHONPATH": {site!r}, "BEGUN": {begun!r}}})
"""


@dataclass(slots=True)
class Shop:
    """The project with its worker script, deployed."""

    project: ProjectUnderTest
    site: Path
    ids: list[str] = field(default_factory=list)

    def deploy(self, version: int, slots: int = 1) -> None:
        """Deploy a version of the script, and return when it is rolled out."""
        self.project.write("app.py", APP.format(site=str(self.site), begun=str(self.begun)))
        self.project.write("worker.py", WORKER.replace("VERSION", str(version)).replace("SLOTS", str(slots)))
        self.project.must("deploy")

    @property
    def begun(self) -> Path:
        """Where the script notes each job that it begins."""
        return self.project.root.parent / "begun"

    @property
    def go_on(self) -> Path:
        """The file that jobs may be told to wait for."""
        return self.project.root.parent / "go-on"

    def ask(self, path: str, body: Any = None) -> Any:
        """One request to the job API."""
        url, method = f"{self.project.url()}/v2/shop/{path}", "GET" if body is None else "POST"
        return httpx2.request(method, url, json=body, timeout=60).json()

    def submit(self, **given: Any) -> str:
        """A job's id."""
        return str(self.ask("run", {"input": given})["id"])

    def end(self, job: str) -> Any:
        """The job, once it has its final state."""
        while (shown := self.ask(f"status-sync/{job}?wait=20000"))["status"] in {"IN_QUEUE", "IN_PROGRESS"}:
            pass
        return shown

    def begins(self, *numbers: int) -> None:
        """Return once the script is at work on the jobs of these numbers."""
        while not set(map(str, numbers)) <= set(self.noted()):
            time.sleep(0.02)

    def noted(self) -> list[str]:
        """The numbers of the jobs that were begun, in that order."""
        return self.begun.read_text().split() if self.begun.exists() else []

    def submit_until(self, over: threading.Event) -> None:
        """A job every 50 ms, with its number."""
        while not over.wait(0.05):
            self.ids.append(self.submit(number=len(self.ids)))

    def scripts(self) -> set[int]:
        """The processes that run the script itself, without those that send its pings."""
        parents = {}
        for one in self.project.processes():
            with suppress(psutil.NoSuchProcess), one.oneshot():
                if any(word.endswith("worker.py") for word in one.cmdline()):
                    parents[one.pid] = one.ppid()
        return {pid for pid, parent in parents.items() if parent not in parents}


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest, python_with: Callable[[str], Path]) -> Iterator[Shop]:
    """A project; whatever it started is ended."""
    python = python_with(getattr(request, "param", NEWEST))
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    project = ProjectUnderTest(tmp_path / "shop")
    project.root.mkdir()
    project.write("flashcore.toml", 'app = "shop"\n')
    yield Shop(project, site)
    project.run("server", "stop")
    left = project.processes()
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left)
    assert not left, f"left running: {left}"


@pytest.mark.parametrize("shop", ["1.7.13", NEWEST], indirect=True)
def test_no_job_is_lost_while_a_script_is_replaced(shop: Shop) -> None:
    """Q-C17, Q02, Q32: jobs come all the time, two replicas are rolled over, each job is done once."""
    shop.deploy(1)
    shop.ids.append(shop.submit(number=0))
    shop.begins(0)
    over = threading.Event()
    load = threading.Thread(target=shop.submit_until, args=(over,))
    load.start()
    shop.deploy(2)
    over.set()
    load.join()
    shop.ids.append(shop.submit(number=len(shop.ids)))
    ended = [shop.end(job) for job in shop.ids]

    assert [one["status"] for one in ended] == ["COMPLETED"] * len(ended)
    assert [one["output"]["number"] for one in ended] == list(range(len(ended)))
    assert {one["output"]["version"] for one in ended} == {1, 2}
    # One that comes to a replica as it leaves goes to another: what counts is that it began once.
    assert sorted(map(int, shop.noted())) == list(range(len(ended)))


def test_a_killed_script_gives_its_job_to_another_once(shop: Shop) -> None:
    """Q-C16, Q22: its replica ends with it, and is replaced."""
    shop.deploy(1)
    job = shop.submit(until=str(shop.go_on), number=7)
    shop.begins(7)
    holder = shop.ask(f"status/{job}")["workerId"].partition("/")[0]
    (script,) = [one for one in shop.scripts() if psutil.Process(one).environ()["RUNPOD_POD_ID"] == holder]

    killed = psutil.Process(script)
    killed.kill()
    killed.wait()
    shop.go_on.touch()
    ended = shop.end(job)

    assert (ended["status"], ended["retries"], ended["output"]["number"]) == ("COMPLETED", 1, 7)
    assert not ended["workerId"].startswith(holder)
    shop.project.must("deploy")
    while len(shop.scripts()) != 2:
        time.sleep(0.1)


def test_a_handler_may_have_its_worker_replaced(shop: Shop) -> None:
    """Q-C18: `refresh_worker`: the job is done, its worker takes no other."""
    shop.deploy(1)
    first = shop.end(shop.submit(refresh=True))["output"]["pid"]
    later = {shop.end(shop.submit())["output"]["pid"] for _ in range(4)}

    assert first not in later


def test_slots_are_the_scripts_own(shop: Shop) -> None:
    """Q-C18, Q25: 20 at a time in each of two replicas, as its `concurrency_modifier` says."""
    shop.deploy(1, slots=20)
    jobs = [shop.submit(until=str(shop.go_on), number=number) for number in range(40)]
    shop.begins(*range(40))
    shop.go_on.touch()
    ended = [shop.end(job) for job in jobs]
    holders = [one["workerId"] for one in ended]

    assert {one["status"] for one in ended} == {"COMPLETED"}
    assert len(set(holders)) == 2


def test_a_running_job_is_cancelled_and_its_slot_is_free(shop: Shop) -> None:
    """Q-C9, Q07: the package cancels it and posts nothing; its replica's sibling job goes on."""
    shop.deploy(1, slots=2)
    doomed, sibling = shop.submit(sleep=600, number=1), shop.submit(until=str(shop.go_on), number=2)
    shop.begins(1, 2)

    cancelled = shop.ask(f"cancel/{doomed}", {})
    later = [shop.end(shop.submit(number=number)) for number in range(3, 7)]
    shop.go_on.touch()

    assert cancelled["status"] == "CANCELLED"
    assert shop.end(sibling)["output"]["number"] == 2
    assert [one["output"]["number"] for one in later] == [3, 4, 5, 6]


def test_a_gateway_that_is_killed_loses_no_result(shop: Shop) -> None:
    """Q01, Q26: the job ends while there is no gateway; its replica posts the result to the next one."""
    shop.deploy(1)
    job = shop.submit(until=str(shop.go_on), number=5)
    shop.begins(5)
    (gateway,) = [one for one in shop.project.processes() if "flashcore.gateway" in one.cmdline()]

    gateway.kill()
    gateway.wait()
    shop.go_on.touch()
    while not gateway_is_back(shop):
        time.sleep(0.1)
    ended = shop.end(job)

    assert (ended["status"], ended["output"]["number"]) == ("COMPLETED", 5)
    assert shop.noted() == ["5"]


def gateway_is_back(shop: Shop) -> bool:
    """Whether somebody answers for the endpoint."""
    try:
        return bool(shop.ask("health"))
    except (httpx2.HTTPError, OSError):
        return False
