"""A project's own flashcore_plugins.py."""

import os
from pathlib import Path

import pytest
from tests.registry.conftest import Site

from flashcore.model.errors import PluginError
from flashcore.model.parts import PartRef
from flashcore.registry.policy import Policy
from flashcore.registry.refresh import examine
from flashcore.registry.reports import State

TEXT = """
from __future__ import annotations
from dataclasses import dataclass
from flashcore.plugin import Part, hookimpl

@dataclass(frozen=True, slots=True)
class Options:
    word: str = "{word}"

class Strategy:
    def __init__(self, options):
        self.word = options.word
    def budget(self, goal): ...
    def decide(self, view): ...

@hookimpl
def flashcore_strategies():
    return {{
        "mine": Part(
            "flashcore_plugins:Strategy",
            "Of this project",
            options="flashcore_plugins:Options",
            declares=("flashcore_plugins:Options",),
        )
    }}
"""


def project(folder: Path, word: str = "hello") -> Path:
    """A folder with a plugin of its own."""
    folder.mkdir(parents=True)
    (folder / "flashcore_plugins.py").write_text(TEXT.format(word=word))
    return folder


def test_a_projects_own_file_is_a_plugin(site: Site, tmp_path: Path) -> None:
    """Its parts are made like all others, and its name says where it is from."""
    registry = site.beside(project(tmp_path / "shop")).registry()

    (report,) = [one for one in registry.reports if one.origin.answers_to("local")]
    assert str(report.origin) == "local:flashcore_plugins.py"
    assert report.state is State.ACTIVE
    assert report.source == str(tmp_path / "shop" / "flashcore_plugins.py")
    assert registry.strategies.make(PartRef("mine", ("bye",))).word == "bye"  # type: ignore[attr-defined]  # written above
    assert registry.declared("flashcore_plugins:Options") == ("strategies", "mine")


def test_two_projects_in_one_process_have_a_file_each(site: Site, tmp_path: Path) -> None:
    """Files of one name in two folders are two plugins."""
    one = site.beside(project(tmp_path / "one", "one")).registry()
    two = site.beside(project(tmp_path / "two", "two")).registry()

    words = [registry.strategies.make(PartRef("mine")).word for registry in (one, two, one)]  # type: ignore[attr-defined]  # written above

    assert words == ["one", "two", "one"]


def test_a_parent_directory_is_never_looked_into(site: Site, tmp_path: Path) -> None:
    """Whoever can write above a project must not run code in it."""
    project(tmp_path / "shop")
    inner = tmp_path / "shop" / "inner"
    inner.mkdir()

    assert [report.origin.name for report in site.beside(inner).loaded().reports] == ["builtin"]


@pytest.mark.parametrize("policy", [Policy(allowed=(), allowed_by="--no-plugins"), Policy(allowed=("acme",))])
def test_it_is_switched_off_like_any_other(site: Site, tmp_path: Path, policy: Policy) -> None:
    """Without being run."""
    folder = project(tmp_path / "shop")
    (folder / "flashcore_plugins.py").write_text("raise SystemExit")

    assert site.under(policy).beside(folder).report("local").state is State.DISABLED


def test_a_broken_file_is_told_of(site: Site, tmp_path: Path) -> None:
    """With the file to correct."""
    folder = project(tmp_path / "shop")
    (folder / "flashcore_plugins.py").write_text("1 / 0")

    report = site.beside(folder).report("local")

    assert report.state is State.BROKEN
    assert "ZeroDivisionError" in report.reason
    assert "correct flashcore_plugins.py" in report.next_step


def test_a_file_that_others_may_write_to_is_not_run(site: Site, tmp_path: Path) -> None:
    """It runs as whoever calls flashcore there."""
    folder = project(tmp_path / "shop")
    (folder / "flashcore_plugins.py").chmod(0o666)

    report = site.beside(folder).report("local")

    assert report.state is State.DISABLED
    assert "others may write to it" in report.reason
    assert "chmod" in report.next_step


def test_a_file_of_another_user_is_not_run(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a shared folder."""
    folder = project(tmp_path / "shop")
    file = folder / "flashcore_plugins.py"
    if os.geteuid() == 0:
        os.chown(file, 12345, -1)
    else:
        owner = file.stat().st_uid
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    assert site.beside(folder).report("local").state is State.DISABLED


def test_a_reference_that_does_not_resolve_names_the_file(site: Site, tmp_path: Path) -> None:
    """There is no distribution to upgrade."""
    folder = project(tmp_path / "shop")
    file = folder / "flashcore_plugins.py"
    file.write_text(file.read_text().replace("flashcore_plugins:Strategy", "flashcore_plugins:Absent"))

    with pytest.raises(PluginError) as caught:
        site.beside(folder).registry().strategies.make(PartRef("mine"))

    assert "strategy 'mine' of local:flashcore_plugins.py" in caught.value.message
    assert "correct flashcore_plugins.py" in str(caught.value.next_step)


def test_it_is_examined_elsewhere_like_all_others(site: Site, tmp_path: Path) -> None:
    """A survey has it too."""
    setting = site.beside(project(tmp_path / "shop")).setting(None)

    assert [(one.origin.name, one.state) for one in examine(setting)][1:] == [
        ("local:flashcore_plugins.py", State.ACTIVE)
    ]
