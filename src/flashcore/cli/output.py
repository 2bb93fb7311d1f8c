"""What commands print: lines for people, one JSON document for programs, errors in both forms."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from flashcore.model.codec import to_json
from flashcore.model.errors import DeadlineExceeded, FlashcoreError, UsageError

DONE = 0
REFUSED = 1
USAGE = 2
TIMED_OUT = 3
SUPERSEDED = 4
INTERRUPTED = 130

_COLOUR_OR_CONTROL = re.compile(
    r"(\x1b\[[0-9;]*m)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def exit_code(error: FlashcoreError) -> int:
    """2 for what cannot be meant, 3 for what did not happen in time, 4 for what was superseded, 1 for all else."""
    if isinstance(error, DeadlineExceeded):
        return TIMED_OUT
    if error.code == "superseded":
        return SUPERSEDED
    return USAGE if isinstance(error, UsageError) else REFUSED


def harmless(text: str) -> str:
    """The text with what a terminal would do written out, but for line ends, tabs and colours.

    Replicas print what callers send them, and errors quote it: it may move the cursor over other lines, name the
    window, write to the clipboard, or turn the direction of what follows.
    """
    return _COLOUR_OR_CONTROL.sub(lambda found: found[1] or ascii(found[0])[1:-1], text)


def say(text: str) -> None:
    """One line for people. Progress and remarks go to standard error, so that output can be piped."""
    click.echo(harmless(text), err=True)


def show_line(text: str) -> None:
    """One line of what was asked for."""
    click.echo(harmless(text))


def show_json(value: Any) -> None:
    """The one document of a `--json` run."""
    click.echo(json.dumps(to_json(value), indent=2, ensure_ascii=False))


def show_error(error: FlashcoreError) -> None:
    """The error for people."""
    head, _, rest = str(error).partition("\n")
    say(f"{click.style('error:', fg='red', bold=True)} {head}" + (f"\n{rest}" if rest else ""))


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; the last one runs on."""
    table = [[harmless(cell) for cell in row] for row in (header, *rows)]
    # Colours take characters and no room.
    widths = [max(len(click.unstyle(row[i])) for row in table) for i in range(len(header))]
    for row in table:
        cells = [
            cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row[:-1], widths[:-1], strict=True)
        ]
        click.echo("  ".join([*cells, row[-1]]).rstrip())


def interactive() -> bool:
    """Whether somebody sits at a terminal and reads standard error."""
    return sys.stderr.isatty()


def seconds(value: float) -> str:
    """A span of time as people say it."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
