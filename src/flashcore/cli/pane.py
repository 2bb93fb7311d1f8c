"""Some lines at the bottom of a terminal that are drawn again in place; what is told stands above them for good."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

import click

from flashcore.cli.output import harmless

_UP = "\x1b[{}A"
_CLEAR_BELOW = "\x1b[0J"


class Pane:
    """Draws to a stream that is a terminal. Lines are cut to its width: a line that wrapped could not be counted."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn: list[str] = []

    @classmethod
    def on_terminal(cls) -> Pane | None:
        """A pane on standard error; None where nobody looks or the terminal cannot go back."""
        fit = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        return cls(sys.stderr) if fit else None

    @property
    def width(self) -> int:
        """Columns that a line may have."""
        return max(20, shutil.get_terminal_size().columns - 1)

    def show(self, lines: Sequence[str]) -> None:
        """Draw these lines in the place of those before."""
        height = max(1, shutil.get_terminal_size().lines - 1)
        wanted = [cut(harmless(line), self.width) for line in lines[:height]]
        if wanted != self._drawn:
            self._write(self._rubbed_out() + "".join(f"{line}\n" for line in wanted))
            self._drawn = wanted

    def tell(self, text: str) -> None:
        """Write a line that stays, above the pane."""
        self._write(self._rubbed_out() + f"{harmless(text)}\n" + "".join(f"{line}\n" for line in self._drawn))

    def leave(self) -> None:
        """Rub the pane out: what comes next begins where it was."""
        self._write(self._rubbed_out())
        self._drawn = []

    def _rubbed_out(self) -> str:
        return _UP.format(len(self._drawn)) + _CLEAR_BELOW if self._drawn else ""

    def _write(self, text: str) -> None:
        # A terminal that knows ASCII alone shows question marks, rather than a traceback.
        encoding = self._stream.encoding or "ascii"
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()


def cut(line: str, width: int) -> str:
    """The line, without its colours where it has to be cut."""
    plain = click.unstyle(line)
    return line if len(plain) <= width else plain[: width - 1] + "…"
