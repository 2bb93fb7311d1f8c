"""What is wrong in a scenario's file is said with the file, the key and what may stand there."""

from pathlib import Path

import pytest

from flashcore.model.errors import ConfigurationError, NotFound
from flashcore.testing.parts import PartTables
from flashcore.testing.scenario.reading import read_scenario, require_parts

SOUND = """
[endpoints.web]
replicas = 3
{endpoint}
[[actions]]
do = "deploy"
version = 1
{rest}
"""

WRONG = {
    'strateggy = "rolling"': ("endpoints.web.strateggy", "there are: resource"),
    "termination_grace = -1": ("endpoints.web", "termination_grace must be at least 0"),
    "health = { interval = 0 }": ("endpoints.web", "health.interval must be"),
    "strategy = { max_surge = 1 }": ("endpoints.web.strategy", "must be a name, or a table with a name"),
    "max_concurrency = 0": ("endpoints.web.max_concurrency", "at least 1"),
    "versions = { x = {} }": ("endpoints.web.versions", "a version is a number"),
    'versions = { 1 = { ready = "soon" } }': ("endpoints.web.versions.1.ready", "never"),
    "versions = { 1 = { ready = { uniform = [1] } } }": ("versions.1.ready.uniform", "list of two numbers"),
    "versions = { 1 = { fails = 2.0 } }": ("endpoints.web.versions.1.fails", "share from 0 to 1"),
    "versions = { 1 = { latency = 0.0 } }": ("endpoints.web.versions.1.latency", "greater than 0"),
}
WRONG_LATER = {
    "[[load]]\nrate = -1": ("load[0].points", "below 0"),
    "[[load]]\npoints = [[5, 1], [5, 2]]": ("load[0].points", "times that grow"),
    "[[load]]": ("load[0]", "rate = R"),
    '[[actions]]\ndo = "explode"': ("actions[1].do", "kill_controller"),
    '[[actions]]\ndo = "partition"\nwhat = "moon"\nseconds = 1': ("actions[1].what", "prober, gateway, provider"),
    '[[actions]]\ndo = "scale"': ("actions[1].replicas", "scale needs it"),
    '[[actions]]\ndo = "abort"\nendpoint = "mail"': ("actions[1].endpoint", "must be one of web"),
    '[[actions]]\ndo = "abort"\nwhen = "bored"': ("actions[1].when", "awaiting_promotion"),
    '[[expect]]\noutcome = "good"': ("expect[0].outcome", "done, aborted, failed"),
    '[[expect]]\nwithin = "soon"': ("expect[0].within", "soon"),
    "[provider]\nplaces = -1": ("provider.places", "at least 0"),
    "[provider]\nspeed = 1": ("provider.speed", "places, hard_quota"),
    "expect = 1": ("actions[0].expect", "is no key here"),
}


def refused(tmp_path: Path, text: str) -> str:
    """What is said of a file."""
    file = tmp_path / "update.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_scenario(file)
    assert str(file) in error.value.message
    return error.value.message


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_setting_of_an_endpoint_is_named(tmp_path: Path, line: str) -> None:
    """With the key and what may stand there."""
    message = refused(tmp_path, SOUND.format(endpoint=line, rest=""))

    assert all(word in message for word in WRONG[line]), message


@pytest.mark.parametrize("lines", WRONG_LATER)
def test_anything_else_that_is_wrong_is_named(tmp_path: Path, lines: str) -> None:
    """With the key and what may stand there."""
    message = refused(tmp_path, SOUND.format(endpoint="", rest=lines))

    assert all(word in message for word in WRONG_LATER[lines]), message


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    """Rather than an error of the system."""
    with pytest.raises(NotFound, match=r"there is no scenario .*nowhere\.toml"):
        read_scenario(tmp_path / "nowhere.toml")


def test_a_file_that_is_no_toml_says_where_it_breaks(tmp_path: Path) -> None:
    """By line and column."""
    assert "line 1" in refused(tmp_path, "[endpoints\nx = 1")


def test_a_scenario_without_endpoints_or_without_a_deployment_is_none(tmp_path: Path) -> None:
    """Nothing would ever happen in it."""
    assert "endpoints" in refused(tmp_path, "")
    assert "nothing is ever deployed" in refused(tmp_path, "[endpoints.web]")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('strategy = "roling"', "endpoints.web.strategy"),
        ('scaler = "magic"', "endpoints.web.scaler"),
        ('gates = { promotion = ["nobody"] }', "endpoints.web.gates.promotion"),
        ('resource = "rocket"', "endpoints.web.resource"),
    ],
)
def test_a_part_that_nobody_offers_is_named_by_its_key(tmp_path: Path, line: str, key: str) -> None:
    """Before anything is run."""
    file = tmp_path / "update.toml"
    file.write_text(SOUND.format(endpoint=line, rest=""))

    with pytest.raises(ConfigurationError, match=key.replace(".", r"\.")):
        require_parts(read_scenario(file), PartTables(), file)
