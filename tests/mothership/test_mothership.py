"""An environment that is kept as a manifest says, on the real platform."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flashcore.composition import own_endpoint
from flashcore.control.manifests.lasting import require_lasting
from flashcore.model.errors import ConfigurationError
from flashcore.model.names import Scope
from flashcore.presence import read_presence
from flashcore.settings import Project, Settings
from flashcore.testing.project import ProjectUnderTest

pytestmark = pytest.mark.timeout(300)

WITHIN = 90.0
APP = """
from flashcore import QueueEndpoint

one = QueueEndpoint("one")
two = QueueEndpoint("two")


@one.function
def first() -> str:
    return "1"


@two.function
def second() -> str:
    return "two says " + first.remote()
"""
MANIFEST = ".flashcore/build/flashcore_manifest.json"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[ProjectUnderTest]:
    """A project that was built; a test that leaves something running fails."""
    project = ProjectUnderTest(tmp_path / "shop")
    project.root.mkdir()
    project.write("flashcore.toml", 'app = "shop"\n')
    project.write("app.py", APP)
    project.must("build")
    yield project
    project.run("server", "stop")
    left = project.processes()
    for process in left:
        process.kill()
    assert not left, left


def api(project: ProjectUnderTest, path: str) -> Any:
    """What the control API answers."""
    from flashcore.cli.api import ControlApi

    home = project.root / ".flashcore/environments/production"
    url = json.loads((home / "server.json").read_text())["url"]
    return ControlApi(url, (home / "token").read_text().strip()).get(path)


def until(project: ProjectUnderTest, path: str, wanted: Callable[[Any], bool]) -> Any:
    """The first answer that is as wanted."""
    deadline = time.monotonic() + WITHIN
    while not wanted(answer := api(project, path)):
        assert time.monotonic() < deadline, f"{json.dumps(answer, indent=1)}\n{project.logs()}"
        time.sleep(0.05)
    return answer


def control_plane(project: ProjectUnderTest) -> psutil.Process:
    """Its process, to be held before it is ended: of one that has ended there is nothing to wait for."""
    presence = read_presence(project.root / ".flashcore/environments/production/server.json")
    assert presence is not None
    return psutil.Process(presence.pid)


def ready(*names: str) -> Callable[[Any], bool]:
    """Whether the manifest's endpoints are these, all of them ready."""
    return lambda answer: {one["endpoint"]: one["ready"] for one in answer["endpoints"]} == dict.fromkeys(names, True)


def change(project: ProjectUnderTest, old: str, new: str) -> None:
    """Edit the app and build it."""
    app = project.root / "app.py"
    app.write_text(app.read_text().replace(old, new))
    project.must("build")


@pytest.mark.slow
def test_an_environment_follows_its_manifest(shop: ProjectUnderTest) -> None:
    """B50, B54: the API answers at once and tells what is ready so far; changes roll out, removals are taken down."""
    shop.write("flashcore.toml", f'app = "shop"\n[mothership]\nmanifest = "{MANIFEST}"\n')
    shop.must("server", "start")
    until(shop, "/api/v1/manifest", ready("one", "two"))
    assert MANIFEST in shop.must("server", "status").out
    assert shop.must("call", "two").out.strip() == "two says 1"
    before = api(shop, "/api/v1/deployments/two")["revision"]

    change(shop, 'return "1"', 'return "11"')
    until(shop, "/api/v1/deployments/one", lambda one: one["rollout"]["generation"] == 2 and one["settled"])
    assert shop.must("call", "one").out.strip() == "11"

    shop.write("app.py", APP.partition("@two")[0].replace('two = QueueEndpoint("two")', ""))
    shop.must("build")
    until(shop, "/api/v1/deployments", lambda all_of: [one["endpoint"] for one in all_of["deployments"]] == ["one"])
    until(shop, "/api/v1/manifest", ready("one"))
    assert before
    shop.must("server", "start", "--no-manifest")
    assert api(shop, "/api/v1/manifest")["source"] is None
    assert shop.must("call", "one").out.strip() == "1"


@pytest.mark.slow
def test_a_failure_is_in_the_status_and_the_next_control_plane_goes_on(shop: ProjectUnderTest) -> None:
    """B51, B53, B54: one endpoint is refused and the other comes up; a kill changes nothing; no replica is told."""
    shop.write("app.py", APP.replace('QueueEndpoint("two")', 'QueueEndpoint("two", secrets=["MISSING"])'))
    shop.must("build")
    shop.must("server", "start", "--manifest", MANIFEST)
    assert {one["endpoint"] for one in api(shop, "/api/v1/manifest")["endpoints"]} == {"one", "two"}

    until(shop, "/api/v1/deployments/one", lambda one: one["settled"] and one["ready"] == 1)
    notes = json.loads(shop.must("status", "--json").out)["notes"]
    assert any(note.startswith("two is not as the manifest says") and "MISSING" in note for note in notes)

    server = control_plane(shop)
    server.kill()
    server.wait(WITHIN)
    shop.write("app.py", APP)
    shop.must("build")
    shop.must("status")
    until(shop, "/api/v1/manifest", ready("one", "two"))
    for process in shop.running("flashcore.worker") + shop.running("flashcore.worker.warm"):
        assert not any("MANIFEST" in name or "MOTHERSHIP" in name for name in process.environ())

    (shop.root / MANIFEST).unlink()
    answer = until(shop, "/api/v1/manifest", lambda answer: answer["trouble"])
    assert "flashcore_manifest.json" in answer["trouble"]
    assert ready("one", "two")(answer)


@pytest.mark.slow
def test_a_test_of_a_manifest_leaves_nothing_however_it_ends(shop: ProjectUnderTest) -> None:
    """B58: beside the real endpoints, calling itself; gone when told so, after SIGTERM, and after a crash."""
    shop.must("deploy")
    change(shop, 'return "1"', 'return "new"')

    def names() -> list[str]:
        return [one["endpoint"] for one in api(shop, "/api/v1/deployments")["deployments"]]

    def start_test() -> psutil.Process:
        shop.must("server", "start", "--manifest", MANIFEST, "--test")
        until(shop, "/api/v1/manifest", ready("test-one", "test-two"))
        assert names() == ["one", "test-one", "test-two", "two"]
        return control_plane(shop)

    start_test()
    assert shop.must("call", "test-two").out.strip() == "two says new"
    assert shop.must("call", "two").out.strip() == "two says 1"
    shop.must("server", "start", "--no-manifest")
    assert names() == ["one", "two"]

    server = start_test()
    server.terminate()
    server.wait(WITHIN)
    shop.must("server", "start")
    assert names() == ["one", "two"]

    server = start_test()
    server.kill()
    server.wait(WITHIN)
    shop.must("server", "start")
    until(shop, "/api/v1/deployments", lambda answer: len(answer["deployments"]) == 2)
    assert shop.must("call", "two").out.strip() == "two says 1"


def test_a_manifest_of_another_app_is_refused(shop: ProjectUnderTest) -> None:
    """It would take down everything that this one has deployed."""
    manifest = json.loads((shop.root / MANIFEST).read_text())
    shop.write("other.json", json.dumps({**manifest, "app": "other"}))
    shop.write("none.json", "{")

    assert "is a manifest of 'other'" in shop.run("server", "start", "--manifest", "other.json").err
    assert "is no manifest" in shop.run("server", "start", "--manifest", "none.json").err
    assert shop.run("server", "start", "--test").code == 2


def test_a_deployed_mothership_without_a_lasting_state_is_refused_at_deploy(shop: ProjectUnderTest) -> None:
    """B59: before anything is deployed."""
    shop.write("flashcore.toml", 'app = "shop"\n[mothership]\ndeployed = true\n')

    ran = shop.run("deploy")

    assert ran.code == 2
    assert "keeps its state on a disk that goes with it" in ran.err


def test_a_deployed_mothership_that_may_run_twice_is_refused() -> None:
    """B59: however well its state is kept."""
    scope = Scope("shop", "production")
    require_lasting(scope, shared=True, instances=1)
    with pytest.raises(ConfigurationError, match="2 times"):
        require_lasting(scope, shared=True, instances=2)
    with pytest.raises(ConfigurationError, match="disk"):
        require_lasting(scope, shared=False, instances=1)


def test_a_process_takes_itself_for_the_endpoint_that_it_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B53: a control plane in a replica of this environment spares that endpoint; elsewhere the name means nothing."""
    project = Project(tmp_path, Settings("shop", "production"))
    monkeypatch.setenv("FLASHCORE_ENDPOINT", "control")
    assert own_endpoint(project) == frozenset()
    monkeypatch.setenv("FLASHCORE_APP", "shop")
    monkeypatch.setenv("FLASHCORE_ENV", "production")
    assert own_endpoint(project) == {"control"}
