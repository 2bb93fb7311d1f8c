"""What the templates make: which files, and that nothing of the template is left in them."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from flashcore import __version__
from flashcore.model.names import scope_part

Generate = Callable[..., Path]

CONCERNS = ("strategy", "gate", "scaler", "probe", "routing_policy")
BOOLEANS = ("yes", "no")
PROJECTS = [("project", {"http": http, "local_plugin": local}) for http, local in product(BOOLEANS, BOOLEANS)]
PLUGINS = [("plugin", {"concern": concern, "ci": ci}) for concern, ci in product(CONCERNS, BOOLEANS)]
LEFTOVERS = re.compile(r"\{\{|\}\}|\{%|cookiecutter|/(?:tmp|home|root|work)/")


def files(folder: Path) -> set[str]:
    """All files below a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run_in(folder: Path, tool: str, *arguments: str) -> None:
    """Run a tool on what was generated; what it complains of is shown."""
    command = [sys.executable, "-m", tool, *arguments]
    ran = subprocess.run(command, cwd=folder, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(("http", "local_plugin"), list(product(BOOLEANS, BOOLEANS)))
def test_a_project_has_these_files(generated: Generate, http: str, local_plugin: str) -> None:
    """One more with a plugin of its own."""
    folder = generated("project", name="shop", http=http, local_plugin=local_plugin)

    own = {"flashcore_plugins.py"} if local_plugin == "yes" else set[str]()
    assert folder.name == "shop"
    assert files(folder) == own | {
        ".flashcore-template.json",
        ".gitignore",
        "README.md",
        "app.py",
        "flashcore.toml",
        "pyproject.toml",
        "tests/test_app.py",
    }


@pytest.mark.parametrize(("concern", "ci"), list(product(CONCERNS, BOOLEANS)))
def test_a_plugin_has_these_files(generated: Generate, concern: str, ci: str) -> None:
    """One part, its tests, and a workflow if one is wanted."""
    folder = generated("plugin", name="two-words", concern=concern, ci=ci)

    source = "src/flashcore_contrib_two_words"
    workflow = {".github/workflows/test.yml"} if ci == "yes" else set[str]()
    assert folder.name == "flashcore-contrib-two-words"
    assert files(folder) == workflow | {
        ".flashcore-template.json",
        ".gitignore",
        "CHANGELOG.md",
        "README.md",
        "pyproject.toml",
        f"{source}/__init__.py",
        f"{source}/forms.py",
        f"{source}/hooks.py",
        f"{source}/py.typed",
        f"{source}/{concern}.py",
        "tests/test_conformance.py",
        "tests/test_installed.py",
        f"tests/test_{concern}.py",
    }
    assert (folder / ".github").exists() == (ci == "yes")


@pytest.mark.parametrize(("template", "answers"), PROJECTS + PLUGINS)
def test_nothing_of_the_template_is_left(generated: Generate, template: str, answers: dict[str, str]) -> None:
    """No braces, no path of this machine, and each file ends with one newline."""
    folder = generated(template, **answers)

    for name in files(folder) - {file for file in files(folder) if file.endswith("py.typed")}:
        text = (folder / name).read_text(encoding="utf-8")
        assert not LEFTOVERS.search(text), name
        assert re.search(r"\S\n\Z", text), name


@pytest.mark.parametrize(("template", "answers"), PROJECTS + PLUGINS)
def test_the_answers_are_kept(generated: Generate, template: str, answers: dict[str, str]) -> None:
    """With the template's version, as real booleans."""
    kept = json.loads((generated(template, **answers) / ".flashcore-template.json").read_text())

    given = {name: {"yes": True, "no": False}.get(answer, answer) for name, answer in answers.items()}
    assert kept["template"] == template
    assert kept["version"] == 1
    assert given.items() <= kept["answers"].items()


@pytest.mark.parametrize(("template", "answers"), PROJECTS + PLUGINS)
def test_it_is_in_good_style(generated: Generate, template: str, answers: dict[str, str]) -> None:
    """By the rules that it brings along itself."""
    folder = generated(template, **answers)

    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        run_in(folder, "ruff", *command, ".")


@pytest.mark.slow
@pytest.mark.parametrize(("template", "answers"), PROJECTS[::3] + PLUGINS[::2])
def test_its_types_are_strict(generated: Generate, template: str, answers: dict[str, str]) -> None:
    """Its tests' types, too."""
    folder = generated(template, **answers)

    places = ["."] if template == "project" else ["src", "tests"]
    run_in(folder, "mypy", "--strict", *places)


@pytest.mark.parametrize(("template", "answers"), PROJECTS)
def test_the_tests_of_a_project_pass(generated: Generate, template: str, answers: dict[str, str]) -> None:
    """Without a server, and without installing anything."""
    folder = generated(template, **answers)

    run_in(folder, "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.parametrize("template", ["project", "plugin"])
def test_it_asks_for_this_flashcore_or_newer(generated: Generate, template: str) -> None:
    """The floor moves with the core's version, and the ceiling is above it."""
    project = tomllib.loads((generated(template) / "pyproject.toml").read_text())["project"]

    major, minor = map(int, __version__.split(".")[:2])
    assert project["dependencies"] == [f"flashcore-framework>={__version__},<{major}.{minor + 1}"]


def test_the_defaults_can_be_used(generated: Generate) -> None:
    """The app's name is one that flashcore takes, and so is the part's."""
    project, plugin = generated("project"), generated("plugin")

    assert scope_part(project.name, "app") == "shop"
    assert "flashcore-plugin" in tomllib.loads((plugin / "pyproject.toml").read_text())["project"]["keywords"]


@pytest.mark.parametrize("template", ["project", "plugin"])
def test_plain_cookiecutter_makes_the_same(
    generated: Generate, template: str, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The templates need nothing of flashcore's command line."""
    monkeypatch.setenv("HOME", str(tmp_path))
    ours, other = generated(template), tmp_path / "plain"
    source = str(repository / "cookiecutter" / template)

    command = [sys.executable, "-m", "cookiecutter", source, "--no-input", "--output-dir", str(other)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    assert files(other / ours.name) == files(ours)
    for name in files(ours):
        assert (other / ours.name / name).read_bytes() == (ours / name).read_bytes()


def flashcore(folder: Path, *arguments: str) -> Any:
    """What a command answers in what was generated."""
    command = [sys.executable, "-m", "flashcore", *arguments, "--json"]
    ran = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return json.loads(ran.stdout)


@pytest.mark.parametrize(("http", "endpoints"), [("yes", ["jobs", "web"]), ("no", ["jobs"])])
def test_a_project_is_built(generated: Generate, http: str, endpoints: list[str]) -> None:
    """As it is, without a change."""
    folder = generated("project", http=http)

    manifest = flashcore(folder, "build")["manifest"]

    assert manifest["app"] == "shop"
    assert [endpoint["name"] for endpoint in manifest["endpoints"]] == endpoints


def test_the_plugin_of_a_project_is_active(generated: Generate) -> None:
    """In its folder, without having been installed."""
    folder = generated("project", local_plugin="yes")

    plugins = {plugin["name"]: plugin for plugin in flashcore(folder, "plugins", "list")["plugins"]}

    assert plugins["local:flashcore_plugins.py"]["state"] == "active"
    assert plugins["local:flashcore_plugins.py"]["hooks"] == ["event"]
