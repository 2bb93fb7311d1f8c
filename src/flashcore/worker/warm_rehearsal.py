"""What every replica does after its fork, done before it: what Python makes at a first time is shared then.

Code that runs for the first time writes to memory (it is specialised, caches are filled), and each page that a replica
writes to becomes its own. A rehearsal in the parent makes replicas smaller, and quicker to start.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flashcore.model.job import Payload
from flashcore.model.manifest import FunctionEntry, FunctionKind
from flashcore.model.names import JobId
from flashcore.wire.hello import Hello, Stage
from flashcore.wire.messages import Assignment, Message, Received, Results, Welcome, Work
from flashcore.wire.versions import PROTOCOL
from flashcore.worker.channel import MessageChannel
from flashcore.worker.functions import FunctionTable, LoadedFunction
from flashcore.worker.handler import Handler, create_handler
from flashcore.worker.logs import LogFile, Output
from flashcore.worker.loop_thread import LoopThread
from flashcore.worker.replica import Replica
from flashcore.worker.services import Exits, HttpService, QueueService
from flashcore.worker.settings import WorkerSettings, read_settings
from flashcore.worker.warm_code import gather, observed
from flashcore.worker.warm_environ import encode_environment
from flashcore.worker.warm_words import Fork, Forked, decode, encode

TIMES = 9
"""Python specialises what has run eight times, when it runs again."""

LONGEST = 2.0
"""Seconds that one step may take, on whatever machine: nobody waits for ever for what is not needed."""


def gather_ahead() -> None:
    """Be a replica once, and gather the code that runs: before the import, which takes the memory that this leaves.

    Raises OSError.
    """
    with _stage() as folder:
        gather(observed(lambda: _do_a_job(folder)))


def rehearse() -> None:
    """Be a replica that somebody connects to and that has a job, several times over. Raises OSError.

    The threads that this takes have ended when it returns, and their loops are closed.
    """
    with _stage() as folder:
        for _ in range(TIMES):
            _do_a_job(folder)


def rehearse_http() -> None:
    """The same for a replica that comes as far as listening for requests, whose code is gathered as well."""
    with _stage() as folder:
        gather(observed(lambda: _listen(folder)))
        for _ in range(TIMES):
            _listen(folder)


@contextmanager
def _stage() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fc") as folder, _unheard():
        yield Path(folder)
    asyncio.set_event_loop(None)


@contextmanager
def _unheard() -> Iterator[None]:
    """User code that logs everything hears of its own loops alone."""
    logger = logging.getLogger("asyncio")
    before = logger.disabled
    logger.disabled = before or logger.isEnabledFor(logging.DEBUG)
    try:
        yield
    finally:
        logger.disabled = before


class _Gateway:
    """Takes the worker in, gives it one job, and is content with its result."""

    def __init__(self, content: Callable[[], None]) -> None:
        self._content = content

    async def listen(self, path: Path) -> asyncio.Server:
        """Wait for the worker."""
        loop = asyncio.get_running_loop()
        loop.call_later(LONGEST, self._content)
        return await loop.create_unix_server(self._accept, str(path))

    def _accept(self) -> MessageChannel:
        channel = MessageChannel(lambda message: self._hear(channel, message), _ignore)
        return channel

    def _hear(self, channel: MessageChannel, message: Message) -> None:
        match message:
            case Hello():
                channel.send(Welcome(PROTOCOL.highest, 10.0))
                channel.send(Work((Assignment(JobId("rehearsal"), 1, 60.0, Payload(b"{}")),)))
            case Results(results):
                channel.send(Received(tuple(result.id for result in results)))
                self._content()
            case _:
                pass  # heartbeats


def _do_a_job(folder: Path) -> None:
    with _appeared(folder) as (settings, threads, replica):
        service = QueueService(
            _handler(), settings, replica, threads, Output(LogFile(None, 0)), Exits(_ignore, _ignore)
        )
        gateway = threads.run(_Gateway(service.finish).listen(folder / "worker"), LONGEST)
        service.serve(lambda address: replica.tell(Stage.READY, address=address))
        asyncio.get_event_loop().close()
        threads.call(gateway.close)
    (folder / "worker").unlink(missing_ok=True)  # from Python 3.13 on, a server does so when it closes


def _listen(folder: Path) -> None:
    from flashcore.worker.lb import empty_app

    with _appeared(folder) as (settings, threads, replica):
        service = HttpService(empty_app(), settings, threads, Output(LogFile(None, 0)), Exits(_ignore, _ignore))

        def ready(address: str | None) -> None:
            replica.tell(Stage.READY, address=address)
            service.abandon()

        service.serve(ready)
        asyncio.get_event_loop().close()


@contextmanager
def _appeared(folder: Path) -> Iterator[tuple[WorkerSettings, LoopThread, Replica]]:
    """A replica that was told what it is, and to which somebody is connected until it takes its leave."""
    environ = _environ(folder)
    encode_environment(environ)
    decode(encode(Fork(environ, str(folder))))
    encode(Forked(1))
    settings = read_settings(environ)
    threads = LoopThread("flashcore-rehearsal")
    try:
        replica = Replica(settings, threads, _ignore)
        replica.appear()
        replica.tell(Stage.LOADING)
        visitor = threads.run(_visit(folder / "control"), LONGEST)
        yield settings, threads, replica
        threads.call(visitor.close)
        threads.run(replica.take_leave(), LONGEST)
    finally:
        threads.end()


def _handler() -> Handler:
    entry = FunctionEntry("rehearsal", "", "_do_nothing", FunctionKind.FUNCTION)
    return create_handler(FunctionTable([LoadedFunction(entry, _do_nothing)]))


async def _do_nothing() -> None:
    """A coroutine, because a plain function would take a thread that does not end."""


async def _visit(path: Path) -> MessageChannel:
    """Connect, and hear who is there."""
    greeted = asyncio.Event()

    def hear(_message: Message) -> None:
        greeted.set()

    channel = MessageChannel(hear, _ignore)
    await asyncio.get_running_loop().create_unix_connection(lambda: channel, str(path))
    await greeted.wait()
    return channel


def _environ(folder: Path) -> dict[str, str]:
    return {
        "FLASHCORE_ENDPOINT": "rehearsal",
        "FLASHCORE_REPLICA": "rehearsal-1",
        "FLASHCORE_INSTANCE": "rehearsal",
        "FLASHCORE_REVISION": "rehearsal",
        "FLASHCORE_CONTROL_SOCKET": str(folder / "control"),
        "FLASHCORE_HTTP_SOCKET": str(folder / "http"),
        "FLASHCORE_HOP_KEY": "rehearsal",
        "FLASHCORE_WORKER_SOCKET": str(folder / "worker"),
        "FLASHCORE_RECORD": str(folder / "replica.json"),
        "FLASHCORE_LOG": str(folder / "log"),
    }


def _ignore(_: object) -> None:
    """Nobody is there to be told."""
