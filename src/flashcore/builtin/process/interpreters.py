"""Interpreters of a wanted version of Python, on this machine's PATH."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from flashcore.model.errors import ConfigurationError

_ASK = """
import platform, sys, sysconfig
print(platform.python_version(), sys.implementation.name, sysconfig.get_platform())
"""
_ANSWER_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One that runs."""

    path: str
    version: str
    """All of it, as in 3.12.1."""
    kind: str
    """As in cpython-linux-x86_64: what is installed for one kind does not run on another."""

    @property
    def minor(self) -> str:
        """As in 3.12."""
        return ".".join(self.version.split(".")[:2])


def this_minor() -> str:
    """The version of the platform's own interpreter, as in 3.12."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


async def find_interpreter(minor: str) -> Interpreter:
    """This one if it fits, otherwise the first on PATH that runs. Raises ConfigurationError."""
    own = [sys.executable] if minor == this_minor() else []
    for path in [*own, *_candidates(minor)]:
        found = await _ask(path)
        if found is not None and found.minor == minor:
            return found
    raise ConfigurationError(
        f"the code wants Python {minor}, and there is none on PATH; this is Python {this_minor()}",
        next_step=f"install Python {minor} where the server finds python{minor}, or set python_version of the endpoint",
    )


def _candidates(minor: str) -> list[str]:
    folders = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    paths = [Path(folder) / name for name in (f"python{minor}", "python3") for folder in folders]
    return [str(path) for path in paths if os.access(path, os.X_OK)]


async def _ask(path: str) -> Interpreter | None:
    """What it is; None for what does not run, as a version manager's place holder for a version that is not chosen."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(path, "-I", "-c", _ASK),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            answer, _ = await process.communicate()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    match answer.decode("utf-8", "replace").split():
        case [version, implementation, platform] if process.returncode == 0:
            return Interpreter(path, version, f"{implementation}-{platform}")
        case _:
            return None
