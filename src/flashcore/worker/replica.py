"""This replica: who it is, what it tells of itself, and to whom."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable

from flashcore.model.errors import ConfigurationError
from flashcore.wire.hello import Hello, Identity, Stage, Status
from flashcore.worker.control import ControlServer, listen_on
from flashcore.worker.loop_thread import LoopThread
from flashcore.worker.processes import boot_id, start_ticks
from flashcore.worker.record import ReplicaRecord, write_record
from flashcore.worker.settings import WorkerSettings

_ORDER = (Stage.STARTING, Stage.LOADING, Stage.READY, Stage.DRAINING, Stage.FAILED)

LAST_WORDS = 1.0
"""Seconds that an ending replica gives whoever is connected to read what it said last. Its record has it, too."""


class Replica:
    """The replica that this process is. Made once, when the process starts."""

    def __init__(self, settings: WorkerSettings, threads: LoopThread, drain: Callable[[float], None]) -> None:
        self._settings = settings
        self._threads = threads
        self._control = ControlServer(self.hello, drain)
        self._lock = threading.Lock()
        self._status = Status(Stage.STARTING)
        self.identity = Identity(
            endpoint=settings.endpoint,
            replica=settings.replica,
            instance=settings.instance,
            revision=settings.revision,
            pid=os.getpid(),
            started_at=time.time(),
            boot_id=boot_id(),
        )
        self._start_ticks = start_ticks(os.getpid())

    @property
    def stage(self) -> Stage:
        """What it said of itself last."""
        return self._status.stage

    def appear(self) -> None:
        """Listen and leave the record; from now on the replica can be found. Raises OSError, ConfigurationError."""
        self._require_wanted()
        listener = listen_on(self._settings.control_socket)
        # It listens as far as the system is concerned: nobody has to wait until it is answered on, too.
        self._threads.call(self._control.serve, listener)
        self._write_record()
        if self._settings.ready_fd is not None:
            # Nobody may read it any more: a control plane that was killed meanwhile is followed by one that finds us.
            with contextlib.suppress(BrokenPipeError):
                os.write(self._settings.ready_fd, b"!")
            os.close(self._settings.ready_fd)

    def hello(self) -> Hello:
        """Identity and present status."""
        return Hello(self.identity, self._status, self._settings.slots)

    def tell(self, stage: Stage, detail: str = "", address: str | None = None) -> None:
        """Say what it does from now on; from any thread. An address once told stays.

        A replica goes one way: what would lead back (ready, though a drain has begun meanwhile) is not said.
        """
        with self._lock:
            if _ORDER.index(stage) < _ORDER.index(self._status.stage):
                return
            self._status = Status(stage, detail, address or self._status.address)
            with contextlib.suppress(OSError):  # a full disk does not keep it from saying so to who is connected
                self._write_record()
            self._threads.call(self._control.publish, self._status)

    async def take_leave(self) -> None:
        """Let whoever is connected read the last status, then remove the sockets. Never waits for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self._control.hang_up()
        self._control.close()
        for path in (self._settings.control_socket, self._settings.http_socket):
            if path is not None:
                path.unlink(missing_ok=True)

    def _require_wanted(self) -> None:
        """A control plane that died while it started this process may have come back and given it up meanwhile."""
        path = self._settings.launch
        if path is None:
            return
        try:
            wanted = json.loads(path.read_bytes())["instance"]
        except (OSError, ValueError, KeyError, TypeError):
            wanted = None
        if wanted != self._settings.instance:
            raise ConfigurationError(f"this start is no longer wanted: {path} is gone or speaks of another one")

    def _write_record(self) -> None:
        own = ReplicaRecord(self.identity, str(self._settings.control_socket), self._start_ticks, self._status)
        write_record(self._settings.record, own)
