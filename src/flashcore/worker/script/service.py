"""What the runtime serves: the script's process, the routes that it calls, and the link to the gateway."""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import replace

from flashcore.wire.hello import Hello
from flashcore.worker.link import GatewayLink
from flashcore.worker.logs import Output
from flashcore.worker.loop_thread import LoopThread
from flashcore.worker.queue import QueueWorker
from flashcore.worker.replica import Replica
from flashcore.worker.script.child import Child, environment
from flashcore.worker.script.declared import WorkerScript
from flashcore.worker.script.http import LocalServer
from flashcore.worker.script.routes import SdkRoutes
from flashcore.worker.script.tray import Tray
from flashcore.worker.services import Exits, Ready, StartupFailed, needed
from flashcore.worker.settings import WorkerSettings

ENDS_WITHIN = 1.5
"""Seconds, beyond the grace, that the script has to end once it has nothing to do any more."""


class ScriptService:
    """A script that is given jobs as RunPod's cloud would."""

    is_called = False

    def __init__(
        self,
        script: WorkerScript,
        settings: WorkerSettings,
        replica: Replica,
        threads: LoopThread,
        output: Output,
        exits: Exits,
    ) -> None:
        self._script = script
        self._settings = settings
        self._threads = threads
        self._output = output
        self._exits = exits
        self._key = secrets.token_hex(16)
        self._tray = Tray(threads.loop)
        self._routes = SdkRoutes(self._tray, self._key, self._replace)
        self._server = LocalServer(self._routes.respond)
        self._worker = QueueWorker(self._tray, output.say)
        gateway = needed(settings.worker_socket, "FLASHCORE_WORKER_SOCKET", "an endpoint that runs a script")
        self._replica = replica
        self._link = GatewayLink(gateway, self._hello, self._worker, exits.unwanted)
        self._child: Child | None = None
        self._ended = asyncio.Event()
        self._told_to_end = False
        self._tasks: list[asyncio.Task[None]] = []

    def serve(self, ready: Ready) -> None:
        """Run the script until it ends. Raises StartupFailed where it was not told to, OSError."""
        port = self._threads.run(self._server.listen())
        environ = environment(self._script, self._settings, os.environ, port, self._key)
        self._child = Child(self._script, environ, self._output)
        self._threads.call(self._begin, ready)
        status = self._child.wait()
        self._threads.call(self._ended.set)
        self._threads.call(self._link.end)
        if not self._told_to_end:
            raise StartupFailed(self._obituary(status))

    async def drain(self, grace: float) -> None:
        """Have it finish what it has, then end."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + grace
        await self._worker.drain(grace)
        self._told_to_end = True
        if self._child is not None:
            # First the signal, then the answers that it waits for: it asks again at once where it has not heard it.
            self._child.terminate()
            self._tray.close()
            try:
                async with asyncio.timeout(max(ENDS_WITHIN, deadline - clock())):
                    await self._ended.wait()
            except TimeoutError:
                self._output.say(f"{self._name} does not end and is killed")

    def finish(self) -> None:
        """Let the main thread go."""
        self._told_to_end = True
        if self._child is not None:
            self._child.kill()

    @property
    def _name(self) -> str:
        return self._script.path.name

    def _begin(self, ready: Ready) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._work(ready)))

    async def _work(self, ready: Ready) -> None:
        await self._tray.asked.wait()
        ready(None)
        await self._worker.work(self._link)

    def _hello(self) -> Hello:
        return replace(self._replica.hello(), slots=self._tray.slots)

    def _replace(self) -> None:
        self._exits.retire("its handler asked for a new worker")

    def _obituary(self, status: int) -> str:
        how = f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"
        if self._routes.unfit:
            return f"{self._name} {how}: it is not fit: {self._routes.unfit}"
        if status == 0 and not self._tray.asked.is_set():
            return f"{self._name} {how} before it asked for a job: does it end in runpod.serverless.start(...)?"
        when = "" if self._tray.asked.is_set() else " before it asked for a job"
        words = self._child.last_words if self._child is not None else ""
        return f"{self._name} {how}{when}{': ' if words else ''}{words}"
