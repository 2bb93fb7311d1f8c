"""Python packages that are measured beside ours, each in an environment of its own, made when it is first needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


class CannotInstall(Exception):
    """There is no such environment here; the text says why."""


def python_with(name: str, version: str, *requirements: str) -> Path:
    """The interpreter of the environment of a package's version, with these requirements. Raises CannotInstall."""
    room = Path(sys.prefix) / "beside" / name / version
    python = room / "bin" / "python"
    if not (room / "made").exists():
        shutil.rmtree(room, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", room], check=True)
        _install(python, requirements)
        (room / "made").touch()
    return python


def _install(python: Path, requirements: tuple[str, ...]) -> None:
    """With uv where it can be had, else with pip: as the checkout itself is installed."""
    said = ""
    for installer in (
        [sys.executable, "-m", "uv", "pip", "install", "--python", str(python)],
        [str(python), "-m", "pip", "install"],
    ):
        ran = subprocess.run([*installer, "-q", *requirements], check=False, capture_output=True, text=True)
        if ran.returncode == 0:
            return
        said = ran.stderr
    raise CannotInstall(f"{' '.join(requirements)} cannot be installed here: {said.strip()[-300:]}")
