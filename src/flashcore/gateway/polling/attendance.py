"""Whether a worker that asks over HTTP has a process still: as long as it has a connection to us, it has one.

A worker of RunPod's SDK asks two things over and over, and rests for a second after an answer that gives it nothing to
do. Within that second nothing is asked, and a process that is killed breaks off no question. But its connections end
with it, and those of a process that lives do not: while its function blocks it, it closes nothing, and when it is free
it asks. That others of its processes go on sending pings, for ever, says nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.respond import Line, Request
from flashcore.gateway.polling.link import PolledLink
from flashcore.wire.runpod import asks_for_stops

_FORWARDED = (b"forwarded", b"via", b"x-forwarded-for")


class Attendance:
    """A Watcher: the connections on which one worker has asked, and whether `is_expected` of them that one is open.

    Versions that ask for jobs alone have none while they work, and are known by nothing but their pings. Nor does it
    count what a proxy does with its connections.
    """

    def __init__(self, link: PolledLink, gone: Callable[[PolledLink], None]) -> None:
        self._link = link
        self._gone = gone
        self._lines: set[Line] = set()
        self._is_expected = False

    def note(self, request: Request) -> None:
        """The worker asked this."""
        if _is_direct(request.head):
            self._is_expected = self._is_expected or asks_for_stops(request.head.index.get(b"user-agent", b""))
            self._lines.add(request.line)
            request.line.watch(self)

    @property
    def is_awaiting(self) -> bool:
        """See Watcher."""
        return self._is_expected and self._link.is_here

    def left(self, line: Line) -> None:
        """See Watcher."""
        self.released(line)
        if self.is_awaiting and not self._lines:
            self._gone(self._link)

    def released(self, line: Line) -> None:
        """See Watcher."""
        self._lines.discard(line)


def _is_direct(head: RequestHead) -> bool:
    """Whether the connection is the worker's own, as far as one can see."""
    return not any(name in head.index for name in _FORWARDED)
