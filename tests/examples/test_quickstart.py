"""The quickstart's app, without a server."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def quickstart(repository: Path, tmp_path: Path) -> Path:
    """A copy of its folder."""
    copy = tmp_path / "quickstart"
    shutil.copytree(repository / "examples" / "quickstart", copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    return copy


def test_it_is_built_as_it_is(quickstart: Path) -> None:
    """Three endpoints, from the source alone."""
    ran = subprocess.run(
        [sys.executable, "-m", "flashcore", "build", "--json"],
        cwd=quickstart,
        check=True,
        capture_output=True,
        text=True,
    )

    endpoints = json.loads(ran.stdout)["manifest"]["endpoints"]
    assert {one["name"]: [function["name"] for function in one["functions"]] for one in endpoints} == {
        "memory": ["Notebook"],
        "texts": ["greet", "count_words", "divide"],
        "web": ["item", "hello"],
    }


def test_its_functions_can_be_called_here(quickstart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As any function, by `local`."""
    monkeypatch.syspath_prepend(str(quickstart))
    import app  # type: ignore[import-not-found]  # it is in the copy

    assert app.greet.local("Ada") == "Hello, Ada! This is version 1."
    assert asyncio.run(app.count_words.local("to be or not to be"))["be"] == 2
    assert app.item.local(12, verbose=True) == {"item": 12, "version": 1, "square": 144}
    notebook = app.Notebook.local("shopping")
    assert (notebook.write("milk"), notebook.read()) == (1, "shopping\nmilk")
    del sys.modules["app"]


def test_the_tour_finds_what_it_changes(quickstart: Path) -> None:
    """Its second version is the first with another number."""
    assert (quickstart / "app.py").read_text().count("\nVERSION = 1\n") == 1
