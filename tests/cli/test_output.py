"""What commands print."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from flashcore.cli import output


def test_colours_do_not_move_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """They take characters, and no room on the screen."""
    output.show_table(["NAME", "STATUS", "READY"], [["web", click.style("ready", fg="green"), "2/2"]])

    assert capsys.readouterr().out == "NAME  STATUS  READY\nweb   ready   2/2\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_an_output_for_which_there_is_no_room_is_said_in_a_line() -> None:
    """Also with --json: what is said goes elsewhere."""
    for options in ([], ["--json"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "flashcore", "plugins", "list", *options],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )

        assert done.returncode == 1
        assert done.stderr == ("error: there is no room to write the output\n  next: free some space and try again\n")
