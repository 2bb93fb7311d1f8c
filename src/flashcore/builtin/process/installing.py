"""Making a Python environment with packages in it: by uv where it is, otherwise by venv and pip."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from flashcore.builtin.process.interpreters import Interpreter
from flashcore.model.errors import FlashcoreError

MOST_OUTPUT = 64 * 1024
"""Bytes of an installer's output that are kept, from its end."""

_REASON_LINES = 12

# What may be otherwise in a minute: networks, servers, disks. Both installers speak in prose only.
_PASSING = re.compile(
    r"dns error|connect|timed? ?out|temporary failure|error sending request|failed to fetch|no space left|disk quota"
    r"|too many requests|(?:status|error|code)\D{0,20}(?:429|50[0234])",
    re.IGNORECASE,
)

_FRAME = re.compile(r"^[\s\u2500-\u257f\u00d7\u25b6]+")
"""The lines that uv draws in front of what it says."""


_BESIDE = re.compile(r"WARNING:|\[notice\]|Looking in |Processing |Collecting |Requirement already |Using Python ")
"""What installers say beside that."""


class InstallFailed(FlashcoreError):
    """An environment could not be made. `output` is what the installer said last, `passing` whether it may do later."""

    code = "install_failed"

    @property
    def output(self) -> tuple[str, ...]:
        """Lines."""
        return tuple(self.data["output"])

    @property
    def passing(self) -> bool:
        """Whether to try it again is of use."""
        return bool(self.data["passing"])


async def install(requirements: Sequence[str], python: Interpreter, folder: Path, within: float) -> None:
    """Make an environment at `folder` that has the requirements. Raises InstallFailed, OSError; may be cancelled.

    What was begun is not removed. Blocks nothing.
    """
    uv = find_uv()
    own = str(folder / "bin" / "python")
    if uv is not None:
        make = [uv, "venv", "--quiet", "--no-project", "--python", python.path, str(folder)]
        fill = [uv, "pip", "install", "--python", own, "--", *requirements]
    else:
        make = [python.path, "-m", "venv", str(folder)]
        fill = [own, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--", *requirements]
    try:
        async with asyncio.timeout(within):
            for command in (make, fill):
                await _run(command, requirements, folder.parent)
    except TimeoutError as error:
        raise _failed(requirements, (f"it had not ended after {within:g} s",), passing=True) from error


def find_uv() -> str | None:
    """Beside this interpreter, or on PATH."""
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.is_file() else shutil.which("uv")


def move(draft: Path, target: Path) -> None:
    """Put a finished environment in its place, scripts and all. Raises OSError, also when another one is there."""
    old, new = os.fsencode(f"#!{draft}/"), os.fsencode(f"#!{target}/")
    for script in (draft / "bin").iterdir():
        # A script's first line names the interpreter by its place.
        if script.is_file() and not script.is_symlink() and script.stat().st_size < MOST_OUTPUT:
            text = script.read_bytes()
            if text.startswith(old):
                script.write_bytes(text.replace(old, new, 1))
    draft.rename(target)


async def _run(command: Sequence[str], requirements: Sequence[str], folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=_environment(),
        cwd=folder,  # within the project, so that its own settings for uv count
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    said = b""
    try:
        while process.stdout is not None and (data := await process.stdout.read(MOST_OUTPUT)):
            said = (said + data)[-MOST_OUTPUT:]
        status = await process.wait()
    finally:
        await _end(process)
    if status != 0:
        text = said.decode("utf-8", "replace")
        raise _failed(requirements, tuple(text.splitlines()), passing=_PASSING.search(text) is not None)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of it, and let go of its output: nobody else would before the loop is closed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while process.stdout is not None and await process.stdout.read(MOST_OUTPUT):
                continue


def _environment() -> dict[str, str]:
    """The control plane's: proxies, indexes and caches are set there. Nothing is downloaded but packages."""
    own = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return {**own, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}


def _failed(requirements: Sequence[str], output: tuple[str, ...], *, passing: bool) -> InstallFailed:
    return InstallFailed(
        f"{', '.join(requirements)} cannot be installed: {' '.join(_reason(output))}",
        next_step="correct `dependencies` of the endpoint, or where packages come from (UV_INDEX_URL, PIP_INDEX_URL)",
        output=output,
        passing=passing,
    )


def _reason(output: Sequence[str]) -> list[str]:
    """The lines that say why, from the first error on where the installer calls it so; all of them are in the log."""
    told = [line for line in (_FRAME.sub("", line).strip() for line in output) if line and not _BESIDE.match(line)]
    first = next((number for number, line in enumerate(told) if line.startswith("ERROR:")), None)
    return told[-_REASON_LINES:] if first is None else told[first : first + _REASON_LINES]
