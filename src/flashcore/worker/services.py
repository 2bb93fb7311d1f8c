"""What a loaded handler is to the runtime: something that serves in the main thread until it is told to finish."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from flashcore.model.errors import ConfigurationError, FlashcoreError
from flashcore.model.names import worker_id
from flashcore.worker.call import callables_of
from flashcore.worker.control import listen_on
from flashcore.worker.guard import Application, Guard
from flashcore.worker.link import GatewayLink
from flashcore.worker.logs import Output
from flashcore.worker.loop_thread import LoopThread
from flashcore.worker.main_loop import MainLoop, StallWatch
from flashcore.worker.opening import Opener
from flashcore.worker.pool import ThreadPool
from flashcore.worker.queue import QueueWorker
from flashcore.worker.replica import Replica
from flashcore.worker.runner import STUCK_AFTER, JobRunner
from flashcore.worker.settings import WorkerSettings

Ready = Callable[[str | None], None]
"""Told once, with the address for HTTP where there is one."""


_LOOK = 1.0
"""Seconds between looks at what runs in threads."""


class StartupFailed(FlashcoreError):
    """The application was loaded and then refused to start; the message is its own traceback."""

    code = "startup_failed"


class Service(Protocol):
    """What the runtime serves."""

    is_called: bool
    """Others connect to it, and are told for a while when it ends; it is not the one who fetches its work."""

    def serve(self, ready: Ready) -> None:
        """Serve in the main thread until `finish`. Raises StartupFailed."""
        ...

    async def drain(self, grace: float) -> None:
        """On the control loop: let nothing new in; return when all is done, or `grace` seconds are over."""
        ...

    def finish(self) -> None:
        """Have `serve` return; from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Exits:
    """How a replica comes to its end before its time; both are told why."""

    unwanted: Callable[[str], None]
    """The gateway does not want it."""
    retire: Callable[[str], None]
    """It wants to be replaced by a new one, once it has finished what it has."""


class QueueService:
    """A handler that the gateway gives jobs to."""

    is_called = False

    def __init__(
        self,
        handler: Callable[[Mapping[str, Any]], Any],
        settings: WorkerSettings,
        replica: Replica,
        threads: LoopThread,
        output: Output,
        exits: Exits,
    ) -> None:
        path = needed(settings.worker_socket, "FLASHCORE_WORKER_SOCKET", "a queue-based endpoint")
        self._threads = threads
        self._main = MainLoop(output.say)
        holder = worker_id(settings.replica, settings.instance)
        self._runner = JobRunner(callables_of(handler), settings.slots, holder, threads, self._main, output)
        self._runner.stuck = exits.retire
        self._runner.opener = Opener.of_process(os.environ)
        self._worker = QueueWorker(self._runner, output.say)
        self._runner.hurry_by(self._worker.express)
        self._link = GatewayLink(path, replica.hello, self._worker, exits.unwanted)
        self._watch = StallWatch(threads, self._main.loop, output.say)
        self._tasks: list[asyncio.Task[None]] = []

    def serve(self, ready: Ready) -> None:
        """Take jobs until `finish`."""
        ready(None)
        self._threads.call(self._begin)
        self._main.run()
        self._threads.call(self._link.end)

    async def drain(self, grace: float) -> None:
        """Finish what runs, release the rest."""
        await self._worker.drain(grace)

    def finish(self) -> None:
        """Let the main thread go."""
        self._main.stop()

    def _begin(self) -> None:
        for work in (self._worker.work(self._link), self._watch.watch(self._runner.on_main_loop)):
            self._tasks.append(asyncio.get_running_loop().create_task(work))


class HttpService:
    """An ASGI application that the gateway sends requests to."""

    is_called = True

    def __init__(
        self, app: Application, settings: WorkerSettings, threads: LoopThread, output: Output, exits: Exits
    ) -> None:
        from flashcore.worker.lb import HttpServer, pool_of, server_loop

        self._path = needed(settings.http_socket, "FLASHCORE_HTTP_SOCKET", "a load-balanced endpoint")
        self._say = output.say
        self._threads = threads
        self._guard = Guard(app, settings.instance, output, settings.hop_key)
        self._main = MainLoop(output.say, server_loop())
        self._server = HttpServer(self._guard, self._accepting)
        self._watch = StallWatch(threads, self._main.loop, output.say)
        self._pool = pool_of(app)
        self._limit = settings.execution_timeout
        self._exits = exits
        self._ready: Ready = lambda _address: None
        self._failure: StartupFailed | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def serve(self, ready: Ready) -> None:
        """Answer requests until `finish`."""
        self._ready = ready
        self._main.spawn(self._serve(), self._tasks.append)
        self._main.run()
        if self._failure is not None:
            raise self._failure

    async def drain(self, grace: float) -> None:
        """Finish the requests inside; cancel what is left."""
        inside = asyncio.run_coroutine_threadsafe(self._guard.drain(), self._main.loop)
        try:
            async with asyncio.timeout(grace):
                await asyncio.wrap_future(inside)
        except (TimeoutError, CancelledError):
            self._say(f"the grace of {grace:g} s is over; cutting off {self._guard.in_flight} requests")

    def finish(self) -> None:
        """Stop listening, then let the main thread go."""
        self._main.loop.call_soon_threadsafe(self._server.finish)

    def abandon(self) -> None:
        """The same without waiting for anybody who is connected."""
        self._main.spawn(self._abandon(), self._tasks.append)

    async def _serve(self) -> None:
        try:
            with listen_on(self._path) as listener:
                await self._server.serve_on(listener)
        except SystemExit:
            self._failure = StartupFailed(self._guard.startup_failure or "the application did not start; see its log")
        finally:
            self._main.stop()

    async def _abandon(self) -> None:
        await self._server.abandon()
        self._main.stop()

    def _accepting(self) -> None:
        self._ready(f"unix:{self._path}")
        self._threads.call(self._begin_watch)

    def _begin_watch(self) -> None:
        watching = self._watch.watch(lambda: f"{self._guard.in_flight} requests" if self._guard.in_flight else "")
        self._tasks.append(asyncio.get_running_loop().create_task(watching))
        if self._pool is not None and self._limit:
            self._tasks.append(asyncio.get_running_loop().create_task(self._watch_threads(self._pool)))

    async def _watch_threads(self, pool: ThreadPool) -> None:
        """Until a plain function does not end, which nothing can interrupt; who waits for its thread goes elsewhere."""
        while pool.longest <= self._limit + STUCK_AFTER:  # noqa: ASYNC110 - that nothing happens has no event
            await asyncio.sleep(_LOOK)
        self._exits.retire(
            f"a request still runs, {STUCK_AFTER:g} s past the execution timeout of {self._limit:g} s, "
            "and cannot be interrupted"
        )
        pool.give_up()


def needed(path: Path | None, variable: str, what: str) -> Path:
    """The path. Raises ConfigurationError where a provider has to give one and gave none."""
    if path is None:
        raise ConfigurationError(f"{variable} is not set, and {what} needs it", next_step="start it by a provider")
    return path
