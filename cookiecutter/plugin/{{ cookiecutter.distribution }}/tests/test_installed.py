"""The package is found by flashcore, and nothing is wrong with it."""

import json
import subprocess
import sys
from typing import Any

NAME, PART = "{{ cookiecutter.name }}", "{{ cookiecutter.__slug }}"


def flashcore(*arguments: str) -> dict[str, Any]:
    """What `flashcore ... --json` answers."""
    command = [sys.executable, "-m", "flashcore", *arguments, "--json"]
    answer: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return answer


def test_the_plugin_is_active_and_offers_the_part() -> None:
    """It is listed without being imported."""
    (plugin,) = [plugin for plugin in flashcore("plugins", "list")["plugins"] if plugin["name"] == NAME]

    assert plugin["state"] == "active", plugin["reason"]
    assert PART in plugin["parts"]["{{ cookiecutter.__point }}"]


def test_all_that_it_refers_to_is_there() -> None:
    """Every reference in its record is imported."""
    assert flashcore("plugins", "check", NAME)["works"]
