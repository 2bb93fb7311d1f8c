"""What commands print."""

import io
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.full_disk import read_only, small_disk_at

from flashcore.cli import output
from flashcore.cli.pane import Pane
from flashcore.model.errors import RemoteError


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


def test_a_disk_that_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    """Where a platform is to start, its log is the first file that shows it."""
    with small_disk_at(tmp_path / "disk") as disk:
        (disk / "flashcore.toml").write_text("app = 'a'\n", encoding="utf-8")
        log = disk / ".flashcore/environments/production/logs/server.log"
        log.parent.mkdir(parents=True)
        with read_only(disk):
            done = subprocess.run(
                [sys.executable, "-m", "flashcore", "server", "start"],
                cwd=disk,
                capture_output=True,
                text=True,
                check=False,
            )

    assert done.returncode == 2
    assert f"error: {log} cannot be written: Read-only file system\n  next: mount it for writing" in done.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[2J\x1b[1A", "\\x1b[2J\\x1b[1A"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m\r\0", "\\x9b31m\\r\\x00"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\ud800", "\\ud800"),
        ("é 漢 🎉 \\", "é 漢 🎉 \\"),
    ],
)
def test_what_a_terminal_would_do_is_written_out(text: str, shown: str) -> None:
    """A caller's text, in an error or in a line of a log, is text on the operator's screen; colours stay."""
    assert output.harmless(text) == shown


def test_nothing_that_commands_say_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors, remarks, lines and tables."""
    evil = "\x1b[2Jx\x1b]52;c;eA==\x07"

    output.show_error(RemoteError(f"job failed: {evil}"))
    output.say(evil)
    output.show_line(evil)
    output.show_table(["A", "B"], [[evil, "b"]])
    stream = io.StringIO()
    Pane(stream).tell(evil)

    said = "".join([*capsys.readouterr(), stream.getvalue()])
    assert "\x1b[2J" not in said
    assert "\x1b]" not in said
    assert said.count("\\x1b[2Jx\\x1b]52;c;eA==\\x07") == 5
