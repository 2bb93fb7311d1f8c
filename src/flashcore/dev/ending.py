"""Ending every process that was started for one environment, by what its own environment says."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

PATIENCE = 0.3
"""Seconds that idle replicas need to end in order; what works on something is not waited for."""

_KILLED_WITHIN = 2.0


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let the block come to its end: a second Ctrl-C is soon pressed, and would leave processes behind."""
    if threading.current_thread() is not threading.main_thread():  # another one is interrupted by nobody
        yield
        return
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def end_processes(home: Path) -> None:
    """End them: SIGTERM, then at once. Blocks for a moment."""
    processes = processes_of(home)
    _send(processes, signal.SIGTERM)
    alive = psutil.wait_procs(processes, timeout=PATIENCE)[1]
    _send(alive, signal.SIGKILL)
    # Somebody may have been started in the meantime.
    late = processes_of(home)
    _send(late, signal.SIGKILL)
    psutil.wait_procs({*alive, *late}, timeout=_KILLED_WITHIN)


def processes_of(home: Path) -> list[psutil.Process]:
    """The processes of the environment whose folder is `home`, and what they started themselves."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _belongs(process, home)]


def _belongs(process: psutil.Process, home: Path) -> bool:
    folder = f"{home}{os.sep}"
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        told = [value for name, value in process.environ().items() if name.startswith("FLASHCORE_")]
        line = process.cmdline()
    except (psutil.Error, OSError):
        return False
    ours = any(word.startswith("flashcore.") for word in line)
    return any(value.startswith(folder) for value in (*told, *(line if ours else ())))


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
