"""To the gateway that took this one's place: everything that no replica was sent yet.

A gateway that was replaced finishes what replicas are at, by its last table, and begins nothing with any of them: they
may be drained since, and there may be others. Whatever else its clients ask, or wait for, goes to the next gateway
over a socket of its own, and is answered through here. There may be none for a moment: then it is waited for.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import Future, Task
from dataclasses import dataclass
from pathlib import Path

from flashcore.gateway.http.errors import Outcome
from flashcore.gateway.http.forward import NOTHING_ADDED, AddedHeaders, add_headers
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.route import Choice, Proxy, Unavailable, UnixAddress, Upstream

TOKEN_HEADER = b"x-flashcore-token"

_NAME = "next gateway"
_FIRST_LOOK = 0.01
_LONGEST_LOOK = 0.25
_TRIES = 5
"""Gateways that one request is sent to: one that ends them all is not to end any more."""


class Onward:
    """A Dispatcher that sends everything to whichever gateway listens at `path`, for which it waits `patience` s."""

    def __init__(self, path: Path, patience: float) -> None:
        self._path = str(path)
        self._address = UnixAddress(self._path)
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[float, _Waiting]] = []
        self._looking: Task[None] | None = None
        self._is_there = False

    def dispatch(self, head: RequestHead, peer: str) -> Proxy:  # noqa: ARG002 - see Dispatcher; the head names it
        """Who answers: it has limits of its own for that."""
        return Proxy(_Passing(self, _with_token(head)))

    def has(self, proxy: Proxy) -> bool:
        """Whether the request goes onward already."""
        return isinstance(proxy.route, _Passing)

    def upstream(self, added: AddedHeaders) -> Upstream:
        """The next gateway, for one request."""
        return Upstream(_NAME, self._address, _nothing, added)

    def wait(self, added: AddedHeaders) -> Future[Choice]:
        """The same once it listens."""
        self._is_there = False
        future: Future[Choice] = self._loop.create_future()
        self._waiting.append((self._loop.time() + self._patience, _Waiting(future, added)))
        if self._looking is None:
            self._looking = self._loop.create_task(self._look())
        return future

    @property
    def is_there(self) -> bool:
        """Whether it listened when somebody looked last."""
        return self._is_there

    async def _look(self) -> None:
        pause = _FIRST_LOOK
        try:
            while self._waiting:
                if await self._answers():
                    self._is_there = True
                    for _, waiting in self._waiting:
                        waiting.tell(self.upstream(waiting.added))
                    self._waiting.clear()
                    return
                self._send_away(self._loop.time())
                await asyncio.sleep(pause)
                pause = min(_LONGEST_LOOK, pause * 2)
        finally:
            self._looking = None

    def _send_away(self, now: float) -> None:
        for until, waiting in self._waiting:
            if until <= now:
                waiting.tell(
                    Unavailable(
                        "gateway_stopping",
                        "This gateway was replaced, and the next one is not there yet.",
                        headers=((b"retry-after", b"1"),),
                    )
                )
        self._waiting = [one for one in self._waiting if not one[1].future.done()]

    async def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                await self._loop.sock_connect(probe, self._path)
            except OSError:
                return False
        return True


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A request that has nobody to go to yet."""

    future: Future[Choice]
    added: AddedHeaders

    def tell(self, choice: Choice) -> None:
        """That has changed; the client may have left."""
        if not self.future.done():
            self.future.set_result(choice)


class _Passing:
    """The Route of one request."""

    __slots__ = ("_added", "_left", "_onward")

    def __init__(self, onward: Onward, added: AddedHeaders) -> None:
        self._onward = onward
        self._added = added
        self._left = _TRIES

    def choose(self, tried: frozenset[str]) -> Choice | Future[Choice]:
        """The next gateway; where that failed it has ended, and there will be another one."""
        self._left -= 1
        if self._left < 0:
            return Unavailable("gateway_stopping", "This gateway was replaced, and those in its place fail.")
        if self._onward.is_there and _NAME not in tried:
            return self._onward.upstream(self._added)
        return self._onward.wait(self._added)

    def has_another(self, tried: frozenset[str]) -> bool:  # noqa: ARG002 - see Route
        """What it answers is the answer."""
        return False

    def on_outcome(self, upstream: Upstream, outcome: Outcome, latency: float) -> None:
        """It counts for itself."""


def _with_token(head: RequestHead) -> AddedHeaders:
    """The client's token goes on to who asks for it, in the one header that is never the endpoint's."""
    token = head.index.get(TOKEN_HEADER) or (head.withheld and head.index.get(head.withheld))
    return add_headers((TOKEN_HEADER, token)) if token else NOTHING_ADDED


def _nothing() -> None:
    """There is no count of what goes on."""
