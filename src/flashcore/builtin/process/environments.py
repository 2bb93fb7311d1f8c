"""Python environments for endpoints that declare dependencies: one for each set of them, made once and shared."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flashcore.builtin.local.drafts import draft_beside, is_abandoned, is_draft
from flashcore.builtin.process.installing import install, move
from flashcore.builtin.process.interpreters import Interpreter, find_interpreter, this_minor
from flashcore.builtin.process.launch import read_launch
from flashcore.builtin.process.requirements import unmet
from flashcore.model.layout import Layout

_WORKER = "cloudpickle>=3"
"""What the worker itself can do with beside the standard library."""


@dataclass(frozen=True, slots=True)
class Python:
    """What a replica is run by."""

    path: str
    environment: str = ""
    """The name of its folder; empty for an interpreter that was there."""


class Environments:
    """The environments of one project, in `layout.venvs`. `within`: seconds that an installation may take."""

    def __init__(self, layout: Layout, within: float) -> None:
        self._layout = layout
        self._within = within
        self._locks: dict[str, asyncio.Lock] = {}
        self._interpreters: dict[str, Interpreter] = {}

    async def python_for(self, minor: str, needed: Sequence[str], code: Path, say: Callable[[str], None]) -> Python:
        """An interpreter of that version with the requirements, or with the rest of those that the code brings.

        `say` hears what is done when that takes long. Raises InstallFailed, ConfigurationError, OSError; may be
        cancelled. The platform's own interpreter is used where it has everything.
        """
        here = minor == this_minor()
        missing = await asyncio.to_thread(unmet, needed, [str(code), *(sys.path if here else ())])
        if here and not missing:
            return Python(sys.executable)
        if minor not in self._interpreters:
            self._interpreters[minor] = await find_interpreter(minor)
        interpreter = self._interpreters[minor]
        if not missing:
            return Python(interpreter.path)
        return await self._made(interpreter, sorted({*needed, _WORKER}), say)

    async def tidy(self, unused: float) -> None:
        """Remove what was left half made, and what no replica of this project has been started in for `unused` s."""
        await asyncio.to_thread(_tidy, self._layout, unused)

    async def _made(self, interpreter: Interpreter, needed: list[str], say: Callable[[str], None]) -> Python:
        name = _name(interpreter, needed)
        target = self._layout.venvs / name
        async with self._locks.setdefault(name, asyncio.Lock()):
            # A link to an interpreter that was removed since is no file.
            if not (target / "bin" / "python").is_file():
                say(f"installing {_counted(needed)} for Python {interpreter.minor}: {', '.join(needed)}")
                await self._make(interpreter, needed, target)
        os.utime(target)
        return Python(str(target / "bin" / "python"), name)

    async def _make(self, interpreter: Interpreter, needed: list[str], target: Path) -> None:
        draft = draft_beside(target)  # another control plane of the project may be at the same
        try:
            await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
            await install(needed, interpreter, draft, self._within)
            await asyncio.to_thread(_put, draft, target)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True))


def handlers_requirements(handler: Path) -> tuple[str, ...]:
    """What the generated handler itself needs, as the build has written beside it."""
    try:
        listed = json.loads(handler.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return ()
    return tuple(listed.get("requirements", ())) if isinstance(listed, dict) else ()


def _counted(needed: Sequence[str]) -> str:
    return f"{len(needed)} requirement{'s' if len(needed) != 1 else ''}"


def _name(interpreter: Interpreter, needed: list[str]) -> str:
    content = json.dumps([interpreter.version, interpreter.kind, needed])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _put(draft: Path, target: Path) -> None:
    if target.exists() and not (target / "bin" / "python").is_file():
        shutil.rmtree(target, ignore_errors=True)
    try:
        move(draft, target)
    except OSError:
        if not target.is_dir():  # otherwise somebody else was quicker, with the same packages
            raise


def _tidy(layout: Layout, unused: float) -> None:
    folder = layout.venvs
    if not folder.is_dir():
        return
    in_use = set(_in_use(layout))
    for path in folder.iterdir():
        unwanted = is_abandoned(path) if is_draft(path) else path.name not in in_use and _idle(path) > unused
        if unwanted:
            shutil.rmtree(path, ignore_errors=True)


def _idle(path: Path) -> float:
    """Seconds since something was started in it; 0 for one that another control plane is removing right now."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _in_use(layout: Layout) -> Iterable[str]:
    """By replicas of all environments that this project is deployed to."""
    for path in layout.home.parent.glob("*/replicas/*/launch.json"):
        launch = read_launch(path)
        if launch is not None and launch.environment:
            yield launch.environment
