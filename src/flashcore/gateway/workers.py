"""The worker socket: one connection per queue replica, which begins with a hello."""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from pathlib import Path
from typing import Protocol

from flashcore.gateway.books import WorkerLink
from flashcore.gateway.connections import MessageConnection
from flashcore.gateway.decoding import SpillingDecoder
from flashcore.model.errors import ProtocolError
from flashcore.wire.hello import Hello
from flashcore.wire.messages import Message, Refusal


class Reception(Protocol):
    """Who is told what workers say."""

    def hello(self, link: WorkerLink, hello: Hello) -> None:
        """A worker's first message."""
        ...

    def message(self, link: WorkerLink, message: Message) -> None:
        """Every further one."""
        ...

    def gone(self, link: WorkerLink) -> None:
        """The connection ended; said once, also for one that never said hello."""
        ...


class WorkerConnection(MessageConnection):
    """One worker's connection. What is too large for memory waits in `folder`."""

    def __init__(self, reception: Reception, hello_seconds: float, folder: Path) -> None:
        self._frames = SpillingDecoder(folder)
        super().__init__(self._frames)
        self._reception = reception
        self._introduced = False
        # Who connects and says nothing is not kept for ever.
        self._timer: TimerHandle | None = asyncio.get_running_loop().call_later(hello_seconds, self.abort)

    def take(self, message: Message) -> None:
        """A hello first, then anything."""
        if self._introduced:
            self._reception.message(self, message)
        elif isinstance(message, Hello):
            self._introduced = True
            self._stop_timer()
            self._reception.hello(self, message)
        else:
            raise ProtocolError(f"a worker begins with a hello, not with a {type(message).__name__}")

    def refused(self, error: ProtocolError) -> None:
        """A worker that breaks the protocol would break it again."""
        self.send(Refusal(str(error), final=True))

    def ended(self) -> None:
        """The worker is gone, or its connection is."""
        self._stop_timer()
        self._frames.close()
        self._reception.gone(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
