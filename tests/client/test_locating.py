"""Where calls go."""

import json
from pathlib import Path

import pytest

from flashcore import Unavailable
from flashcore.client.locate import call_key, gateway_url
from flashcore.client.whereabouts import Whereabouts
from flashcore.model.layout import Layout
from flashcore.wire.seal import SigningKey
from flashcore.wire.sealed import KEY_VARIABLE


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


def test_the_key_of_calls_is_found_where_the_gateway_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's own callers need not set anything."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    file = Layout(project, "production").call_key
    file.parent.mkdir(parents=True)
    file.write_text("secret\n")

    found = call_key()

    assert found is not None
    assert found.sign(b"x") == SigningKey("secret").sign(b"x")


def test_a_gateway_elsewhere_has_a_key_of_its_own(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This project's would be refused there; the variable says what to sign with, and an empty one not to."""
    file = Layout(project, "production").call_key
    file.parent.mkdir(parents=True)
    file.write_text("secret\n")
    monkeypatch.setenv("FLASHCORE_GATEWAY_URL", "http://there:2")
    monkeypatch.delenv(KEY_VARIABLE, raising=False)

    without = call_key()
    monkeypatch.setenv(KEY_VARIABLE, "theirs")
    given = call_key()
    monkeypatch.delenv("FLASHCORE_GATEWAY_URL")
    monkeypatch.setenv(KEY_VARIABLE, "")
    emptied = call_key()

    assert (without, emptied) == (None, None)
    assert given is not None
    assert given.sign(b"x") == SigningKey("theirs").sign(b"x")


def test_what_was_found_is_found_again_until_it_is_another(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway on another port, another key, another token, another environment: with the next call."""
    for name in ("FLASHCORE_GATEWAY_URL", "FLASHCORE_TOKEN", KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    whereabouts = Whereabouts()

    def found() -> tuple[str, str, bytes]:
        key = whereabouts.key()
        return whereabouts.url(), whereabouts.authorization(), b"" if key is None else key.sign(b"x")

    def place(environment: str, port: int, token: str, secret: str) -> tuple[str, str, bytes]:
        layout = Layout(project, environment)
        layout.home.mkdir(parents=True, exist_ok=True)
        for path, text in (
            (layout.gateway_file, f'{{"url": "http://127.0.0.1:{port}"}}'),
            (layout.token, token),
            (layout.call_key, secret),
        ):
            fresh = path.with_suffix(".new")
            fresh.write_text(text + "\n")
            fresh.replace(path)
        return f"http://127.0.0.1:{port}", f"Bearer {token}", SigningKey(secret).sign(b"x")

    assert [place("production", 8700, "t1", "k1"), place("production", 8700, "t1", "k1")] == [found(), found()]
    assert place("production", 8701, "t2", "k2") == found()
    assert place("elsewhere", 8702, "t3", "k3") != found()
    monkeypatch.setenv("FLASHCORE_ENV", "elsewhere")
    assert place("elsewhere", 8702, "t3", "k3") == found()
    monkeypatch.delenv("FLASHCORE_ENV")
    (project / "flashcore.toml").write_text('environment = "elsewhere"\n')
    assert place("elsewhere", 8703, "t3", "k3") == found()
    monkeypatch.setenv("FLASHCORE_GATEWAY_URL", "http://there:2/")
    assert found() == ("http://there:2", "", b"")
    monkeypatch.delenv("FLASHCORE_GATEWAY_URL")
    Layout(project, "elsewhere").gateway_file.unlink()
    with pytest.raises(Unavailable, match="no gateway runs"):
        whereabouts.url()
