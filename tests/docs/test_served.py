"""The apps that pages show are served, and the commands below them answer what the pages say."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Snippets = Callable[[str], list[Any]]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ProjectUnderTest]:
    """An empty project; nothing of it is left running."""
    under_test = ProjectUnderTest(tmp_path / "shop")
    under_test.write("flashcore.toml", 'app = "shop"\n')
    yield under_test
    under_test.run("server", "stop")
    left = under_test.processes()
    for process in left:
        process.kill()
    assert left == []


def commands_with_answers(text: str) -> Iterator[tuple[list[str], str]]:
    """The `flashcore` commands of a snippet, each with what is shown below it."""
    for block in text.removeprefix("$ ").split("\n$ "):
        line, _, answer = block.partition("\n")
        words = shlex.split(line, comments=True)
        if words[0] == "flashcore" and words[1] != "init":
            yield words[1:], answer.strip()


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_what_a_page_shows_is_so(project: ProjectUnderTest, snippets: Snippets, page: str) -> None:
    """Deploy the page's app, type its commands, run its program, take all away."""
    (app,) = [one for one in snippets("python") if one.page == page and one.note.startswith("app: ")]
    programs = [one for one in snippets("python") if one.page == page and one.note == "needs a server"]
    shown = [one.text for one in snippets("console") if one.page == page and one.note == "run"]
    typed = [command for text in shown for command in commands_with_answers(text)]
    last = next(position for position, (words, _) in enumerate(typed) if words[0] == "undeploy")
    project.write(app.note.removeprefix("app: "), app.text)

    for words, answer in typed[:last]:
        ran = project.must(*words)
        assert not answer or ran.out.strip() == answer, words
    for program in programs:
        subprocess.run([sys.executable, "-c", program.text], cwd=project.root, check=True, timeout=60)
    for words, _ in typed[last:]:
        project.must(*words)

    assert project.processes() == []
