"""Replicas get their secrets from the environment or a private file, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashcore.model.errors import ConfigurationError, Refused
from flashcore.model.names import RevisionId
from flashcore.model.token import inner_token
from flashcore.settings import Project, Settings
from flashcore.surroundings import ProjectSurroundings, read_secrets
from flashcore.wire.hop import hop_key


def secrets_file(root: Path, text: str, mode: int = 0o600) -> Path:
    """A project's secrets file."""
    path = root / ".flashcore" / "secrets"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_secret_is_taken_from_the_environment_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearer source wins, and only what is declared is handed out."""
    secrets_file(tmp_path, "# tokens\nAPI_KEY = from the file\n\nOTHER=x=y\nUNASKED=1\n")
    monkeypatch.setenv("API_KEY", "from the environment")

    found = ProjectSurroundings(Project(tmp_path, Settings("shop"))).secrets(("API_KEY", "OTHER"))

    assert found == {"API_KEY": "from the environment", "OTHER": "x=y"}


def test_a_secret_that_is_nowhere_is_named(tmp_path: Path) -> None:
    """The deploy is refused before a replica misses it."""
    with pytest.raises(Refused, match="NOWHERE"):
        ProjectSurroundings(Project(tmp_path, Settings("shop"))).secrets(("NOWHERE",))


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """A careless mode does not go unseen."""
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_secrets(secrets_file(tmp_path, "A=1\n", 0o640))


def test_a_line_that_is_none_is_named_without_its_content(tmp_path: Path) -> None:
    """The message has the line's number, never its text."""
    with pytest.raises(ConfigurationError) as caught:
        read_secrets(secrets_file(tmp_path, "A=1\nhunter2\n"))

    assert ":2 " in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_replicas_are_given_what_they_prove_with_and_nothing_that_allows_more(tmp_path: Path) -> None:
    """A token that calls, a key of their revision; neither the environment's token nor what keys are made of."""
    project = Project(tmp_path, Settings("shop"))
    project.layout.home.mkdir(parents=True)
    project.layout.token.write_text("everything\n")
    project.layout.hop_key.write_text("the secret\n")
    surroundings = ProjectSurroundings(project)

    secrets = surroundings.secrets(())
    headers = surroundings.probe_headers(RevisionId("r1"))

    assert secrets == {"FLASHCORE_TOKEN": inner_token("everything")}
    assert headers == {"x-flashcore-hop": hop_key("the secret", "r1")}
    assert not {"everything", "the secret"} & {*secrets.values(), *headers.values()}
