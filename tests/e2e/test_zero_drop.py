"""Under open-loop load no request is lost, whatever is done to an endpoint meanwhile."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from flashcore.testing.open_loop import Call, OpenLoop, Tally, json_call
from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

RATE = 300.0
LEAST = 100
"""Answers that each test waits for, once more or several times: how long the rest takes is the machine's affair."""
IN_FLIGHT = 30
"""More than one replica ever has of this load: a sixth of the requests takes 0.3 s, on one of three replicas."""
CALLS = (
    Call("/web/quick"),
    Call("/web/quick", fresh=True),
    Call("/web/quick"),
    Call("/web/slow"),
    Call("/web/quick"),
    json_call("/v2/jobs/runsync", {"input": {}}),
)

APP = """
import asyncio

from fastapi.responses import StreamingResponse

from flashcore import BlueGreen, LoadBalancedEndpoint, QueueEndpoint, Rolling
from flashcore_canary import Canary

VERSION = {version}

web = LoadBalancedEndpoint("web", replicas=3, max_concurrency=100, strategy={strategy})
jobs = QueueEndpoint("jobs", replicas=2, max_concurrency=4)


@web.get("/quick")
async def quick() -> int:
    return VERSION


@web.get("/slow")
async def slow() -> int:
    await asyncio.sleep(0.3)
    return VERSION


@web.get("/stream")
async def stream() -> StreamingResponse:
    async def ticks():
        for tick in range(20):
            yield f"{{VERSION}} {{tick}}\\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(ticks())


@jobs.function
def add() -> int:
    return VERSION
"""

CANARY = 'Canary(weights=(20, 60), pause=0.5, errors=0.5, slower=0.9, patience=3, if_unsure="pass")'


class Shop:
    """One app on one platform, of which version after version is deployed."""

    def __init__(self, project: ProjectUnderTest) -> None:
        self.project = project
        self._versions = itertools.count(1)
        self.version = 0

    def write(self, strategy: str) -> None:
        """Write the next version."""
        self.version = next(self._versions)
        self.project.write("app.py", APP.format(version=self.version, strategy=strategy))

    def deploy(self, strategy: str = "Rolling(max_surge=1, max_unavailable=0)") -> None:
        """Deploy the next version, to its end."""
        self.write(strategy)
        self.project.must("deploy")

    def begin(self, strategy: str) -> None:
        """Deploy the next version, and come back as soon as it is under way."""
        self.write(strategy)
        with self.project.start("deploy", "--detach") as started:
            _, said = started.communicate(timeout=60)
        assert started.returncode == 0, said

    def status(self) -> Any:
        """Of the web endpoint."""
        return self.project.must("status", "web", "--json").json

    def until(self, reached: Callable[[Any], bool], within: float = 60.0) -> Any:
        """Wait for a status."""
        deadline = time.monotonic() + within
        while not reached(status := self.status()):
            assert time.monotonic() < deadline, json.dumps(status, indent=1)
        return status

    def until_scaled(self, replicas: int) -> None:
        """Wait until so many replicas are there and ready."""
        self.until(lambda status: status["ready"] == len(status["replicas"]) == replicas)

    def load(self) -> OpenLoop:
        """Some hundred requests a second."""
        return OpenLoop(self.project.url(), rate=RATE, calls=CALLS)

    def control_plane(self) -> psutil.Process:
        """Its process."""
        return self.project.running("flashcore.server")[0]

    def replica(self, name: str) -> psutil.Process:
        """The process that has the replica's working directory."""
        (found,) = [one for one in self.project.processes() if name in _folder(one)]
        return found


def _folder(process: psutil.Process) -> str:
    """Where it works; nowhere when it has ended since it was found, as those that were replaced do."""
    try:
        return process.cwd()
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The first version, deployed."""
    project = ProjectUnderTest(tmp_path_factory.mktemp("zero") / "shop")
    project.root.mkdir(parents=True, exist_ok=True)
    project.write("flashcore.toml", 'app = "shop"\n')
    shop = Shop(project)
    shop.deploy()
    yield shop
    project.run("server", "stop")
    left = project.processes()
    for process in left:
        process.kill()
    assert not left


def streams(shop: Shop) -> OpenLoop:
    """Answers that take two seconds, counted apart."""
    return OpenLoop(shop.project.url(), rate=5, calls=(Call("/web/stream"),))


def assert_nothing_lost(load: OpenLoop, capsys: pytest.CaptureFixture[str]) -> Tally:
    """Offered is answered, and both are printed."""
    with capsys.disabled():
        sys.stdout.write(f"\n  {load.tally}\n")
    assert load.tally.offered >= LEAST
    assert load.tally.lost == 0, load.tally
    return load.tally


@pytest.mark.parametrize(
    "strategy",
    ["Rolling(max_surge=1, max_unavailable=0)", "BlueGreen(keep_old=1)", CANARY],
    ids=["rolling", "blue_green", "canary"],
)
def test_an_update_loses_nothing(shop: Shop, strategy: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each strategy takes the endpoint to another version, which is then the only one that answers."""
    with shop.load() as load, streams(shop) as long:
        load.wait_for(100)
        shop.deploy(strategy)
        load.wait_for(200)

    tally = assert_nothing_lost(load, capsys)
    assert tally.bodies[str(shop.version)] > 100
    assert long.tally.lost == 0, long.tally
    assert all(len(body.splitlines()) == 20 for body in long.tally.bodies)


def half_way(status: Any) -> bool:
    """Both sides have a part of the calls."""
    rollout = status["rollout"]
    return rollout is not None and rollout["checkpoint"] == "step 1"


HELD = "Canary(weights=(50,), pause=600, analysis=False)"


def test_an_abort_half_way_loses_nothing(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of the calls go back to the version before."""
    stable = shop.version
    with shop.load() as load:
        shop.begin(HELD)
        shop.until(half_way)
        load.wait_for(200)
        shop.project.must("rollout", "abort", "web")
        shop.until(lambda status: status["status"] == "ready")
        load.wait_for(100)

    tally = assert_nothing_lost(load, capsys)
    assert min(tally.bodies[str(stable)], tally.bodies[str(shop.version)]) > 20


def test_an_undo_loses_nothing(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """The version before answers again."""
    shop.deploy()
    before = shop.version
    shop.deploy("BlueGreen(keep_old=5)")
    with shop.load() as load:
        load.wait_for(100)
        shop.project.must("rollout", "undo", "web")
        shop.until(lambda status: status["status"] == "ready")
        load.wait_for(200)

    tally = assert_nothing_lost(load, capsys)
    assert tally.bodies[str(before)] > 50


def test_a_restart_loses_nothing(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """M37: each replica is replaced after another one has come up."""
    status = shop.status()
    before = {replica["id"] for replica in status["replicas"] if replica["revision"] == status["revision"]}
    with shop.load() as load:
        shop.project.must("rollout", "restart", "web")
        shop.until(lambda status: before.isdisjoint(one["id"] for one in status["replicas"]))
        load.wait_for(100)

    assert_nothing_lost(load, capsys)


def test_a_third_version_half_way_loses_nothing(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """The second one is given up where it is."""
    with shop.load() as load:
        shop.begin(HELD)
        shop.until(half_way)
        second = shop.version
        load.wait_for(200)
        shop.deploy()
        load.wait_for(100)

    tally = assert_nothing_lost(load, capsys)
    assert min(tally.bodies[str(second)], tally.bodies[str(shop.version)]) > 20


def test_scaling_up_and_down_loses_nothing(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """3 -> 6 -> 2 -> 3 replicas."""
    with shop.load() as load:
        for replicas in ("6", "2", "3"):
            shop.project.must("scale", "web", replicas)
            shop.until_scaled(int(replicas))
        load.wait_for(50)

    assert_nothing_lost(load, capsys)


def test_a_control_plane_killed_in_mid_rollout_loses_nothing(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """The gateway goes on by its table; the next command brings the control plane back, and the rollout goes on."""
    with shop.load() as load:
        shop.begin(HELD)
        shop.until(half_way)
        shop.control_plane().kill()
        load.wait_for(200)
        shop.project.must("rollout", "promote", "web")
        shop.until(lambda status: status["status"] == "ready")
        load.wait_for(100)

    tally = assert_nothing_lost(load, capsys)
    assert tally.bodies[str(shop.version)] > 100


def test_a_killed_replica_takes_its_own_requests_at_most(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """What the other replicas had in flight, and what came afterwards, is answered."""
    with shop.load() as load:
        load.wait_for(200)
        replica = shop.status()["replicas"][0]
        shop.replica(replica["id"]).kill()
        shop.until(lambda status: status["ready"] == 3 and replica["id"] not in str(status["replicas"]))
        load.wait_for(100)

    with capsys.disabled():
        sys.stdout.write(f"\n  {load.tally}\n")
    assert load.tally.lost <= IN_FLIGHT, load.tally
