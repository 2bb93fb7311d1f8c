"""Which plugins may be loaded, as said by arguments, variables and settings."""

from pathlib import Path

import pytest

from flashcore.registry.policy import Policy, configured_bans, policy_arguments, policy_of
from flashcore.registry.reports import Origin

ACME = Origin("acme", "flashcore-acme", "1.0")
OTHER = Origin("other", "flashcore-other", "1.0")
BUILT_IN = Origin("builtin", "flashcore-framework", "1.0")
LOCAL = Origin("local:flashcore_plugins.py")


def banned(policy: Policy) -> list[str]:
    """Which of four plugins a policy keeps out."""
    return [origin.name for origin in (ACME, OTHER, BUILT_IN, LOCAL) if policy.ban_on(origin) is not None]


def test_all_plugins_are_in_by_default() -> None:
    """Installing is enough."""
    assert banned(policy_of(["deploy"], {})) == []


@pytest.mark.parametrize("name", ["acme", "flashcore-acme", "Flashcore_Acme", "flashcore.acme"])
def test_a_name_is_an_entry_point_or_a_distribution(name: str) -> None:
    """People know one or the other, in any spelling that installers accept."""
    assert banned(policy_of(["--no-plugin", name, "deploy"], {})) == ["acme"]
    assert banned(policy_of([f"--no-plugin={name}"], {})) == ["acme"]
    assert banned(policy_of([], {"FLASHCORE_DISABLE_PLUGINS": f"nobody, {name}"})) == ["acme"]
    assert banned(policy_of([], {}, [name])) == ["acme"]


def test_no_plugins_leaves_the_built_in_one() -> None:
    """Without the built-in parts nothing works, not even removing what is deployed."""
    assert banned(policy_of(["plugins", "list", "--no-plugins"], {})) == ["acme", "other", "local:flashcore_plugins.py"]


def test_the_list_of_the_allowed_keeps_all_others_out() -> None:
    """FLASHCORE_PLUGINS names the only ones; empty, it names none."""
    assert banned(policy_of([], {"FLASHCORE_PLUGINS": "acme, local"})) == ["other"]
    assert banned(policy_of([], {"FLASHCORE_PLUGINS": ""})) == ["acme", "other", "local:flashcore_plugins.py"]


def test_a_ban_wins_over_an_allowance() -> None:
    """Whoever switches something off means it."""
    assert "acme" in banned(policy_of(["--no-plugin", "acme"], {"FLASHCORE_PLUGINS": "acme"}))


def test_the_built_in_plugin_cannot_be_switched_off() -> None:
    """Neither by name nor by leaving it out."""
    assert banned(policy_of(["--no-plugin", "builtin", "--no-plugin", "flashcore-framework"], {})) == []


def test_a_foreign_plugin_called_builtin_is_not_the_built_in_one() -> None:
    """What counts is the distribution, which nobody can take."""
    impostor = Origin("builtin", "flashcore-impostor", "1.0")

    assert policy_of(["--no-plugins"], {}).ban_on(impostor) is not None


def test_arguments_behind_a_separator_are_somebody_elses() -> None:
    """As in `flashcore call hello -- --no-plugins`."""
    assert banned(policy_of(["call", "hello", "--", "--no-plugins", "--no-plugin", "acme"], {})) == []


def test_the_policy_can_be_handed_on_to_another_process() -> None:
    """The control plane and the gateways are to leave out what the command that started them left out."""
    given = ["--no-plugin", "acme", "deploy", "--detach", "--no-plugin=other", "--strict-plugins", "--", "--no-plugins"]

    handed_on = policy_arguments(given)

    assert handed_on == ("--strict-plugins", "--no-plugin=acme", "--no-plugin=other")
    assert policy_of(handed_on, {}) == policy_of(given, {})
    assert policy_arguments(["deploy"]) == ()


def test_a_ban_says_where_it_was_said() -> None:
    """Three places to look are two too many."""
    ban = policy_of([], {"FLASHCORE_DISABLE_PLUGINS": "acme"}).ban_on(ACME)

    assert ban is not None
    assert ban.said_by == "FLASHCORE_DISABLE_PLUGINS"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("flashcore.toml", '[plugins]\ndisable = ["acme"]'),
        ("pyproject.toml", '[tool.flashcore.plugins]\ndisable = ["acme"]'),
    ],
)
def test_settings_switch_plugins_off(tmp_path: Path, file: str, text: str) -> None:
    """The two files that hold a project's settings."""
    (tmp_path / file).write_text(text)

    assert configured_bans(tmp_path) == ("acme",)


@pytest.mark.parametrize(
    "text", ["[plugins]\ndisable = ", "plugins = 3 # disable", 'disable = ["acme"]', "\x00 disable"]
)
def test_settings_that_make_no_sense_switch_nothing_off(tmp_path: Path, text: str) -> None:
    """The reader of the settings complains about them, with a place; help must not fail for it."""
    (tmp_path / "flashcore.toml").write_text(text)

    assert configured_bans(tmp_path) == ()
