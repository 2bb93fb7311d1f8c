"""What every replica does after its fork, done before it: what Python makes at a first time is shared then.

Code that runs for the first time writes to memory (it is specialised, caches are filled), and each page that a replica
writes to becomes its own. A rehearsal in the parent makes replicas smaller, and quicker to start.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.wire.hello import Stage
from flashcore.wire.messages import Message
from flashcore.worker.channel import MessageChannel
from flashcore.worker.loop_thread import LoopThread
from flashcore.worker.replica import Replica
from flashcore.worker.settings import WorkerSettings, read_settings
from flashcore.worker.warm_environ import encode_environment

T = TypeVar("T")

TIMES = 8
"""Python specialises what has run so often."""


def rehearse() -> None:
    """Be a replica that somebody connects to, several times over, and without any thread. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="fc") as folder:
        for _ in range(TIMES):
            _prepare(Path(folder))
            loop = _Loop()
            try:
                _perform(loop, Path(folder))
            finally:
                loop.close()


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


class _NoThread(LoopThread):
    """In the place of a replica's control thread: a loop that turns only while it is waited for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:  # noqa: ARG002 - nobody else is there to be slow
        """Run a coroutine."""
        return self.loop.run_until_complete(work)

    def call(self, callback: Callable[..., object], *args: Any) -> None:
        """Have `callback` run when something is waited for next."""
        self.loop.call_soon(callback, *args)


def _prepare(folder: Path) -> None:
    """Read what a replica is told of itself."""
    environ = {
        "FLASHCORE_ENDPOINT": "rehearsal",
        "FLASHCORE_REPLICA": "rehearsal-1",
        "FLASHCORE_INSTANCE": "rehearsal",
        "FLASHCORE_REVISION": "rehearsal",
        "FLASHCORE_CONTROL_SOCKET": str(folder / "control"),
        "FLASHCORE_RECORD": str(folder / "replica.json"),
        "FLASHCORE_LOG": str(folder / "log"),
    }
    encode_environment(environ)
    read_settings(environ)
    random.Random().seed()  # noqa: S311 - what it gives is not used


def _perform(loop: _Loop, folder: Path) -> None:
    stage = _NoThread(loop)
    replica = Replica(_settings(folder), stage, _ignore)
    replica.appear()
    replica.tell(Stage.LOADING)
    channel = stage.run(_visit(folder))
    replica.tell(Stage.READY, address="unix:")
    stage.run(asyncio.sleep(0))
    channel.close()
    stage.run(replica.take_leave())


async def _visit(folder: Path) -> MessageChannel:
    """Connect, and hear who is there."""
    greeted = asyncio.Event()

    def hear(_message: Message) -> None:
        greeted.set()

    channel = MessageChannel(hear, _ignore)
    await asyncio.get_running_loop().create_unix_connection(lambda: channel, str(folder / "control"))
    await greeted.wait()
    return channel


def _settings(folder: Path) -> WorkerSettings:
    return WorkerSettings(
        endpoint=EndpointName("rehearsal"),
        replica=ReplicaId("rehearsal-1"),
        instance=InstanceId("rehearsal"),
        revision=RevisionId("rehearsal"),
        control_socket=folder / "control",
        record=folder / "replica.json",
    )


def _ignore(_: object) -> None:
    """Nobody is there to be told."""
