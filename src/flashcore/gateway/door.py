"""Workers that said hello before any table listed them: they wait a while, since the table may be on its way."""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from collections.abc import Callable

from flashcore.gateway.books import WorkerLink
from flashcore.model.names import EndpointName
from flashcore.wire.hello import Hello


class Door:
    """Who waits, and for how long yet. `changed` is told of the endpoint whenever somebody comes or goes."""

    def __init__(
        self,
        patience: float,
        send_away: Callable[[WorkerLink, str], None],
        changed: Callable[[EndpointName], None],
    ) -> None:
        self._patience = patience
        self._send_away = send_away
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[WorkerLink, tuple[Hello, TimerHandle]] = {}

    def wait(self, link: WorkerLink, hello: Hello, reason: str) -> None:
        """Let it wait; `reason` is what it is sent away with in the end."""
        self._waiting[link] = (hello, self._loop.call_later(self._patience, self._expire, link, reason))
        self._changed(hello.identity.endpoint)

    def leave(self, link: WorkerLink) -> None:
        """It waits no longer; nothing happens when it did not."""
        waiting = self._waiting.pop(link, None)
        if waiting is not None:
            hello, timer = waiting
            timer.cancel()
            self._changed(hello.identity.endpoint)

    def waiting(self) -> list[tuple[WorkerLink, Hello]]:
        """Everybody who waits."""
        return [(link, hello) for link, (hello, _) in self._waiting.items()]

    def count(self, endpoint: EndpointName) -> int:
        """How many wait for that endpoint."""
        return sum(hello.identity.endpoint == endpoint for hello, _ in self._waiting.values())

    def _expire(self, link: WorkerLink, reason: str) -> None:
        self.leave(link)
        self._send_away(link, reason)
