"""What pages tell people to write and to type works.

A comment above a block says what it is: `file: NAME` a file of a project or package, `app: NAME` the same, served
by a slow test; `template: PATH` what the plugin template makes; `script: NAME` a script for a package that is not
installed here; `needs a server` a program that calls endpoints; `run` commands that the slow test runs.
"""

import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from flashcore.cli.main import cli
from flashcore.cli.scaffold import generate
from flashcore.settings import read_settings
from flashcore.testing.scenario import read_scenario, run

Snippets = Callable[[str], list[Any]]

TEMPLATE = "template: "


@pytest.fixture(scope="module")
def cautious(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin that the tutorial makes."""
    answers = {"name": "cautious", "concern": "strategy"}
    return generate("plugin", tmp_path_factory.mktemp("tutorial"), answers, ask=False)


def test_files_of_the_tutorial_are_what_the_template_makes(
    snippets: Snippets, cautious: Path, repository: Path
) -> None:
    """`WRITE_DOCS=1` writes them into the page."""
    page = repository / "docs" / "writing-plugins.md"
    text = page.read_text(encoding="utf-8")
    for snippet in snippets("python"):
        if snippet.note.startswith(TEMPLATE):
            made = (cautious / snippet.note.removeprefix(TEMPLATE)).read_text()
            text = text.replace(
                f"<!-- {snippet.note} -->\n```python\n{snippet.text}```",
                f"<!-- {snippet.note} -->\n```python\n{made}```",
            )
    if os.environ.get("WRITE_DOCS"):
        page.write_text(text, encoding="utf-8")

    assert page.read_text(encoding="utf-8") == text, "run: WRITE_DOCS=1 python -m pytest tests/docs/test_snippets.py"


def test_python_runs(snippets: Snippets, cautious: Path, tmp_path: Path) -> None:
    """A declaration is made, a hooks module offers what it says. Programs that call endpoints are at least read."""
    for snippet in snippets("python"):
        compile(snippet.text, str(snippet), "exec")
        if snippet.note.startswith(("file: ", "app: ")) or snippet.page.endswith("README.md"):
            path = [str(cautious / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
            if snippet.note == "needs a server":
                continue
            ran = subprocess.run(
                [sys.executable, "-c", snippet.text],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                check=False,
                capture_output=True,
                text=True,
            )
            assert ran.returncode == 0, f"{snippet}: {ran.stderr}"


def test_every_python_snippet_says_what_it_is(snippets: Snippets) -> None:
    """Or is a contract, which is generated, or an example in a README."""
    known = ("file: ", "app: ", "script: ", TEMPLATE, "needs a server")
    bare = [
        str(snippet)
        for snippet in snippets("python")
        if not snippet.note.startswith(known)
        and not snippet.page.endswith("README.md")
        and snippet.page != "docs/extension-points.md"
    ]

    assert bare == []


def test_settings_are_settings(snippets: Snippets, tmp_path: Path) -> None:
    """A settings file that is shown can be used."""
    for snippet in snippets("toml"):
        if snippet.note.startswith("scenario: "):
            continue
        (tmp_path / "flashcore.toml").write_text(snippet.text)
        read_settings(tmp_path, {}, {})
        for name in tomllib.loads(snippet.text).get("environments", {}):
            read_settings(tmp_path, {}, {"environment": name})


def test_scenarios_run(snippets: Snippets, tmp_path: Path) -> None:
    """And come out as they say."""
    for snippet in snippets("toml"):
        if snippet.note.startswith("scenario: "):
            file = tmp_path / snippet.note.removeprefix("scenario: ")
            file.write_text(snippet.text)

            result = run(read_scenario(file))

            assert result.good, (str(snippet), result.breaches, result.unmet, result.stuck)


def typed(snippet: Any) -> list[list[str]]:
    """The commands of a console snippet, in words."""
    lines = [line.removeprefix("$ ") for line in snippet.text.splitlines() if line.startswith("$ ")]
    return [shlex.split(line, comments=True) for line in lines]


def test_commands_can_be_typed(snippets: Snippets, repository: Path) -> None:
    """Each `flashcore` line is understood by the command line, each `make` line is in the Makefile."""
    targets = (repository / "Makefile").read_text()
    for snippet in snippets("console"):
        for command in typed(snippet):
            if command[0] == "flashcore":
                understood(cli, command[1:], str(snippet))
            elif command[0] == "make":
                assert f"\n{command[1]}:" in targets, snippet


def understood(group: click.Group, words: list[str], where: str, above: click.Context | None = None) -> None:
    """Parse a command line without running it."""
    context = click.Context(group, above, **group.context_settings)  # commands remember what it calls their --help
    command = group.get_command(context, words[0])
    assert command is not None, f"{where}: there is no command {words[0]}"
    if isinstance(command, click.Group):
        understood(command, words[1:], where, context)
        return
    try:
        command.make_context(words[0], words[1:], parent=context)
    except click.UsageError as error:
        pytest.fail(f"{where}: {' '.join(words)}: {error.format_message()}")
