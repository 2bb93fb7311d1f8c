"""The control socket: whoever connects hears who this replica is, and then each change of what it does."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from flashcore.model.errors import ConfigurationError
from flashcore.wire.hello import Hello, Status
from flashcore.wire.messages import Drain, Message
from flashcore.worker.channel import MessageChannel


def listen_on(path: Path) -> socket.socket:
    """A listening Unix socket at `path`, for this user alone; a stale one there is replaced.

    Raises ConfigurationError when the directory is somebody else's, OSError when it cannot be written.
    """
    require_own_directory(path.parent)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def require_own_directory(path: Path) -> None:
    """Make the directory of sockets if it is missing. Raises ConfigurationError if others could put sockets into it.

    It may lie in the machine's temporary directory, under a name that anybody can work out.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
        return
    raise ConfigurationError(
        f"{path} is to hold sockets, but it is no directory of this user's own",
        next_step=f"remove it, or make it private: chmod 700 {path}",
    )


BEAT = 2.0
"""Seconds between two words to whoever listens: a process that stands still is known by its silence."""


class ControlServer:
    """Serves the control socket. All its methods run on its loop."""

    def __init__(self, hello: Callable[[], Hello], drain: Callable[[float], None]) -> None:
        self._hello = hello
        self._drain = drain
        self._channels: set[MessageChannel] = set()
        self._alone = asyncio.Event()
        self._serving: asyncio.Task[asyncio.Server] | None = None

    def serve(self, listener: socket.socket) -> None:
        """Answer from now on; whoever has connected already is heard, too."""
        loop = asyncio.get_running_loop()
        self._serving = loop.create_task(loop.create_unix_server(self._accept, sock=listener))
        loop.call_later(BEAT, self._beat, loop)

    def publish(self, status: Status) -> None:
        """Tell everybody who is connected."""
        for channel in tuple(self._channels):
            channel.send(status)

    def close(self) -> None:
        """Let nobody in any more."""
        if self._serving is not None and self._serving.done():
            self._serving.result().close()

    async def hang_up(self) -> None:
        """Close all connections; returns when what was queued for them is sent."""
        for channel in tuple(self._channels):
            channel.close()
        if self._channels:
            self._alone.clear()
            await self._alone.wait()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say the same again."""
        self.publish(self._hello().status)
        loop.call_later(BEAT, self._beat, loop)

    def _accept(self) -> MessageChannel:
        channel = MessageChannel(self._received, lambda _problem: self._gone(channel), self._greet)
        return channel

    def _gone(self, channel: MessageChannel) -> None:
        self._channels.discard(channel)
        if not self._channels:
            self._alone.set()

    def _greet(self, channel: MessageChannel) -> None:
        self._channels.add(channel)
        channel.send(self._hello())

    def _received(self, message: Message) -> None:
        if isinstance(message, Drain):
            self._drain(message.grace)
