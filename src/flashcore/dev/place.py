"""Where one session keeps its things: an environment of the project that is its own for as long as it runs.

Two sessions of one project get two environments. What a session of before left when it was killed is cleared away.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

from flashcore.dev.ending import end_processes, uninterrupted
from flashcore.model.layout import Layout
from flashcore.server.daemon import make_private
from flashcore.settings import MothershipSettings, Project, Settings, read_settings

DEFAULT_NAME = "dev"


@dataclass(frozen=True, slots=True)
class DevLayout(Layout):
    """As ever, but that code lies in the environment's own folder, too: all of it goes with the session."""

    @property
    def artifacts(self) -> Path:
        """The session's archives."""
        return self.home / "artifacts"

    @property
    def unpacked(self) -> Path:
        """Their content."""
        return self.home / "unpacked"


@dataclass(frozen=True, slots=True)
class DevProject(Project):
    """A project with a session's settings."""

    @property
    def layout(self) -> DevLayout:
        """Where the session's things lie."""
        return DevLayout(self.root, self.settings.environment)


@contextmanager
def own_place(root: Path, environ: Mapping[str, str], name: str | None, provider: str | None) -> Iterator[DevProject]:
    """A project whose environment nobody else has; nothing of it is left afterwards.

    Stores are in memory, and it is reached from this machine alone. `provider` None means this machine, too, whatever
    the project's settings say.
    """
    settings = read_settings(root, environ, {"environment": name or DEFAULT_NAME})
    with _free_environment(root, settings.environment) as environment:
        layout = DevLayout(root, environment)
        own = dataclasses.replace(
            settings,
            environment=environment,
            provider=provider or Settings(settings.app).provider,
            host=Settings(settings.app).host,
            mothership=MothershipSettings(),
            state="memory:",
            jobs="memory:",
            artifacts=f"file://{layout.artifacts}",
        )
        try:
            yield DevProject(root, own)
        finally:
            with uninterrupted():
                _clear(layout)


@contextmanager
def _free_environment(root: Path, wanted: str) -> Iterator[str]:
    for number in count(1):
        name = wanted if number == 1 else f"{wanted}-{number}"
        lock = _take(DevLayout(root, name))
        if lock is not None:
            with lock:
                yield name
            return


def _take(layout: Layout) -> IO[bytes] | None:
    """The environment's lock, held; None if another session has it, or the environment is not one of a session."""
    path = layout.session_lock
    make_private(layout.home)
    if not path.exists() and any(layout.home.iterdir()):
        return None
    lock = path.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock.fileno()).st_ino == path.stat().st_ino:
            _clear_all_but(layout, path)
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass  # another session has it, or has just removed it
    lock.close()
    return None


def _clear_all_but(layout: Layout, lock: Path) -> None:
    """End and remove what a session of before has left."""
    left = [path for path in layout.home.iterdir() if path != lock]
    if left:
        end_processes(layout.home)
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _clear(layout: Layout) -> None:
    end_processes(layout.home)
    for folder in (layout.run, layout.home):
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        layout.home.parent.rmdir()
