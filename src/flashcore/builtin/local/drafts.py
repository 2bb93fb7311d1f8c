"""What is being made in a folder, beside what is whole: by its name it is told who makes it, and who is gone."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

import psutil

from flashcore.worker.processes import start_ticks

QUIET = 600.0
"""Seconds since the last write after which a file whose process cannot be seen is not one of another container."""

_DRAFT = ".draft-"


def draft_beside(target: Path, kind: str = "") -> Path:
    """A path for a draft of `target`, which nobody else uses. `kind` is how its name ends."""
    pid = os.getpid()
    return target.with_name(f"{_DRAFT}{pid}.{start_ticks(pid) or 0}-{secrets.token_hex(8)}{kind}")


def is_draft(path: Path) -> bool:
    """Whether it is one, whoever's."""
    return path.name.startswith(_DRAFT)


def is_abandoned(path: Path) -> bool:
    """Whether a draft's process is gone, and not only one that has its number now."""
    pid, _, ticks = path.name.removeprefix(_DRAFT).partition("-")[0].partition(".")
    if not pid.isdecimal():
        return True
    if ticks.strip("0"):
        return str(start_ticks(int(pid))) != ticks
    return not psutil.pid_exists(int(pid))


def remove_abandoned(folder: Path) -> None:
    """Remove files that processes were writing when they were killed. Raises OSError."""
    before = time.time() - QUIET
    for path in folder.glob(f"{_DRAFT}*"):
        if is_abandoned(path) and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
