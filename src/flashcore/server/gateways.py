"""Keeping the gateway alive: one process that goes on when this one ends, found again when this one comes back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys

import psutil

from flashcore.model.errors import Unavailable
from flashcore.presence import Presence, read_presence
from flashcore.settings import Project

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 10.0
_STEADY = 30.0
"""A gateway that lived for so many seconds is started again at once when it ends."""


class GatewayKeeper:
    """Starts the environment's gateway, or takes over the one that runs, and starts it again whenever it ends."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._present: Presence | None = None
        self._failure = ""

    @property
    def present(self) -> Presence | None:
        """The gateway that runs now."""
        return self._present if self._up.is_set() else None

    async def start(self, timeout: float = 30.0) -> Presence:
        """Return when a gateway answers. Raises Unavailable with what it said when it does not come up."""
        self._task = asyncio.create_task(self._keep(), name="gateway keeper")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._up.wait(), timeout)
        if self._present is None:
            await self.let_go()
            raise Unavailable(
                f"the gateway did not come up: {self._failure or 'it says nothing'}",
                next_step=f"look at {self._project.layout.logs / 'gateway.log'}",
            )
        return self._present

    async def let_go(self) -> None:
        """Stop watching; the gateway goes on."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def stop(self, grace: float) -> None:
        """End the gateway: SIGTERM, and SIGKILL when it does not finish within `grace` and a little."""
        await self.let_go()
        if self._present is not None and self._present.alive:
            await asyncio.to_thread(_end, self._present.pid, grace)
        self._up.clear()

    async def _keep(self) -> None:
        delay = _FIRST_DELAY
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            await self._one_life()
            self._up.clear()
            delay = _FIRST_DELAY if clock() - began > _STEADY else min(delay * 2, _LONGEST_DELAY)
            log.warning("the gateway ended; it is started again in %.1f s", delay)
            await asyncio.sleep(delay)

    async def _one_life(self) -> None:
        present = read_presence(self._project.layout.gateway_file)
        if present is not None and present.alive:
            log.info("taking over the gateway at %s (pid %d)", present.url, present.pid)
            self._announce(present)
            await _ended(present.pid)
            return
        process = await asyncio.to_thread(self._spawn)
        await self._until_listening(process)
        await _ended(process.pid)
        process.poll()  # a child that ended stays a zombie until it is asked

    def _announce(self, present: Presence) -> None:
        self._present = present
        self._up.set()

    def _spawn(self) -> subprocess.Popen[bytes]:
        project, settings = self._project, self._project.settings
        with (project.layout.logs / "gateway.log").open("ab") as logfile:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "flashcore.gateway"),
                    *("--layout", str(project.root), "--env", settings.environment),
                    *("--host", settings.host, "--port", str(settings.ports.gateway)),
                    *("--jobs", project.jobs_url),
                ],
                stdin=subprocess.DEVNULL,
                stdout=logfile,
                stderr=logfile,
                start_new_session=True,
                cwd=project.root,
            )

    async def _until_listening(self, process: subprocess.Popen[bytes]) -> None:
        """The file appears when the gateway listens; a file is all that is sure to be seen over a restart."""
        while process.poll() is None:
            present = read_presence(self._project.layout.gateway_file)
            if present is not None and present.pid == process.pid:
                log.info("the gateway listens at %s (pid %d)", present.url, present.pid)
                self._announce(present)
                return
            await asyncio.sleep(0.02)
        self._failure = f"it ended with status {process.returncode}"


async def _ended(pid: int) -> None:
    """Return when the process has ended, child or not; a thread that waited would hold up this process's own end."""
    if not hasattr(os, "pidfd_open"):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.2)
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _end(pid: int, grace: float) -> None:
    try:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGTERM)
        process.wait(grace + 5.0)
    except psutil.TimeoutExpired:
        log.warning("the gateway (pid %d) did not end within %.0f s and is killed", pid, grace + 5.0)
        process.kill()
        process.wait(5.0)
    except psutil.NoSuchProcess:
        return
