"""Sessions begin and end, beside each other and beside a deployed platform, and leave nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.dev.conftest import DevUnderTest, ask, edit, until

from flashcore.dev.ending import processes_of
from flashcore.dev.local import Where
from flashcore.dev.place import own_place
from flashcore.dev.session import Session
from flashcore.dev.told import Noted, Ready, Told
from flashcore.testing.project import ProjectUnderTest

pytestmark = pytest.mark.timeout(300)


def test_nothing_is_deployed_into_a_session(shop: ProjectUnderTest) -> None:
    """It would go with the session, its replicas and its state."""
    with own_place(shop.root, {}, None, None) as project:
        environment = project.settings.environment
        deployed, asked = shop.run("deploy", "--env", environment), shop.run("status", "--env", environment)

    assert (deployed.code, asked.code) == (1, 1)
    assert "belongs to a `flashcore dev` that runs" in deployed.err
    assert "is a `flashcore dev` session" in asked.err


@pytest.mark.slow
def test_two_sessions_do_not_meet_and_an_interrupt_ends_all_at_once(shop: ProjectUnderTest, tmp_path: Path) -> None:
    """Other ports, other folders; a call that is under way is not waited for, and nothing is left."""
    first, second = DevUnderTest(shop), DevUnderTest(shop)
    for session in (first, second):
        session.until_ready("jobs")
    assert first.url != second.url
    assert {first.home.name, second.home.name} == {"dev", "dev-2"}
    begun = tmp_path / "begun"
    first.submit("wait", str(begun), str(tmp_path / "never"))
    until(begun.exists)

    assert first.stop(signal.SIGINT) == 0

    assert second.call("greet", "Ada") == "Hello, Ada!"
    assert not first.home.exists()
    assert second.stop(signal.SIGHUP) == 0
    assert not (shop.root / ".flashcore/environments").exists()
    assert shop.processes() == []


REPLICA = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getppid(), signal.SIGINT))
print("on", flush=True)
time.sleep(600)
"""


def test_a_second_interrupt_leaves_nothing_either(shop: ProjectUnderTest) -> None:
    """It comes while the session is cleared away: here from a replica that is told to end and does not."""
    before = signal.getsignal(signal.SIGINT)
    with own_place(shop.root, {}, None, None) as project:
        home = project.layout.home
        environ = {**os.environ, "FLASHCORE_RECORD": str(home / "replica.json")}
        replica = subprocess.Popen([sys.executable, "-c", REPLICA], env=environ, stdout=subprocess.PIPE)
        assert replica.stdout is not None
        assert replica.stdout.readline() == b"on\n"

    with replica:
        assert replica.poll() is not None
    assert not home.exists()
    assert signal.getsignal(signal.SIGINT) is before


async def test_what_runs_elsewhere_is_taken_down_by_its_provider(shop: ProjectUnderTest) -> None:
    """A session that ends leaves nothing that costs money; here the provider is this machine's own."""
    told: list[Told] = []
    stop = asyncio.Event()

    def tell(one: Told) -> None:
        told.append(one)
        if isinstance(one, Ready) and one.endpoint.endpoint == "jobs":
            stop.set()

    with own_place(shop.root, {}, None, None) as project:
        await Session(project, Where.ELSEWHERE, tell).run(stop, 0)

        assert not await asyncio.to_thread(processes_of, project.layout.home)
    assert not [one for one in told if isinstance(one, Noted)]


@pytest.mark.slow
def test_what_a_killed_session_left_is_cleared_away_by_the_next(shop: ProjectUnderTest) -> None:
    """Replicas go on without their session; the next one of the same name ends them."""
    killed = DevUnderTest(shop)
    killed.until_ready("jobs", "web")
    killed.stop(signal.SIGKILL)
    orphans = shop.processes()
    assert orphans

    session = DevUnderTest(shop)
    session.until_ready("jobs")

    assert session.home.name == "dev"
    assert not any(orphan.is_running() and orphan.status() != "zombie" for orphan in orphans)
    assert session.stop() == 0


def test_a_folder_without_a_project_is_refused_unless_it_is_named(tmp_path: Path) -> None:
    """Nobody's home directory becomes a project by accident."""
    folder = ProjectUnderTest(tmp_path)

    assert "there is no flashcore project" in folder.run("dev").err
    assert not (tmp_path / ".flashcore").exists()


def test_an_environment_of_somebody_else_is_left_alone(shop: ProjectUnderTest) -> None:
    """Whoever deploys to an environment called dev keeps it."""
    table = shop.root / ".flashcore/environments/dev/table.json"
    shop.write(".flashcore/environments/dev/table.json", "{}")

    session = DevUnderTest(shop)

    assert session.home.name == "dev-2"
    assert session.stop() == 0
    assert table.exists()


@pytest.mark.slow
def test_a_session_runs_beside_a_deployed_platform(shop: ProjectUnderTest) -> None:
    """B37: neither the deployed gateway nor any artifact knows `/execute`, and the session touches neither."""
    shop.must("deploy")
    deployed = shop.url()
    session = DevUnderTest(shop)
    session.until_ready("jobs", "web")
    session.change("Hello, {", "Hey, {")

    assert session.call("greet", "Ada") == "Hey, Ada!"
    assert shop.must("call", "jobs", "greet", '["Ada"]').out.strip() == "Hello, Ada!"
    token = (shop.root / ".flashcore/environments/production/token").read_text().strip()
    assert ask(f"{deployed}/execute", {"source": "", "function": "f"}, token)[0] == 404
    assert session.stop() == 0
    assert [one["ready"] for one in json.loads(shop.must("status", "--json").out)["deployments"]] == [1, 2]
    for archive in (shop.root / ".flashcore/artifacts").rglob("*"):
        if archive.is_file():
            assert b"/execute" not in unpacked(archive)
    shop.must("server", "stop")


def unpacked(archive: Path) -> bytes:
    """All bytes of an archive's files."""
    with tarfile.open(archive) as tar:
        return b"".join(file.read() for member in tar if (file := tar.extractfile(member)) is not None)


@pytest.mark.slow
def test_two_sessions_of_one_project_both_follow_its_changes(shop: ProjectUnderTest) -> None:
    """Both build the same project at the same moment, again and again."""
    sessions = DevUnderTest(shop), DevUnderTest(shop)
    for session in sessions:
        session.until_ready("jobs")
    before = "Hello, {"
    for after in ("One, {", "Two, {", "Three, {"):
        said = [len(session.said) for session in sessions]
        edit(shop, lambda app, before=before, after=after: app.replace(before, after))  # type: ignore[misc]  # mypy cannot infer a lambda's defaults
        before = after
        for session, since in zip(sessions, said, strict=True):
            session.until_ready("jobs", since=since)
            assert session.call("greet", "Ada") == f"{after.removesuffix('{')}Ada!"

    for session in sessions:
        assert not [one for one in session.said if one["kind"] == "refused"]
        assert session.stop() == 0
