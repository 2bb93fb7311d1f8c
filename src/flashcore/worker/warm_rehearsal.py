"""What every replica does after its fork, done before it: what Python makes at a first time is shared then.

Code that runs for the first time writes to memory (it is specialised, caches are filled), and each page that a replica
writes to becomes its own. A rehearsal in the parent makes replicas smaller, and quicker to start.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flashcore.model.job import Payload
from flashcore.model.names import JobId
from flashcore.wire.hello import Hello, Stage
from flashcore.wire.messages import Assignment, Message, Received, Results, Welcome, Work
from flashcore.wire.versions import PROTOCOL
from flashcore.worker.channel import MessageChannel
from flashcore.worker.logs import LogFile, Output
from flashcore.worker.loop_thread import LoopThread
from flashcore.worker.replica import Replica
from flashcore.worker.services import QueueService
from flashcore.worker.settings import WorkerSettings, read_settings
from flashcore.worker.warm_environ import encode_environment
from flashcore.worker.warm_words import Fork, Forked, decode, encode

TIMES = 12
"""Python specialises what has run eight times, when it runs again."""

LONGEST = 2.0
"""Seconds that one step may take, on whatever machine: nobody waits for ever for what is not needed."""


def rehearse() -> None:
    """Be a replica that somebody connects to and that has a job, several times over. Raises OSError.

    The threads that this takes have ended when it returns, and their loops are closed.
    """
    with tempfile.TemporaryDirectory(prefix="fc") as folder:
        for _ in range(TIMES):
            _perform(Path(folder))
    asyncio.set_event_loop(None)


class _Loop(asyncio.SelectorEventLoop):
    """Closes what listens on it, too."""

    def __init__(self) -> None:
        super().__init__()
        self._listening: list[asyncio.Server] = []

    async def create_unix_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
        """Remember it."""
        server = await super().create_unix_server(*args, **kwargs)
        self._listening.append(server)
        return server

    def close(self) -> None:
        """Stop listening, and see to what that takes."""
        for server in self._listening:
            server.close()
        self._listening.clear()
        self.run_until_complete(asyncio.sleep(0))
        super().close()


class _Service(QueueService):
    """Ends in a process that goes on."""

    def close(self) -> None:
        """Once `serve` has returned."""
        self._main.loop.close()


class _Gateway:
    """Takes the worker in, gives it one job, and is content with its result."""

    def __init__(self, content: Callable[[], None]) -> None:
        self._content = content

    async def listen(self, path: Path) -> None:
        """Wait for the worker."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_server(self._accept, str(path))
        loop.call_later(LONGEST, self._content)

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


def _perform(folder: Path) -> None:
    with _appeared(folder) as (settings, threads, replica):
        service = _Service(_do_nothing, settings, replica, threads, Output(LogFile(None, 0)), _ignore)
        threads.run(_Gateway(service.finish).listen(folder / "worker"), LONGEST)
        service.serve(lambda address: replica.tell(Stage.READY, address=address))
        service.close()
    (folder / "worker").unlink(missing_ok=True)  # from Python 3.13 on, a server does so when it closes


@contextmanager
def _appeared(folder: Path) -> Iterator[tuple[WorkerSettings, LoopThread, Replica]]:
    """A replica that was told what it is, and to which somebody is connected until it takes its leave."""
    environ = _environ(folder)
    encode_environment(environ)
    decode(encode(Fork(environ, str(folder))))
    encode(Forked(1))
    settings = read_settings(environ)
    threads = LoopThread("flashcore-rehearsal", _Loop())
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


async def _do_nothing(_job: Mapping[str, Any]) -> None:
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
        "FLASHCORE_WORKER_SOCKET": str(folder / "worker"),
        "FLASHCORE_RECORD": str(folder / "replica.json"),
        "FLASHCORE_LOG": str(folder / "log"),
    }


def _ignore(_: object) -> None:
    """Nobody is there to be told."""
