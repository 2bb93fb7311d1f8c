"""The worker's link to its gateway, by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from flashcore.testing.fake_worker import worker_hello
from flashcore.wire.frames import encode_frame
from flashcore.wire.messages import Message, Welcome, to_frame
from flashcore.worker.link import GatewayLink


class Worker:
    """Hears what happens to the link."""

    def __init__(self) -> None:
        self.is_welcome = asyncio.Event()

    def welcomed(self, welcome: Welcome) -> None:
        """See Linked."""
        self.is_welcome.set()

    def received(self, message: Message) -> None:
        """See Linked."""

    def dropped(self) -> None:
        """See Linked."""


async def test_a_link_that_has_ended_does_not_come_back(tmp_path: Path) -> None:
    """The gateway took a replica that could not go on, and came back for a moment, for one that it had sent away."""
    came: list[asyncio.StreamWriter] = []

    async def welcome(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer)
        writer.write(encode_frame(to_frame(Welcome(2, 60.0))))

    server = await asyncio.start_unix_server(welcome, tmp_path / "socket")
    worker = Worker()
    link = GatewayLink(tmp_path / "socket", lambda: worker_hello("hello", slots=1), worker, lambda _: None)
    kept = asyncio.get_running_loop().create_task(link.keep(lambda: None))
    await worker.is_welcome.wait()

    link.end()

    async with asyncio.timeout(30):
        await kept
    assert len(came) == 1
    came[0].close()
    server.close()


async def test_a_link_may_end_before_it_is_there(tmp_path: Path) -> None:
    """Then nobody is told that it came."""
    worker = Worker()
    link = GatewayLink(tmp_path / "nobody", lambda: worker_hello("hello", slots=1), worker, lambda _: None)
    kept = asyncio.get_running_loop().create_task(link.keep(lambda: None))
    await asyncio.sleep(0)

    link.end()

    async with asyncio.timeout(30):
        await kept
    assert not worker.is_welcome.is_set()
