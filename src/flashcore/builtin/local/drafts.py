"""What is being made in a folder, beside what is whole: by its name it is told who makes it, and who is gone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import psutil

_DRAFT = ".draft-"


def draft_beside(target: Path, kind: str = "") -> Path:
    """A path for a draft of `target`, which nobody else uses. `kind` is how its name ends."""
    return target.with_name(f"{_DRAFT}{os.getpid()}-{secrets.token_hex(8)}{kind}")


def is_draft(path: Path) -> bool:
    """Whether it is one, whoever's."""
    return path.name.startswith(_DRAFT)


def is_abandoned(path: Path) -> bool:
    """Whether a draft's process is gone. Asked before this process has made any: those of its number are another's."""
    owner = path.name.removeprefix(_DRAFT).partition("-")[0]
    return not owner.isdecimal() or int(owner) == os.getpid() or not psutil.pid_exists(int(owner))
