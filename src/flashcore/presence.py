"""Where a running process says how to reach it: a small JSON file, and whether the process behind it lives."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.worker.processes import boot_id, start_ticks


@dataclass(frozen=True, slots=True)
class Presence:
    """A process that listens. Its start is part of it, so that a reused pid is never taken for it."""

    pid: int
    started_at: float
    url: str
    version: str
    ticks: int | None = None
    """Its start by a clock that nobody sets, see `start_ticks`: the time of day may have been corrected since."""
    boot: str = ""

    @property
    def alive(self) -> bool:
        """Whether the very process that wrote this is running."""
        try:
            process = psutil.Process(self.pid)
            return self._is(process) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def _is(self, process: psutil.Process) -> bool:
        if self.ticks is not None:
            return (self.ticks, self.boot) == (start_ticks(process.pid), boot_id())
        return abs(process.create_time() - self.started_at) < 1.0

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end; whether it came in time. A zombie has ended: where nobody reaps, it stays one for ever."""
        if sys.platform != "linux":
            return self._seen_to_end(seconds)
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            return not self.alive or bool(select.select([descriptor], [], [], seconds)[0])
        finally:
            os.close(descriptor)

    def _seen_to_end(self, seconds: float) -> bool:
        """For systems on which the end of a stranger is no event."""
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def is_locked(path: Path) -> bool:
    """Whether some process has the lock of a file to itself; not where there is no such file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def own_presence(url: str, version: str) -> Presence:
    """This process, listening at `url`."""
    return presence_of(os.getpid(), url, version)


def presence_of(pid: int, url: str, version: str) -> Presence:
    """A process that runs. Raises psutil.NoSuchProcess for one that does not."""
    return Presence(pid, psutil.Process(pid).create_time(), url, version, start_ticks(pid), boot_id())


def write_presence(path: Path, presence: Presence) -> None:
    """Write the file in one step; readers see the old one or the new one. Raises OSError, and leaves nothing then."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps(to_json(presence)), encoding="utf-8")
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def read_presence(path: Path) -> Presence | None:
    """What the file says; None when there is none or it cannot be read (a crash, another version)."""
    try:
        return from_json(Presence, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, CodecError):
        return None


def remove_dead_presence(path: Path) -> None:
    """Remove the file if its process has ended."""
    present = read_presence(path)
    if present is not None and not present.alive:
        path.unlink(missing_ok=True)


def remove_presence(path: Path) -> None:
    """Remove the file if it is this process's. One that stays, on a disk that went read-only, names a dead process."""
    present = read_presence(path)
    if present is not None and present.pid == os.getpid():
        with contextlib.suppress(OSError):
            path.unlink()
