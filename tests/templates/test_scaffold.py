"""Generating from a template: what is refused, and that nothing is left behind."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from flashcore.cli.main import cli
from flashcore.cli.scaffold import generate, generate_here, is_here, template, template_folder, template_names
from flashcore.model.errors import Refused, UsageError


def test_the_templates_are_found() -> None:
    """In a checkout as in a wheel."""
    assert template_names() == ("plugin", "project")


def test_an_unknown_template_is_refused_with_those_that_there_are() -> None:
    """By name."""
    with pytest.raises(UsageError, match="choose one of: plugin, project"):
        template("projekt")


@pytest.mark.parametrize(
    ("name", "answers", "reason"),
    [
        ("project", {"name": "Shop 1"}, "Write 'shop-1', for instance"),
        ("project", {"name": "x" * 41}, "at most 40"),
        ("project", {"name": 'x";import os'}, "lower-case letters"),
        ("plugin", {"name": "flashcore-acme"}, "write 'acme', not 'flashcore-acme'"),
        ("plugin", {"name": "flashcore_contrib_acme"}, "write 'acme'"),
        ("plugin", {"name": "1st"}, "a letter first"),
        ("plugin", {"name": "none"}, "a word of Python's own"),
        ("plugin", {"distribution": "Acme Plugin"}, "the distribution 'Acme Plugin' cannot be used"),
        ("plugin", {"distribution": "flashcore"}, "another project"),
        ("plugin", {"distribution": "flashcore-redis"}, "is flashcore's own"),
    ],
)
def test_names_that_cannot_be_used_are_refused(
    name: str, answers: dict[str, str], reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the reason, and nothing is made."""
    with pytest.raises(UsageError, match="for the reason above"):
        generate(name, tmp_path, answers, ask=False)

    said = capfd.readouterr().err
    assert reason in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_choice_that_there_is_not_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    """Before anything is made."""
    with pytest.raises(UsageError, match="'strategy', 'gate'") as refused:
        generate("plugin", tmp_path, {"concern": "job-store"}, ask=False)

    assert "docs/extension-points.md" in (refused.value.next_step or "")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_nobody_asks_for_is_refused(tmp_path: Path) -> None:
    """A mistyped answer would otherwise be ignored."""
    with pytest.raises(UsageError, match="does not ask for 'nmae'"):
        generate("project", tmp_path, {"nmae": "shop"}, ask=False)


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """Whatever is in it."""
    (tmp_path / "shop").mkdir()

    with pytest.raises(Refused, match="already exists"):
        generate("project", tmp_path, {"name": "shop"}, ask=False)

    assert list((tmp_path / "shop").iterdir()) == []


def test_nothing_is_left_at_home_nor_among_the_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cookiecutter by itself keeps replays at home, and leaves its hooks behind."""
    home, temporary, result = (tmp_path / name for name in ("home", "temporary", "result"))
    for folder in (home, temporary, result):
        folder.mkdir()
    script = (
        "from pathlib import Path; from flashcore.cli.scaffold import generate;"
        "generate('plugin', Path('.'), {}, ask=False)"
    )

    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", script], cwd=result, env=environment, check=True)

    assert [path.name for path in result.iterdir()] == ["flashcore-contrib-acme"]
    assert list(home.iterdir()) == []
    assert list(temporary.iterdir()) == []


def test_what_an_installer_compiled_is_not_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an installed package the templates' own Python files have been compiled."""
    installed = Path(shutil.copytree(template_folder(), tmp_path / "installed"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", "plugin"], cwd=installed, check=False)
    assert list(installed.rglob("*.pyc")) != []
    monkeypatch.setattr("flashcore.cli.scaffold.template_folder", lambda: installed)

    made = generate("plugin", tmp_path, {}, ask=False)

    assert list(made.rglob("__pycache__")) == []


def test_settings_of_the_users_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers make the same project for everybody."""
    configuration = tmp_path / "cookiecutterrc"
    configuration.write_text("default_context: {name: from-home}")
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(configuration))

    assert generate("project", tmp_path, {}, ask=False).name == "shop"


def test_the_temporary_folder_is_as_before(tmp_path: Path) -> None:
    """It is moved while a template is used, for the whole process."""
    before = tempfile.tempdir

    generate("project", tmp_path, {}, ask=False)

    assert tempfile.tempdir == before


def test_somebody_is_asked_when_asking_is_wanted(tmp_path: Path) -> None:
    """By questions that say what is meant."""
    script = (
        "from pathlib import Path; from flashcore.cli.scaffold import generate;"
        "generate('plugin', Path('.'), {'name': 'acme'}, ask=True)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, input="\n4\n\nn\n", capture_output=True, text=True, check=True
    )

    assert "whether a replica is well" in ran.stdout
    assert (tmp_path / "flashcore-contrib-acme/src/flashcore_contrib_acme/probe.py").is_file()
    assert not (tmp_path / "flashcore-contrib-acme/.github").exists()


def test_an_empty_folder_becomes_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives the name; a repository that was begun in it is no content."""
    folder = tmp_path / "My Shop"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)

    ran = CliRunner().invoke(cli, ["init", ".", "--no-input"])

    assert (ran.exit_code, is_here(".")) == (0, True)
    assert 'app = "my-shop"' in (folder / "flashcore.toml").read_text()
    assert (folder / ".git").is_dir()
    assert "cd " not in ran.output
    assert [path.name for path in tmp_path.iterdir()] == ["My Shop"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    """Files of somebody's would lie among those of the template."""
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(Refused, match=r"is not empty: notes\.txt") as refused:
        generate_here("project", tmp_path, {}, ask=False)

    assert "flashcore init NAME" in (refused.value.next_step or "")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
