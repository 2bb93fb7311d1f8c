"""Findings about plugins and about the distribution."""

import sys
from pathlib import Path

import pytest
from tests.registry.conftest import Site

import flashcore
from flashcore.registry.doctor import (
    Severity,
    name_clash,
    plugin_findings,
    policy_findings,
    restart_findings,
    state_findings,
)
from flashcore.registry.policy import Ban, Policy
from flashcore.registry.reports import Origin, PluginReport, State


def foreign(folder: Path) -> None:
    """The other project called flashcore, as an installer leaves it."""
    info = folder / "flashcore-0.1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flashcore\nVersion: 0.1.5\n")
    (info / "RECORD").write_text("flashcore/__init__.py,,\nflashcore/core.so,,\nflashcore-0.1.5.dist-info/METADATA,,\n")


def test_the_other_project_of_our_name_is_found(tmp_path: Path) -> None:
    """Installed elsewhere on the path, one of the two packages hides the other."""
    foreign(tmp_path)
    (tmp_path / "flashcore").mkdir()
    for name in ("__init__.py", "core.so"):
        (tmp_path / "flashcore" / name).touch()

    (finding,) = name_clash([str(tmp_path)])

    assert finding.severity is Severity.WRONG
    assert "flashcore 0.1.5 is another project" in finding.message
    assert "(2 files): whichever is first on the path hides the other" in finding.message
    assert finding.next_step == "pip uninstall flashcore, then pip install --force-reinstall flashcore-framework"


def test_in_one_folder_the_two_overwrite_each_other(tmp_path: Path) -> None:
    """Which is worse, and is said."""
    foreign(tmp_path)
    (tmp_path / "flashcore").symlink_to(Path(flashcore.__file__).parent)

    (finding,) = name_clash([str(tmp_path)])

    assert "overwrite each other's files" in finding.message


def test_without_the_other_project_there_is_no_finding() -> None:
    """Nor for our own distribution, whose name is longer."""
    assert list(name_clash(sys.path)) == []


def test_states_are_findings(site: Site) -> None:
    """What works is fine, what somebody switched off is worth a note, what does not work is wrong."""
    site.strategy("fine")
    site.plugin("noted", "", requires=["flashcore"])
    site.plugin("torn", "1 / 0")
    reports = site.under(Policy(bans=(Ban("fine", "--no-plugin"),))).loaded().reports

    found = [(one.severity, one.message) for one in state_findings(reports)]

    assert found[0] == (Severity.FINE, f"plugin builtin (flashcore-framework {flashcore.__version__}) is active")
    assert found[1][0] is Severity.NOTE
    assert "is disabled: switched off by --no-plugin" in found[1][1]
    assert found[2] == (Severity.FINE, "plugin noted (flashcore-noted 1.0) is active")
    assert found[3][0] is Severity.NOTE
    assert found[4][0] is Severity.WRONG
    assert "ZeroDivisionError" in found[4][1]


def test_a_ban_on_nobody_is_noted(site: Site) -> None:
    """A mistyped name leaves the plugin in."""
    site.strategy("acme")
    policy = Policy(bans=(Ban("acmee", "--no-plugin"), Ban("flashcore-acme", "--no-plugin")))

    (finding,) = policy_findings(policy, site.loaded().reports)

    assert "--no-plugin names 'acmee', which is not installed, did you mean 'acme'" in finding.message


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        ({"acme@flashcore-acme": "1.0"}, None),
        ({"acme@flashcore-acme": "0.9"}, "went from 0.9 to 1.0"),
        ({}, "was installed"),
        ({"acme@flashcore-acme": "1.0", "old@flashcore-old": "2.0"}, "was removed"),
    ],
)
def test_a_process_with_other_plugins_needs_a_restart(loaded: dict[str, str], message: str | None) -> None:
    """It goes on with what it loaded, whatever was installed since."""
    reports = [
        PluginReport(Origin("acme", "flashcore-acme", "1.0"), "", "", State.ACTIVE),
        PluginReport(Origin("torn", "flashcore-torn", "1.0"), "", "", State.BROKEN),
    ]

    found = list(restart_findings(loaded, reports))

    assert [("restart needed" in one.message and message in one.message) for one in found if message] == (
        [True] if message else []
    )
    assert len(found) == (1 if message else 0)


def test_a_registry_tells_what_it_has_loaded(site: Site) -> None:
    """To be compared later with what is installed then."""
    site.strategy("acme", version="0.3")
    site.plugin("torn", "1 / 0")
    registry = site.registry()

    assert registry.versions()["acme@flashcore-acme"] == "0.3"
    assert "torn@flashcore-torn" not in registry.versions()
    assert list(restart_findings(registry.versions(), registry.reports)) == []


def test_all_findings_of_this_process(site: Site, tmp_path: Path) -> None:
    """What `flashcore doctor` asks for."""
    site.plugin("torn", "1 / 0")

    messages = [one.message for one in plugin_findings(tmp_path, ["--no-plugin", "nobody"])]

    assert any("torn (flashcore-torn 1.0) is broken" in message for message in messages)
    assert any("nobody" in message for message in messages)
