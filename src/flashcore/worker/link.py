"""The queue worker's connection to its gateway, made again whenever it is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from flashcore.model.errors import IncompatiblePeer
from flashcore.wire.hello import Hello
from flashcore.wire.messages import Message, Refusal, Welcome
from flashcore.wire.versions import PROTOCOL
from flashcore.worker.channel import MessageChannel

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
"""Seconds between attempts to connect: doubled each time, shortened at random so that workers do not come together."""

WELCOME_WITHIN = 10.0
"""Seconds in which a gateway answers a hello."""


class Linked(Protocol):
    """Who speaks over the link."""

    def welcomed(self, welcome: Welcome) -> None:
        """A gateway has taken the worker."""
        ...

    def received(self, message: Message) -> None:
        """A gateway says something."""
        ...

    def dropped(self) -> None:
        """The gateway is gone, for now."""
        ...


class GatewayLink:
    """One worker's link. Everything runs on the control loop.

    `unwanted` is told the reason when a gateway does not want this worker ever.
    """

    def __init__(self, path: Path, hello: Callable[[], Hello], linked: Linked, unwanted: Callable[[str], None]) -> None:
        self._path = path
        self._hello = hello
        self._linked = linked
        self._unwanted = unwanted
        self._channel: MessageChannel | None = None
        self._up = self._was_welcomed = self._is_over = False
        self._lost = asyncio.Event()
        self._answered = asyncio.Event()

    @property
    def writable(self) -> bool:
        """Whether a gateway listens and keeps up."""
        return self._up and self._channel is not None and self._channel.writable

    async def keep(self, writable: Callable[[], None]) -> None:
        """Connect, and connect again, until `end`. `writable` is called when the gateway keeps up again."""
        attempt = 0
        while not self._is_over:
            attempt = 0 if await self._one_connection(writable) else attempt + 1
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 10))
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - spreads load, guards nothing

    def send(self, message: Message) -> None:
        """Send a message; without a connection it is dropped."""
        if self._up and self._channel is not None:
            self._channel.send(message)

    def send_now(self, frames: bytes) -> bool:
        """From any thread: send encoded frames at once; False where they cannot go now."""
        channel = self._channel
        return self._up and channel is not None and channel.send_now(frames)

    def end(self) -> None:
        """Send what is queued and hang up for good: who came back would be taken for somebody who was sent away."""
        self._is_over = True
        self._hang_up()

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()

    async def _one_connection(self, writable: Callable[[], None]) -> bool:
        """Until it is lost; whether it came as far as a welcome."""
        self._lost, self._answered = asyncio.Event(), asyncio.Event()
        self._was_welcomed = False
        channel = MessageChannel(self._take, self._ended)
        channel.on_writable = writable
        loop = asyncio.get_running_loop()
        try:
            await loop.create_unix_connection(lambda: channel, str(self._path))
        except OSError:
            return False  # it is not there yet, or is being started again
        if self._is_over:
            channel.abort()
            return False
        self._channel = channel
        try:
            channel.send(self._hello())
            await self._conversation(channel)
        finally:
            channel.close()
        return self._was_welcomed

    async def _conversation(self, channel: MessageChannel) -> None:
        try:
            async with asyncio.timeout(WELCOME_WITHIN):
                await self._answered.wait()
        except TimeoutError:
            channel.abort()
        await self._lost.wait()

    def _take(self, message: Message) -> None:
        match message:
            case Welcome():
                self._welcome(message)
            case Refusal(reason, final):
                if final:
                    self._unwanted(reason)
                self._hang_up()
            case _:
                self._hand_on(message)

    def _hand_on(self, message: Message) -> None:
        if self._up:  # what comes before a welcome means nothing
            self._linked.received(message)

    def _welcome(self, message: Welcome) -> None:
        if not PROTOCOL.lowest <= message.protocol <= PROTOCOL.highest:
            self._unwanted(str(IncompatiblePeer(f"the gateway speaks protocol {message.protocol}")))
            self._hang_up()
            return
        self._up = self._was_welcomed = True
        self._answered.set()
        self._linked.welcomed(message)

    def _ended(self, _problem: Exception | None) -> None:
        was_up, self._up, self._channel = self._up, False, None
        self._answered.set()
        self._lost.set()
        if was_up:
            self._linked.dropped()
