"""A plugin that is switched off is not imported: that is what switching off is for."""

import sys
from pathlib import Path

import pytest
from tests.registry.conftest import Site

from flashcore.registry.policy import Ban, Policy
from flashcore.registry.reports import State

HOOKS = "import flashcore_acme.loud"
LOUD = "raise SystemExit('imported')"


@pytest.mark.parametrize(
    "policy",
    [
        Policy(bans=(Ban("acme", "--no-plugin"),)),
        Policy(bans=(Ban("flashcore-acme", "FLASHCORE_DISABLE_PLUGINS"),)),
        Policy(allowed=(), allowed_by="--no-plugins"),
        Policy(allowed=("somebody",), allowed_by="FLASHCORE_PLUGINS"),
    ],
)
def test_a_plugin_that_is_switched_off_is_not_imported(site: Site, policy: Policy) -> None:
    """Nothing of it is in sys.modules afterwards, and its state says who switched it off."""
    site.plugin("acme", HOOKS, files={"loud.py": LOUD})

    report = site.under(policy).report("acme")

    assert report.state is State.DISABLED
    assert (policy.allowed_by or policy.bans[0].said_by) in report.reason
    assert not [name for name in sys.modules if name.startswith("flashcore_acme")]
    assert report.healthy


def test_the_command_line_switches_a_plugin_off_before_it_is_imported(site: Site, tmp_path: Path) -> None:
    """A plugin that would end the process is not in the way of the command that leaves it out."""
    trace = tmp_path / "trace"
    site.plugin("acme", f"import pathlib, os; pathlib.Path({str(trace)!r}).touch(); os._exit(9)")

    done = site.run("plugins", "check", variables={"FLASHCORE_DISABLE_PLUGINS": "acme"})

    assert "acme     disabled" in done.stdout
    assert not trace.exists()
