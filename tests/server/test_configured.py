"""Settings that are changed while a process goes by those that it began with."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashcore.configured import Configured
from flashcore.settings import open_project

BEFORE = """
app = "shop"
[gateway]
queued_limit = 4
[environments.staging]
auth = "on"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The project's settings."""
    path = tmp_path / "flashcore.toml"
    path.write_text(BEFORE)
    return path


def configured(file: Path, environment: str | None = None) -> Configured:
    """As of now."""
    return Configured(open_project(file.parent, {}, {"environment": environment}))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (BEFORE, ""),
        (BEFORE + "host = 'localhost'", ""),  # in the table of another environment
        (BEFORE.replace("queued_limit = 4", "queued_limit = 5"), "gateway changed"),
        ("state = 'memory:'\n" + BEFORE.replace("4", "5"), "state, gateway changed"),
        ("scan = 'import'\n" + BEFORE, ""),
        (
            "hots = 'x'\n" + BEFORE,
            "cannot be read any more, those of before go on: flashcore.toml: there is no setting",
        ),
        ("= 3", "is not valid TOML"),
    ],
)
def test_what_needs_a_restart_is_named(file: Path, after: str, said: str) -> None:
    """Only what this environment's processes go by."""
    known = configured(file)

    file.write_text(after)

    changes = known.changes()
    assert said in changes
    assert bool(said) is bool(changes)


def test_an_environments_own_settings_are_its_own(file: Path) -> None:
    """And those of the file count where it has none."""
    known = configured(file, "staging")

    file.write_text(BEFORE.replace('"on"', '"off"'))

    assert "auth changed" in known.changes()
    file.write_text(BEFORE)
    assert known.changes() == ""


def test_a_file_that_comes_later_counts(tmp_path: Path) -> None:
    """It was empty when the process began."""
    file = tmp_path / "flashcore.toml"
    file.write_text("")
    known = configured(file)

    file.write_text("[ports]\ngateway = 9000\n")

    assert "restart needed: ports changed" in known.changes()
