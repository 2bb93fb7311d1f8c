"""The life of a replica's process: appear, load, serve, drain, end.

Two threads share it. The control thread runs an event loop of the worker's own: it answers whoever asks who this
replica is, talks to the gateway, and hears signals. The main thread belongs to user code: it imports it, and then runs
its coroutines. So a replica answers while it imports for a minute, and while a handler blocks. A thread in which a job
ends that is alone sends its result itself (see `express`).
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
import time
from pathlib import Path
from types import ModuleType

from flashcore.model.errors import BuildError
from flashcore.wire.hello import Stage
from flashcore.worker.failure import failure_of
from flashcore.worker.load import load_handler
from flashcore.worker.logs import LogFile, Output
from flashcore.worker.loop_thread import LoopThread
from flashcore.worker.replica import Replica
from flashcore.worker.script.declared import WorkerScript
from flashcore.worker.services import Exits, HttpService, QueueService, Service, StartupFailed
from flashcore.worker.settings import WorkerSettings
from flashcore.worker.signals import StopSignals

LOG_LOOK = 5.0
"""Seconds between looks at the log file's size, for what is written past Python."""

KILLED = 143
"""Exit status after a second SIGTERM, as a shell shows it."""

LONGEST_NOTICE = 5.0
"""Seconds that a replica answers what is new with 503 after a signal, at most: whoever sends it may not have heard."""

END_WITHIN = 3.0
"""Seconds that the main thread has to end after a drain; user code may hold it for ever."""


class Runtime:
    """One replica's process. `run` is called once, in the main thread.

    `output` is that of a process that has imported the code before it was forked, and is installed already.
    """

    def __init__(self, settings: WorkerSettings, output: Output | None = None) -> None:
        self._began = time.perf_counter()
        self._settings = settings
        self._output = output or _output_of(settings)
        self._threads = LoopThread("flashcore-control")
        self._replica = Replica(settings, self._threads, self._be_ended)
        self._service: Service | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._draining = False
        self._left = asyncio.Event()
        """Nobody is going to send anything new: its provider has said so."""
        self._status = 0

    def run(self, handler: Path) -> int:
        """Serve the handler until told to stop; returns the exit status. Raises OSError, ConfigurationError."""
        faulthandler.enable()
        StopSignals(self._threads, self._hear).install()
        self._replica.appear()
        self._threads.call(self._look_at_log)
        try:
            self._load(handler).serve(self._ready)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, sys.exit included
            self._fail(error)
        self._threads.run(self._replica.take_leave())
        # Threads of user code that are no daemons would keep the process; it has had its time.
        self._threads.call(self._end_for_sure)
        return self._status

    def _load(self, path: Path) -> Service:
        """Import the generated handler, and with it the user's code, where that has not been done before a fork."""
        self._replica.tell(Stage.LOADING)
        service = self._service_of(load_handler(path), path)
        self._service = service
        return service

    def _service_of(self, module: ModuleType, path: Path) -> Service:
        handler, app = getattr(module, "handler", None), getattr(module, "app", None)
        script = getattr(module, "script", None)
        exits = Exits(self._be_unwanted, self._retire)
        if callable(handler):
            return QueueService(handler, self._settings, self._replica, self._threads, self._output, exits)
        if callable(app):
            return HttpService(app, self._settings, self._threads, self._output, exits)
        if isinstance(script, WorkerScript):
            return self._script_service(script)
        raise BuildError(f"{path} defines no handler, app or script", next_step="build again: flashcore build")

    def _script_service(self, script: WorkerScript) -> Service:
        from flashcore.worker.script.service import ScriptService

        exits = Exits(self._be_unwanted, self._retire)
        return ScriptService(script, self._settings, self._replica, self._threads, self._output, exits)

    def _ready(self, address: str | None) -> None:
        self._replica.tell(Stage.READY, address=address)
        self._output.say(f"ready after {time.perf_counter() - self._began:.3f} s")

    def _fail(self, error: BaseException) -> None:
        failure = failure_of(error)
        detail = error.message if isinstance(error, StartupFailed) else failure.error_traceback
        sys.stderr.write(detail.rstrip("\n") + "\n")
        was_ready = self._replica.stage is Stage.READY
        self._output.say("the replica cannot go on" if was_ready else "the replica could not start")
        self._replica.tell(Stage.FAILED, detail)
        self._status = 1

    # What follows runs on the control loop.

    def _hear(self, signals: int) -> None:
        if signals == 1:
            self._drain(self._settings.grace)
        else:
            self._output.say("told to stop a second time: ending at once")
            os._exit(KILLED)

    def _be_unwanted(self, reason: str) -> None:
        self._output.say(f"the gateway refuses this worker: {reason}")
        self._replica.tell(Stage.FAILED, reason)
        self._status = 1
        self._be_ended(0.0)

    def _be_ended(self, grace: float) -> None:
        """A provider takes a replica out of the traffic before it says so; a signal comes from anybody."""
        self._left.set()
        self._drain(grace)

    def _retire(self, reason: str) -> None:
        self._output.say(f"the replica is to be replaced: {reason}")
        self._drain(self._settings.grace, reason)

    def _drain(self, grace: float, reason: str = "") -> None:
        if self._draining:
            return  # the first word stands: a provider that comes back asks again
        self._draining = True
        self._output.say(f"draining: {grace:g} s for what is running")
        self._replica.tell(Stage.DRAINING, reason)
        self._tasks.append(asyncio.get_running_loop().create_task(self._wind_down(grace)))

    async def _wind_down(self, grace: float) -> None:
        if self._service is None:  # the main thread is importing, and nothing can interrupt that
            await self._replica.take_leave()
            os._exit(0)
        notice = asyncio.get_running_loop().time() + min(grace / 2, LONGEST_NOTICE)
        await self._service.drain(grace)
        if self._service.is_called:
            await self._give_notice(notice)
        self._service.finish()
        self._end_for_sure()

    async def _give_notice(self, until: float) -> None:
        """Take what still comes, until a provider says that nobody sends anything, or that time of the loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                await self._left.wait()
        except TimeoutError:
            self._output.say("nothing new is taken any more: those who ask for the readiness had their time")

    def _end_for_sure(self) -> None:
        asyncio.get_running_loop().call_later(END_WITHIN, os._exit, self._status)

    def _look_at_log(self) -> None:
        self._output.file.rotate_if_full()
        asyncio.get_running_loop().call_later(LOG_LOOK, self._look_at_log)


def _output_of(settings: WorkerSettings) -> Output:
    output = Output(LogFile(settings.log, settings.log_limit))
    output.install()
    return output
