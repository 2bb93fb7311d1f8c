"""What a replica left running: processes that left its group, known by the instance id in their environment."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import psutil

_PASSES = 5
"""Looks at the list of processes: one of them may start another while it is looked at."""

_GONE_WITHIN = 2.0
"""Seconds that killed processes may take to be gone; the system has to give their memory back."""

_OUT_OF_REACH = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError)


def kill_strays(variable: str, value: str) -> tuple[int, ...]:
    """Kill every process of this user whose environment has `variable` at `value`; returns their ids.

    A child that makes a session of its own escapes the kill of its group, not this one. Blocks until they are gone.
    """
    killed: list[int] = []
    for _ in range(_PASSES):
        found = [process for process in _with(variable, value) if process.pid not in killed]
        for process in found:
            with contextlib.suppress(*_OUT_OF_REACH):
                process.kill()  # psutil looks once more whether the pid is still that process's
                killed.append(process.pid)
        if not found:
            break
        _wait(found)
    return tuple(killed)


def _wait(killed: list[psutil.Process]) -> None:
    """A zombie is gone: it waits for its parent alone, which may be a long time in looking."""
    deadline = time.monotonic() + _GONE_WITHIN
    while any(_lives(process) for process in killed) and time.monotonic() < deadline:
        time.sleep(0.005)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _with(variable: str, value: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(*_OUT_OF_REACH):
            if process.environ().get(variable) == value:
                yield process
