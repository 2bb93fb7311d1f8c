"""uv, the installer: found and run as a program."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flashcore.model.errors import BuildError

_NO_WHEEL = re.compile(
    r"`?([A-Za-z0-9][A-Za-z0-9._-]*)(?:==[^\s`]+)?`? (?:has|have) no (?:usable |compatible )?(?:wheels|source)"
    r"|wheels? (?:are|is) (?:not )?available for `?([A-Za-z0-9][A-Za-z0-9._-]*)"
    r"|([A-Za-z0-9][A-Za-z0-9._-]*)==\S+ (?:was|is) (?:included|not).{0,60}?no(?:t)? .{0,20}wheel"
)
_REMARKS = re.compile(r"^\s*(?:warning|hint|cause)?:?.*(?:Python download|download it|DNS)", re.IGNORECASE)


def uv_program() -> str:
    """The path of uv: beside this interpreter, or on the PATH. Raises BuildError where there is none."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise BuildError(
            "dependencies are resolved by uv, and it is not installed",
            next_step=f"install it: {sys.executable} -m pip install uv",
        )
    return found


def run_uv(arguments: Sequence[str], purpose: str) -> str:
    """What uv prints. Raises BuildError that names the package that stands in the way, where uv names one."""
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
    done = subprocess.run(
        [uv_program(), *arguments, "--python", sys.executable],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise _refusal(done.stderr, purpose)
    return done.stdout


def _refusal(said: str, purpose: str) -> BuildError:
    lines = [line.rstrip() for line in said.splitlines() if line.strip() and not _REMARKS.search(line)]
    found = _NO_WHEEL.search(" ".join(said.split()))
    package = next((name for name in found.groups() if name), None) if found else None
    advice = "correct the requirement, or point uv at an index that has it (UV_INDEX_URL, UV_FIND_LINKS)"
    if package is not None:
        advice = (
            f"build a wheel of {package} for that platform (pip wheel {package}) and let uv find it "
            f"(UV_FIND_LINKS=folder), or have it in the image and build with --exclude {package}"
        )
    return BuildError(f"{purpose}:\n  " + "\n  ".join(lines[-12:]), next_step=advice, package=package)
