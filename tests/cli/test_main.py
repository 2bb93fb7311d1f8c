"""The command line as a whole: help, exit codes, errors in both forms, and what it does not import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from flashcore.cli import main
from flashcore.cli.main import without_plugin_options

COMMANDS = (
    "init",
    "build",
    "deploy",
    "status",
    "call",
    "logs",
    "scale",
    "undeploy",
    "server",
    "plugins",
    "doctor",
    "rollout",
)
HEAVY = (
    *("fastapi", "pydantic", "runpod", "pytest", "httpx2", "cookiecutter", "rich"),
    *("pluggy", "cloudpickle", "asyncio", "importlib_metadata", "psutil"),
)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `flashcore ...` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "flashcore", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_help_lists_every_command_with_its_summary(tmp_path: Path) -> None:
    """A stranger sees what there is."""
    ran = run(tmp_path, "--help")

    assert ran.returncode == 0
    assert all(f"  {name} " in ran.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", [*((name,) for name in COMMANDS), ("server", "start"), ("plugins", "list")])
def test_every_command_has_help(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Each command can be imported and explains itself."""
    ran = run(tmp_path, *command, "--help")

    assert ran.returncode == 0, ran.stderr
    assert "Usage: flashcore" in ran.stdout


def test_help_imports_nothing_heavy() -> None:
    """What `--help` imports decides how the command feels."""
    code = (
        "import sys; sys.argv = ['flashcore', '--help']\n"
        "from flashcore.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # the survey is kept now

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "HEAVY []" in ran.stdout


def test_outside_of_a_project_the_next_step_is_named(tmp_path: Path) -> None:
    """Wrong place: usage error, exit status 2, and what to do."""
    ran = run(tmp_path, "status")

    assert ran.returncode == 2
    assert "flashcore init" in ran.stderr


def test_with_json_an_error_is_a_document_too(tmp_path: Path) -> None:
    """A program reads code, message and next step."""
    ran = run(tmp_path, "status", "--json")

    assert ran.returncode == 2
    error = json.loads(ran.stdout)["error"]
    assert error["code"] == "configuration"
    assert "flashcore init" in error["next_step"]


@pytest.mark.parametrize("arguments", [("nothing",), ("scale", "hello", "many"), ("deploy", "--timeout", "x")])
def test_a_line_that_cannot_be_meant_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Exit status 2 for what click refuses as well."""
    assert run(tmp_path, *arguments).returncode == 2


def test_a_command_that_there_is_not_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """A slip of the finger costs one look."""
    assert "did you mean 'deploy'" in run(tmp_path, "dploy").stderr


def test_a_platform_that_does_not_run_is_named(tmp_path: Path) -> None:
    """Refused, not a traceback."""
    (tmp_path / "flashcore.toml").write_text('app = "shop"\n')

    ran = run(tmp_path, "status")

    assert ran.returncode == 1
    assert "flashcore server start" in ran.stderr


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (["deploy", "--no-plugin", "acme", "--json"], ["deploy", "--json"]),
        (["--no-plugin=acme", "deploy", "--strict-plugins"], ["deploy"]),
        (["call", "x", "--", "--no-plugins"], ["call", "x", "--", "--no-plugins"]),
        (["--no-plugin"], []),
    ],
)
def test_options_about_plugins_count_wherever_they_stand(line: list[str], left: list[str]) -> None:
    """They are taken out of the line before commands see it, up to a lone `--`."""
    assert list(without_plugin_options(line)) == left


def test_ctrl_c_is_no_failure_while_a_command_is_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A quick one was "Aborted!" and status 1, which is a failed deploy's."""

    def interrupted(_ref: str) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "load", interrupted)

    with pytest.raises(SystemExit) as ended:
        main.cli(args=["deploy"], prog_name="flashcore")

    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("module", ["typing", "click"])
@pytest.mark.parametrize("start", [["-m", "flashcore"], ["-c", "from flashcore.__main__ import main; main()"]])
def test_ctrl_c_while_the_command_line_is_imported_shows_no_traceback(
    tmp_path: Path, start: list[str], module: str
) -> None:
    """As `python -m flashcore` and as the installed command: the shell has status 130 of it."""
    (tmp_path / f"{module}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport threading\n")

    ran = subprocess.run(
        [sys.executable, *start, "status"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (-signal.SIGINT, "")


def test_a_command_in_the_background_of_a_script_goes_on_ignoring_ctrl_c(tmp_path: Path) -> None:
    """It was started so: an interrupt is for what is in the foreground."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.argv = ['flashcore', '--version']\n"
        "from flashcore.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )

    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ran.stdout.splitlines()[-1:] == ["True"]
