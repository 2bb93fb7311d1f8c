"""What a process wrote into its log before it ended: the error that it named, and what it advised.

Where the disk is full it could write nothing, which is why it ended, as like as not.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_HEAD = re.compile(r"\S+ \S+ (?:ERROR|CRITICAL) \S+ ")
"""Time, level and place, before a message."""
_STEP = "next: "
_LINES = 2


@dataclass(frozen=True, slots=True)
class LastWords:
    """In one line each; empty where nothing was said."""

    said: str
    next_step: str = ""


def size_of(log: Path) -> int:
    """Where the next word will stand, in bytes."""
    try:
        return log.stat().st_size
    except OSError:  # nobody has written yet
        return 0


def last_words(log: Path, since: int) -> LastWords:
    """The last lines of the log from the byte `since` on: who ended before has said other things."""
    try:
        with log.open("rb") as stream:
            stream.seek(since)
            text = stream.read().decode("utf-8", "replace")
    except OSError as error:
        return LastWords(f"its log cannot be read: {error}")
    if not text and not _has_room(log.parent):
        return LastWords(f"there is no room for a word of it in {log}", "make room on that disk")
    *lines, last = ["", *(_HEAD.sub("", line).strip() for line in text.splitlines())]
    if last.startswith(_STEP):
        return LastWords(lines[-1], last.removeprefix(_STEP))
    return LastWords(" ".join([*lines, last][-_LINES:]).strip())


def _has_room(folder: Path) -> bool:
    """Whether the file system takes any more: bytes, and files where it counts those."""
    room = os.statvfs(folder)
    return room.f_bavail > 0 and (room.f_favail > 0 or not room.f_files)
