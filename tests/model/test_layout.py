"""Where things lie on a local disk."""

import os
import tempfile
from pathlib import Path

import pytest

from flashcore.model.layout import MAX_SOCKET_PATH, Layout

LONGEST_SOCKET = "x" * 56 + ".sock"


def test_sockets_are_in_the_project_while_its_path_is_short() -> None:
    """With everything else of the environment."""
    layout = Layout(Path("/srv"), "dev")

    assert layout.run == layout.home / "run"


def test_sockets_of_a_project_with_a_long_path_are_among_the_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each project and environment has a folder of its own there."""
    monkeypatch.setattr(tempfile, "tempdir", "/var/t")
    deep = Path("/srv") / ("deep" * 20)

    runs = {Layout(deep / name, environment).run for name in ("a", "b") for environment in ("dev", "production")}

    assert len(runs) == 4
    assert {run.parent for run in runs} == {Path("/var/t")}


def test_sockets_fit_where_the_temporary_folder_has_a_long_path_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    monkeypatch.setattr(tempfile, "tempdir", "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T")

    longest = Layout(Path("/srv") / ("deep" * 20), "production").run / LONGEST_SOCKET

    assert len(os.fsencode(longest)) <= MAX_SOCKET_PATH
