"""Reasons as a person wants to read them: the traceback of a replica in one line, or without what is not theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_TRACEBACK = "Traceback (most recent call last):"
_LOG = "  | "
"""What the lines of a replica's log begin with where they follow a reason."""
_FRAME = re.compile(r'  File "(?P<file>.+)", line (?P<line>\d+)')
_UNPACKED = re.compile(r"(?:(?<=\")[^\"\n]*|(?<=')[^'\n]*|[^\"'\s]*)/unpacked/[0-9a-f]{64}/")
"""Where the replica has the project's code; in quotes, as in a traceback, there may be spaces in it."""
_NOT_THEIRS = re.compile(r'  File "(?:<frozen |.*/importlib/__init__\.py"|flashcore/|handler_[^/"]+\.py")')


def brief(reason: str) -> str:
    """One line: what was raised and where, for a traceback; otherwise the first line."""
    text = _UNPACKED.sub("", reason.strip())
    head, found, rest = text.partition(_TRACEBACK)
    if not found:
        return text.partition("\n")[0]
    trace = _without_log(rest.splitlines())
    raised = [line for line in trace if line.strip() and not line.startswith(" ")]
    frames = [frame for line in trace if (frame := _FRAME.match(line)) and not _NOT_THEIRS.match(line)]
    where = f" ({frames[-1]['file']}:{frames[-1]['line']})" if frames else ""
    return f"{head}{raised[-1] if raised else found}{where}"


def whole(reason: str) -> str:
    """All of it, but for the frames of flashcore and Python, and for the log where that says the same again."""
    text = _UNPACKED.sub("", reason.strip())
    if _TRACEBACK not in text:
        return text
    return "\n".join(_theirs(_without_log(text.splitlines()))).rstrip()


def _without_log(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if not line.startswith(_LOG)]


class TheirFrames:
    """A traceback line by line, without the frames of flashcore and Python."""

    def __init__(self) -> None:
        self._skipping = False

    def keeps(self, line: str) -> bool:
        """Whether the next line is of theirs; a frame's code is below its first line, further in."""
        if _FRAME.match(line):
            self._skipping = _NOT_THEIRS.match(line) is not None
        elif not line.startswith("    "):
            self._skipping = False
        return not self._skipping


def _theirs(lines: Iterable[str]) -> Iterator[str]:
    return filter(TheirFrames().keeps, lines)
