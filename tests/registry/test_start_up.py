"""What it costs to have plugins: counted, not timed. The times are in benchmarks/bench_help.py."""

import json
import os
import subprocess
import sys
from types import FrameType

import pytest
from tests.registry.conftest import Site

from flashcore.registry.loader import load
from flashcore.registry.policy import Policy
from flashcore.registry.scan import scan

HEAVY = (
    "fastapi",
    "pydantic",
    "runpod",
    "pytest",
    "httpx2",
    "cookiecutter",
    "rich",
    "pluggy",
    "cloudpickle",
    "asyncio",
)
SLOW = ("importlib.metadata", "importlib_metadata", "subprocess", "packaging", "uvicorn", "sqlite3", "jinja2")

MODULES = """
import sys, atexit
sys.argv = ["flashcore", *{arguments!r}]
atexit.register(lambda: print("\\n" + __import__("json").dumps(sorted(sys.modules))))
from flashcore.cli.main import main
main()
"""


@pytest.fixture
def crowded(site: Site) -> Site:
    """Fifty plugins with a command each, three of them broken, five with heavy imports."""
    for n in range(50):
        name = f"plugin{n:02}"
        hooks = (
            "from flashcore.plugin import Part, hookimpl\n"
            f"{'import fastapi' if n % 10 == 3 else ''}\n"
            f"{'raise RuntimeError(13)' if n in (7, 17, 27) else ''}\n"
            "@hookimpl\ndef flashcore_commands():\n"
            f"    return {{'do_{n:02}': Part('flashcore_{name}.command:command', 'Do number {n}')}}\n"
        )
        command = f"import click\n@click.command()\ndef command():\n    click.echo('did {n}')\n"
        site.plugin(name, hooks, files={"command.py": command if n else "1 / 0"})
    return site


@pytest.fixture
def warm(crowded: Site, settled: object) -> Site:
    """The same, with a kept survey."""
    assert callable(settled)
    crowded.run("plugins", "list")
    settled(crowded.folder)
    crowded.run("plugins", "list")
    return crowded


def modules(site: Site, *arguments: str) -> set[str]:
    """What a run of the command line imports."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES.format(arguments=arguments)],
        env={**os.environ, "PYTHONPATH": str(site.folder)},
        cwd=site.folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_flashcore_imports_nothing_heavy() -> None:
    """User code does it in every replica."""
    done = subprocess.run(
        [sys.executable, "-c", "import flashcore, json, sys; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(json.loads(done.stdout)).isdisjoint((*HEAVY, *SLOW))


def test_help_imports_nothing_heavy_and_no_plugin(warm: Site) -> None:
    """However many plugins there are, and whatever they import."""
    imported = modules(warm, "--help")

    assert imported.isdisjoint((*HEAVY, *SLOW))
    assert not [name for name in imported if name.startswith("flashcore_")]


def test_help_lists_commands_of_plugins_and_names_the_broken(warm: Site) -> None:
    """A command that is missing is no riddle."""
    done = warm.run("--help", variables={"COLUMNS": "200"})

    assert done.returncode == 0
    assert "do-49" in done.stdout
    assert "Do number 49" in done.stdout
    assert "do-07" not in done.stdout
    for name in ("plugin07", "plugin17", "plugin27"):
        assert f"{name} (flashcore-{name} 1.0) is broken: " in done.stdout
    assert "RuntimeError: 13" in done.stdout


def test_help_without_a_kept_survey_is_the_same(crowded: Site) -> None:
    """The first run after an installation takes longer, that is all."""
    first = crowded.run("--help", variables={"FLASHCORE_NO_CACHE": "1"})
    second = crowded.run("--help", variables={"FLASHCORE_NO_CACHE": "1"})

    assert first.returncode == 0
    assert first.stdout == second.stdout


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("init", "--help"), ("plugins", "list"), ("plugins", "show", "evil"), ("doctor",)],
)
def test_no_way_out_runs_code_of_a_plugin(site: Site, arguments: tuple[str, ...]) -> None:
    """What a person types to get rid of a plugin must not depend on it; it is examined in another process."""
    site.plugin("evil", "import os\nos._exit(77)")

    done = site.run(*arguments)

    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_of_a_plugin_runs(warm: Site) -> None:
    """Only its own module is imported then."""
    done = warm.run("do-05")

    assert (done.returncode, done.stdout) == (0, "did 5\n")


def test_a_command_that_cannot_be_imported_names_its_plugin(warm: Site) -> None:
    """Not a traceback of somebody's code."""
    done = warm.run("do-00")

    assert done.returncode == 1
    assert "command 'do_00' of plugin00 (flashcore-plugin00 1.0) cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_registration_looks_at_hooks_alone(site: Site) -> None:
    """Pluggy by itself examines every attribute of a module; with 50 plugins of 120 attributes that is most of it."""
    attributes = "\n".join(f"def helper_{n}(): pass" for n in range(120))
    for n in range(50):
        site.strategy(f"p{n}")
        hooks = site.folder / f"flashcore_p{n}" / "hooks.py"
        hooks.write_text(hooks.read_text() + attributes)
    examined = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal examined
        examined += event == "call" and frame.f_code.co_name == "getattr_static"

    loaded = site.loaded()  # imports what is imported once
    candidates = scan([str(site.folder)])
    sys.setprofile(count)
    try:
        again = load(candidates, Policy(), loaded.points)
    finally:
        sys.setprofile(None)

    assert len(again.reports) == 51
    assert examined < 50 * 10
