"""When a process ends, seen as an event: of a child, and of a process that an earlier control plane started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Protocol

import psutil

from flashcore.worker.processes import start_ticks

_LOOK_EVERY = 0.2
"""Seconds, where there is no descriptor that tells of a process's end."""


class RunningProcess(Protocol):
    """A replica's process, which leads a process group of its own."""

    @property
    def pid(self) -> int:
        """Its id; that of its group, too."""
        ...

    async def ended(self) -> int | None:
        """Wait for its end and kill what is left of its group; the exit status, None where only a parent learns it.

        A signal is told as its negative number.
        """
        ...

    def signal(self, number: int) -> None:
        """Signal the process alone. Nothing happens when it has ended."""
        ...

    def kill_group(self) -> None:
        """SIGKILL to its whole group. Nothing happens when it has ended."""
        ...

    def let_go(self) -> None:
        """Stop watching; the process goes on."""
        ...


class ChildProcess:
    """A process that this control plane started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._watch = EndWatch(process.pid)
        self.pid = process.pid

    async def ended(self) -> int | None:
        """Wait for its end. It stays a zombie, whose id nobody else can get, until its group is killed."""
        await self._watch.ended()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        status = await asyncio.to_thread(self._process.wait)
        self._watch.close()
        return status

    def signal(self, number: int) -> None:
        """Signal the process alone."""
        self._process.send_signal(number)

    def kill_group(self) -> None:
        """SIGKILL to its whole group."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def let_go(self) -> None:
        """Stop watching."""
        self._watch.close()
        if self._process.returncode is None:
            # It outlives this object, which is what Popen would warn about.
            self._process.returncode = 0


async def _unknown() -> int | None:
    return None


class OtherProcess:
    """A process that is no child of this one: an earlier control plane started it, or a warm parent forked it.

    Made by who makes sure that the pid is that process's. `status` asks its parent how it ended, once it has.
    """

    def __init__(self, pid: int, watch: EndWatch, status: Callable[[], Awaitable[int | None]] = _unknown) -> None:
        self.pid = pid
        self._watch = watch
        self._status = status

    async def ended(self) -> int | None:
        """Wait for its end; what its parent says of it."""
        await self._watch.ended()
        status = await self._status()
        self._watch.close()
        return status

    def signal(self, number: int) -> None:
        """Signal the process alone."""
        if not self._watch.over:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        """SIGKILL to its whole group."""
        if not self._watch.over:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def let_go(self) -> None:
        """Stop watching."""
        self._watch.close()


def adopt(pid: int, ticks: int | None, started_at: float) -> OtherProcess | None:
    """The process that had this pid and this start, if it still runs; `started_at` counts where there are no ticks."""
    watch = EndWatch(pid)
    # The descriptor is open: from here on the pid cannot become somebody else's without the watch knowing.
    if not watch.over and _is_same(pid, ticks, started_at):
        return OtherProcess(pid, watch)
    watch.close()
    return None


def _is_same(pid: int, ticks: int | None, started_at: float) -> bool:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if ticks is not None:
            return start_ticks(pid) == ticks
        return abs(process.create_time() - started_at) < 5.0  # it writes the time down a moment after its start
    except psutil.NoSuchProcess:
        return False


class EndWatch:
    """Tells when a process has ended. `descriptor`: one of that process that is open already, and is closed here."""

    def __init__(self, pid: int, descriptor: int | None = None) -> None:
        self._pid = pid
        self._descriptor = descriptor
        self._gone = False
        if descriptor is None and sys.platform == "linux":
            try:
                self._descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                self._gone = True
            except OSError:  # none is to be had: too many are open, or a sandbox forbids it
                self._descriptor = None

    @property
    def over(self) -> bool:
        """Whether it has ended already."""
        if self._descriptor is None:
            return self._gone or not _runs(self._pid)
        # select() takes no descriptor above 1023, and a control plane of a thousand replicas has such.
        asked = select.poll()
        asked.register(self._descriptor, select.POLLIN)
        return bool(asked.poll(0))

    async def ended(self) -> None:
        """Return at its end."""
        if self._gone:
            return
        if self._descriptor is None:
            await self._look()
            return
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._descriptor, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(self._descriptor)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor, self._gone = None, True

    async def _look(self) -> None:
        while _runs(self._pid):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(_LOOK_EVERY)


def _runs(pid: int) -> bool:
    """Whether it does, as far as can be seen: without a file that can be opened, nothing can."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True
