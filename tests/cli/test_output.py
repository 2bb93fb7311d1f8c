"""What commands print."""

import click
import pytest

from flashcore.cli import output


def test_colours_do_not_move_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """They take characters, and no room on the screen."""
    output.show_table(["NAME", "STATUS", "READY"], [["web", click.style("ready", fg="green"), "2/2"]])

    assert capsys.readouterr().out == "NAME  STATUS  READY\nweb   ready   2/2\n"
