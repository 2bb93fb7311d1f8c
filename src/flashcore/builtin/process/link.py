"""The provider's side of a replica's control socket: hears what it is and does, and tells it to drain."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from flashcore.model.errors import FlashcoreError, ProtocolError
from flashcore.model.names import InstanceId, ReplicaId
from flashcore.wire.hello import Hello, Identity, Status
from flashcore.wire.messages import Drain, Message
from flashcore.wire.versions import PROTOCOL, agree
from flashcore.worker.channel import MessageChannel
from flashcore.worker.control import BEAT

_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between attempts to connect again."""

SILENCE = 5 * BEAT
"""Seconds without a word after which a replica that is connected does not count as heard."""


class ReplicaLink:
    """A connection to one life of one replica, made again when it is lost.

    `told` is called with each status that it hears and with whether the replica can be heard now.
    """

    def __init__(
        self, path: Path, replica: ReplicaId, instance: InstanceId, told: Callable[[Status | None, bool], None]
    ) -> None:
        self._path = path
        self._replica = replica
        self._instance = instance
        self._told = told
        self._channel: MessageChannel | None = None
        self._lost = asyncio.Event()
        self._heard_at = 0.0
        self.identity: Identity | None = None
        """Who answered."""
        self.refusal: FlashcoreError | None = None
        """Why whoever answered cannot be this replica, or cannot be spoken with."""
        self.heard = asyncio.Event()
        """Set by the first hello, or by a refusal."""

    @property
    def connected(self) -> bool:
        """Whether the replica can be heard now."""
        return self._channel is not None

    async def keep(self) -> None:
        """Connect, and connect again, until cancelled."""
        attempt = 0
        try:
            while self.refusal is None:
                attempt = 0 if await self._one_connection() else attempt + 1
                await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
        finally:
            if self._channel is not None:
                self._channel.close()

    def drain(self, grace: float) -> None:
        """Tell the replica to end within `grace` seconds, if it can be heard."""
        if self._channel is not None:
            self._channel.send(Drain(grace))

    async def _one_connection(self) -> bool:
        self._lost = asyncio.Event()
        channel = MessageChannel(self._received, self._ended, self._begun)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: channel, str(self._path))
        except OSError:
            return False
        try:
            await self._until_lost()
        finally:
            channel.close()
        return True

    async def _until_lost(self) -> None:
        """Listen, and tell of a replica that says nothing though it is there: it is stopped, or hangs as a whole."""
        clock = asyncio.get_running_loop().time
        self._heard_at = clock()
        while not self._lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self._lost.wait()
            if clock() - self._heard_at > SILENCE and self.identity is not None:
                self._told(None, False)

    def _begun(self, channel: MessageChannel) -> None:
        self._channel = channel

    def _received(self, message: Message) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        match message:
            case Hello():
                self._greeted(message)
            case Status() if self.identity is not None:
                self._told(message, True)
            case _:
                self._refuse(ProtocolError(f"replica {self._replica} said {type(message).__name__} out of turn"))

    def _greeted(self, hello: Hello) -> None:
        identity = hello.identity
        if (identity.replica, identity.instance) != (self._replica, self._instance):
            self._refuse(
                ProtocolError(
                    f"replica {self._replica} was expected at {self._path}, {identity.replica} answered",
                    next_step="remove what listens there",
                )
            )
            return
        try:
            agree(PROTOCOL, identity.protocol, f"replica {self._replica}")
        except ProtocolError as error:
            self._refuse(error)
            return
        self.identity = identity
        self.heard.set()
        self._told(hello.status, True)

    def _refuse(self, error: FlashcoreError) -> None:
        self.refusal = error
        self.heard.set()
        if self._channel is not None:
            self._channel.abort()

    def _ended(self, _problem: Exception | None) -> None:
        self._channel = None
        self._lost.set()
        if self.identity is not None:
            self._told(None, False)
