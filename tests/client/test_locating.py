"""Where calls go."""

import json
from pathlib import Path

import pytest

from flashcore import Unavailable
from flashcore.client.locate import gateway_url
from flashcore.model.layout import Layout


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, with the working directory somewhere inside."""
    (tmp_path / "flashcore.toml").write_text("")
    inside = tmp_path / "pkg" / "deep"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    return tmp_path


def write_url(root: Path, environment: str, url: str) -> None:
    """Do as a gateway does when it listens."""
    file = Layout(root, environment).gateway_file
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"pid": 1, "url": url}))


def test_the_variable_comes_first(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas are told by it."""
    write_url(project, "production", "http://here:1")
    monkeypatch.setenv("FLASHCORE_GATEWAY_URL", "http://there:2/")

    assert gateway_url() == "http://there:2"


def test_the_projects_gateway_is_found_from_inside_it(project: Path) -> None:
    """Nothing needs to be set on the machine where it runs."""
    write_url(project, "production", "http://here:1")

    assert gateway_url() == "http://here:1"


def test_another_environment_is_asked_for_by_a_variable(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLASHCORE_ENV means the same as for the commands."""
    write_url(project, "staging", "http://stage:1")
    monkeypatch.setenv("FLASHCORE_ENV", "staging")

    assert gateway_url() == "http://stage:1"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("flashcore.toml", 'environment = "staging"\n'),
        ("pyproject.toml", '[tool.flashcore]\nenvironment = "staging"\n'),
    ],
)
def test_a_project_may_name_its_environment(project: Path, file: str, text: str) -> None:
    """Calls go to where `flashcore deploy` in the same folder deploys."""
    write_url(project, "staging", "http://stage:1")
    (project / file).write_text(text)

    assert gateway_url() == "http://stage:1"


def test_a_project_that_is_not_deployed_says_how_to(project: Path) -> None:
    """The most frequent reason by far."""
    with pytest.raises(Unavailable, match=r"no gateway runs for environment 'production'(.|\n)*flashcore deploy"):
        gateway_url()


def test_a_torn_file_is_named(project: Path) -> None:
    """It is not taken for no gateway."""
    write_url(project, "production", "x")
    Layout(project, "production").gateway_file.write_text("{")

    with pytest.raises(Unavailable, match=r"gateway\.json cannot be read"):
        gateway_url()


def test_outside_of_a_project_the_places_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("__main__.__file__", str(tmp_path / "main.py"), raising=False)

    with pytest.raises(Unavailable, match="no flashcore project was found"):
        gateway_url()
