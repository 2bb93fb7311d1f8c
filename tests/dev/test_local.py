"""What a session makes of declarations, and what it says of what happens."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import threading
import time
from pathlib import Path

import click
import pytest

from flashcore.canonical import digest
from flashcore.cli.dev_lines import JsonLines, Lines, spoken
from flashcore.dev.local import for_elsewhere, for_this_machine
from flashcore.dev.place import own_place
from flashcore.dev.told import Called, Noted, NotStarting, Printed, Ready, Refused, Removed, Served, Started, Told
from flashcore.dev.watch import changes
from flashcore.model.declaration import Bounds, Policy, Template
from flashcore.model.errors import BuildError
from flashcore.model.manifest import EndpointEntry, Manifest
from flashcore.model.names import Digest, EndpointName
from flashcore.model.parts import PartRef
from flashcore.settings import MothershipSettings, Settings
from flashcore.wire.envelope import RemoteFailure

TEMPLATE = Template(gpu="any", gpu_count=8, cpu=64, memory="1Ti", provider=PartRef("elsewhere"), env={"A": "b"})
POLICY = Policy(
    replicas=Bounds(0, 50),
    strategy=PartRef("blue_green"),
    gates={"promotion": (PartRef("manual"),)},
    scaler=PartRef("queue_delay"),
    execution_timeout=90.0,
)
ENTRY = EndpointEntry(
    EndpointName("web"), "queue", TEMPLATE, POLICY, (), "handler_web.py", Digest("a"), Digest("t"), Digest("p")
)


def test_a_session_runs_one_replica_and_asks_for_no_hardware() -> None:
    """Nothing waits for a GPU that a laptop does not have, or for a person; the code is as declared."""
    entry = for_this_machine(Manifest("shop", (ENTRY,), "1", "3.11")).endpoints[0]

    assert entry.template == Template(env={"A": "b"}, warm=False)
    assert (entry.policy.replicas, entry.policy.strategy, entry.policy.gates) == (Bounds(1, 1), Policy().strategy, {})
    assert entry.policy.termination_grace == 90.0
    assert (entry.template_digest, entry.policy_digest) == (digest(entry.template), digest(entry.policy))


def test_elsewhere_hardware_is_as_declared() -> None:
    """What runs at a provider keeps what the provider has to know."""
    assert for_elsewhere(Manifest("shop", (ENTRY,), "1", "3.11")).endpoints[0].template == TEMPLATE


def test_a_session_keeps_nothing_and_is_reached_from_this_machine_alone(tmp_path: Path) -> None:
    """Whatever the project's settings say of the platform that is deployed."""
    (tmp_path / "flashcore.toml").write_text(
        'app = "shop"\nhost = "0.0.0.0"\nprovider = "cloud"\nstate = "postgres://db/x"\n[mothership]\ndeployed = true\n'
    )

    with own_place(tmp_path, {}, None, None) as project:
        settings = project.settings
        assert (settings.app, settings.environment, settings.state, settings.jobs) == (
            "shop",
            "dev",
            "memory:",
            "memory:",
        )
        assert (settings.host, settings.provider) == (Settings("shop").host, Settings("shop").provider)
        assert settings.mothership == MothershipSettings()
        assert project.layout.unpacked.is_relative_to(project.layout.home)
    assert not (tmp_path / ".flashcore/environments").exists()


TOLD: list[tuple[Told, str]] = [
    (Started("http://here", "dev", "token"), "flashcore dev at http://here"),
    (Ready(Served("web", "http://here/web", ("GET /a",)), 0.25), "ready  web  in 250 ms  http://here/web  GET /a"),
    (Removed("web"), "removed  web"),
    (Refused(BuildError("app.py:3: invalid syntax", next_step="correct it")), "app.py:3: invalid syntax"),
    (
        NotStarting("web", "Traceback (most recent call last):\nNameError: x"),
        "the code does not start: NameError: x",
    ),
    (Called("jobs", "greet", "completed", ok=True, seconds=0.004, result='"hi"'), 'jobs greet  completed  4 ms  "hi"'),
    (
        Called("jobs", "", "failed", ok=False, seconds=1.5, failure=RemoteFailure("ValueError", "no", "")),
        "jobs  failed  1.5 s  ValueError: no",
    ),
    (Printed("jobs", "a line"), "jobs | a line"),
    (Noted("read this"), "note  read this"),
]


@pytest.mark.parametrize(("told", "shown"), TOLD, ids=[type(told).__name__ for told, _ in TOLD])
def test_everything_is_told_in_short_lines_and_as_json(
    told: Told, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """People read the outcome; programs get one document a line with every field."""
    Lines(None).tell(told)
    assert shown in click.unstyle(capsys.readouterr().out)

    JsonLines().tell(told)
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert {field.name for field in dataclasses.fields(told)} <= json.loads(line).keys()


def test_of_a_traceback_only_the_users_frames_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The others say nothing to whoever edits the app."""
    lines = Lines(None)
    for text in (
        "Traceback (most recent call last):",
        '  File "flashcore/worker/load.py", line 46, in load_module',
        "    return importlib.import_module(dotted)",
        '  File "app.py", line 22, in <module>',
        "    import missing",
        "ModuleNotFoundError: missing",
    ):
        lines.tell(Printed("jobs", text))

    shown = click.unstyle(capsys.readouterr().out)
    assert "load.py" not in shown
    assert "importlib" not in shown
    assert 'File "app.py", line 22' in shown
    assert shown.endswith("ModuleNotFoundError: missing\n")


def test_a_long_result_is_cut_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """One call, one line."""
    Lines(60).tell(Called("jobs", "greet", "completed", ok=True, seconds=0.1, result="x" * 500))

    line = click.unstyle(capsys.readouterr().out).rstrip("\n")
    assert len(line) == 60
    assert line.endswith("x…")


def test_a_terminal_that_is_paused_holds_up_nobody() -> None:
    """What is told waits in a thread of its own, in the end for a moment only."""
    resumed = threading.Event()
    shown: list[Told] = []

    def show(told: Told) -> None:
        resumed.wait(100)
        shown.append(told)

    began = time.monotonic()
    with spoken(show) as tell:
        for _ in range(1000):
            tell(Noted("again"))
        assert not shown
    resumed.set()
    assert time.monotonic() - began < 60


async def test_nothing_that_is_written_while_somebody_looks_is_missed(tmp_path: Path) -> None:
    """The first look comes when all is watched, and so does the one at a new folder."""
    async with contextlib.aclosing(changes(tmp_path)) as told, asyncio.timeout(60):
        assert await anext(told) == {tmp_path}
        (tmp_path / "a.py").write_text("x")
        assert tmp_path / "a.py" in await anext(told)

        (tmp_path / "new").mkdir()
        while await anext(told) != {tmp_path}:
            pass
        (tmp_path / "new" / "b.py").write_text("x")
        while tmp_path / "new" / "b.py" not in await anext(told):
            pass


async def test_only_folders_that_matter_are_watched(tmp_path: Path) -> None:
    """A new folder is, an ignored one and an environment are not."""
    (tmp_path / ".gitignore").write_text("ignored/\n")
    for name in ("ignored", ".flashcore", "venv", "package"):
        (tmp_path / name).mkdir()
    (tmp_path / "venv/pyvenv.cfg").touch()
    seen: set[Path] = set()
    news = asyncio.Event()

    async def watch() -> None:
        async for found in changes(tmp_path):
            seen.update(found)
            news.set()

    async def until_seen(path: Path) -> None:
        async with asyncio.timeout(60):
            while path not in seen:
                await asyncio.to_thread(path.write_text, "x")
                news.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await news.wait()

    task = asyncio.create_task(watch())
    for unseen in ("ignored/a.py", ".flashcore/b", "venv/c.py"):
        (tmp_path / unseen).write_text("x")
    await until_seen(tmp_path / "package/d.py")
    (tmp_path / "new").mkdir()
    await until_seen(tmp_path / "new/e.py")
    task.cancel()
    await asyncio.wait([task])

    assert not {tmp_path / name for name in ("ignored/a.py", ".flashcore/b", "venv/c.py")} & seen
