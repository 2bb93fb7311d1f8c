"""Settings come from the file, then the environment, then flags; what does not fit is named with its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashcore.model.errors import ConfigurationError
from flashcore.settings import Ports, open_project, read_settings


def write(root: Path, text: str, name: str = "flashcore.toml") -> Path:
    """A project with that configuration."""
    (root / name).write_text(text, encoding="utf-8")
    return root


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    """Each later source overrides what it names and nothing else."""
    root = write(tmp_path, 'app = "shop"\nhost = "127.0.0.2"\n[ports]\ngateway = 1000\napi = 1001\n')

    settings = read_settings(
        root,
        {"FLASHCORE_GATEWAY_PORT": "2000", "FLASHCORE_ENV": "staging"},
        {"environment": "canary", "provider": None},
    )

    assert (settings.app, settings.environment, settings.host) == ("shop", "canary", "127.0.0.2")
    assert settings.ports == Ports(gateway=2000, api=1001)


def test_an_environment_has_its_own_values(tmp_path: Path) -> None:
    """The table of the environment in use is laid over the rest."""
    root = write(
        tmp_path, 'app = "shop"\nstate = "a:"\n[environments.staging]\nstate = "b:"\n[environments.x]\nstate = "c:"\n'
    )

    assert read_settings(root, {}, {}).state == "a:"
    assert read_settings(root, {}, {"environment": "staging"}).state == "b:"


def test_pyproject_will_do(tmp_path: Path) -> None:
    """A table in pyproject.toml is a configuration, and the project's name is the app's."""
    root = write(tmp_path, '[project]\nname = "My_Shop"\n[tool.flashcore]\nprovider = "ray"\n', "pyproject.toml")

    project = open_project(root, {})

    assert (project.settings.app, project.settings.provider) == ("my-shop", "ray")


def test_the_project_is_found_from_a_folder_below_it(tmp_path: Path) -> None:
    """Commands work anywhere in the project."""
    root = write(tmp_path, 'app = "shop"\n')
    (root / "src" / "deep").mkdir(parents=True)

    assert open_project(root / "src" / "deep", {}).root == root


def test_the_project_is_an_absolute_folder_however_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m flashcore.server --project .`: URLs are made of it, which know no working directory."""
    root = write(tmp_path, 'app = "shop"\n')
    monkeypatch.chdir(root)

    assert open_project(Path(), {}).root == root


def test_without_a_project_the_next_step_is_named(tmp_path: Path) -> None:
    """A stranger in an empty folder learns what to do."""
    with pytest.raises(ConfigurationError, match="flashcore init"):
        open_project(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("app = ", "not valid TOML"),
        ('aap = "x"', "did you mean 'app'"),
        ("gateway_port = 1", "did you mean ports.gateway? write gateway = ... under [ports]"),
        ("port_gateway = 1", "did you mean ports.gateway?"),
        ("api_port = 1", "did you mean ports.api?"),
        ('tls_key = "k"', "did you mean tls.key?"),
        ('api-url = "x"', "did you mean api.url?"),
        ("app = 3", "app: str is needed"),
        ('app = "No Good"', "no-good"),
        ("[ports]\ngateway = 70000", "port number"),
        ("[ports]\ngatway = 1", "gatway"),
        ("environments = 3", "must be a table"),
        ("gateway_grace = -1", "gateway_grace is a number of seconds from 0"),
        ("gateway_grace = nan", "gateway_grace is a number of seconds from 0"),
    ],
)
def test_what_does_not_fit_is_named_with_its_source(tmp_path: Path, text: str, said: str) -> None:
    """The message names the file and the key, and where possible what was meant."""
    with pytest.raises(ConfigurationError) as caught:
        read_settings(write(tmp_path, text), {}, {})

    assert said in str(caught.value)
    assert "flashcore.toml" in str(caught.value)


def test_a_variable_that_is_no_port_is_named() -> None:
    """The variable's name is in the message."""
    with pytest.raises(ConfigurationError, match="FLASHCORE_API_PORT"):
        read_settings(Path("/nowhere"), {"FLASHCORE_API_PORT": "eight"}, {})


@pytest.mark.parametrize(
    ("environ", "flags", "said"),
    [
        ({}, {"environment": "my env"}, "--env: environment name 'my env' cannot be used"),
        ({"FLASHCORE_ENV": "my env"}, {}, "FLASHCORE_ENV: environment name 'my env' cannot be used"),
        ({"FLASHCORE_AUTH": "maybe"}, {}, "FLASHCORE_AUTH: auth is 'maybe'"),
        ({"FLASHCORE_API_PORT": "1"}, {"app": "No Good"}, "--app: app name 'No Good' cannot be used"),
    ],
)
def test_what_does_not_fit_is_said_of_where_it_was_set(
    tmp_path: Path, environ: dict[str, str], flags: dict[str, str], said: str
) -> None:
    """Nobody looks in the file for what a flag or a variable says."""
    with pytest.raises(ConfigurationError) as caught:
        read_settings(write(tmp_path, 'app = "shop"'), environ, flags)

    assert caught.value.message.startswith(said)
    assert str(caught.value).count("next:") == 1
