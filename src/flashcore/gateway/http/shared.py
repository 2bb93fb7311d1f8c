"""What all connections of one server have in common."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Event, Task
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.plain import PlainHeads
from flashcore.gateway.http.requestid import RequestIds
from flashcore.gateway.http.route import Dispatcher

if TYPE_CHECKING:
    from flashcore.gateway.http.connection import ClientConnection
    from flashcore.gateway.http.onward import Onward
    from flashcore.gateway.http.pool import UpstreamPool


LAST_CALL = 5.0
"""Seconds in which a client of a gateway that was replaced may ask once more on a connection that it has open.

No end of an idle connection is safe from a request that is on its way; one that was idle for so long hardly meets any.
"""


@dataclass(slots=True, eq=False)
class Shared:
    """Held by the server, read by every connection."""

    loop: AbstractEventLoop
    limits: Limits
    dispatcher: Dispatcher
    pool: UpstreamPool
    trusted_peers: frozenset[str]
    folder: Path
    """Where a body is that is too large for memory."""
    plain: PlainHeads = field(default_factory=PlainHeads)
    new_id: RequestIds = field(default_factory=RequestIds)
    connections: set[ClientConnection] = field(default_factory=set)
    tasks: set[Task[None]] = field(default_factory=set)
    """Local handlers at work: the loop itself would let them be collected."""
    refused: dict[str, int] = field(default_factory=dict)
    """Clients' messages that were refused, by the stable name of the reason."""
    closing: bool = False
    """No answer keeps its connection."""
    onward: Onward | None = None
    """Where everything goes that no replica was sent yet, once another gateway has taken this one's place."""
    departed: Event = field(default_factory=Event)
    """Set with each answer's and each connection's end while closing."""
    date_line: bytes = b""
    """The Date header, as of the last sweep."""

    @property
    def idle_seconds(self) -> float:
        """Between two requests of one client connection."""
        return self.limits.idle_seconds if self.onward is None else LAST_CALL

    def count_refusal(self, reason: str) -> None:
        """One more message was refused, or connection ended, for that reason."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def report(self, what: str, error: BaseException) -> None:
        """Tell the loop's exception handler of a failure that no caller is left to hear of."""
        self.loop.call_exception_handler({"message": f"HTTP gateway: {what}", "exception": error})
