"""Links for awaited calls: one for all calls of an event loop to one address.

What is called in one turn of the loop goes out in one write, and each answer resolves the future of its call: there is
no task and no timer for each.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import cast

from flashcore.client.exchange import Response, Submission, Told
from flashcore.client.link import (
    OPENING,
    Line,
    NoLink,
    Opening,
    Talk,
    encode_forgotten,
    encode_submissions,
    opening,
    reading_room,
)
from flashcore.client.loop_end import LoopEnd
from flashcore.client.transport import broken, connect_async, too_slow
from flashcore.model.errors import ProtocolError

_LOOKED_AFTER = 1.0
"""Seconds between two looks for calls that are overdue."""


class LoopLinks:
    """Those of one event loop, in one process."""

    def __init__(self) -> None:
        self._links: dict[Line, LoopLink] = {}
        self._connected: set[LoopLink] = set()
        """Also those that take no more calls."""
        self._opening: dict[Line, asyncio.Future[LoopLink | None]] = {}
        self._without: dict[Line, float] = {}
        self._pid = os.getpid()
        self._end = LoopEnd(self._close)

    async def exchange(self, line: Line, submission: Submission) -> Told | Response | None:
        """Submit, and wait for what is said of it; None where there are no links. Raises as HTTP does."""
        link = self._links.get(line)
        if link is None or not link.is_open or self._pid != os.getpid():
            if self._without and self._without.get(line, 0.0) > time.monotonic():
                return None
            try:
                async with asyncio.timeout(submission.timeout):
                    link = await self._opened(line)
            except TimeoutError as error:
                raise too_slow(line.address, submission.request()) from error
            if link is None:
                return None
        return await link.exchange(submission)

    async def _opened(self, line: Line) -> LoopLink | None:
        """A new link: the same for all who want one now."""
        if self._pid != os.getpid():
            # A forked child shares the parent's sockets: what one sends, the other's answers would be mixed with.
            self._links, self._connected, self._opening, self._pid = {}, set(), {}, os.getpid()
        opening = self._opening.get(line)
        if opening is None:
            await self._end.watch()
            opening = self._opening.get(line)
        if opening is None:
            opening = self._opening[line] = asyncio.ensure_future(self._open(line))
            opening.add_done_callback(lambda done: self._is_opened(line, done))
        # Whoever gives up waiting for it leaves it to the others.
        return await asyncio.shield(opening)

    def _is_opened(self, line: Line, done: asyncio.Future[LoopLink | None]) -> None:
        self._opening.pop(line, None)
        if not done.cancelled():
            done.exception()  # heard, also where nobody waits for it any more

    async def _open(self, line: Line) -> LoopLink | None:
        link = LoopLink(line, self._connected)
        await connect_async(line.address, lambda: link)
        try:
            await link.opened
        except NoLink as no:
            self._without[line] = time.monotonic() + no.seconds
            link.close()
            return None
        self._links[line] = link
        return link

    def _close(self) -> None:
        for link in list(self._connected):
            link.close()
        self._links.clear()


class LoopLink(asyncio.BufferedProtocol):
    """One connection, which stands in `connected` while it is one."""

    def __init__(self, line: Line, connected: set[LoopLink]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connected = connected
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self._line = line
        self._transport: asyncio.Transport | None = None
        self._reading: Opening | None = Opening()
        self._talk = Talk()
        self._room = reading_room()
        self._number = 0
        self._calls: dict[int, tuple[asyncio.Future[Told | Response], Submission, float]] = {}
        self._outbox: dict[int, Submission] = {}
        self._forgotten: list[int] = []
        self._is_due = self._is_held = self._is_looked_after = self._is_silent = False

    @property
    def is_open(self) -> bool:
        """Whether another call may be made over it."""
        return not (self._transport is None or self._talk.is_going or self._is_silent)

    async def exchange(self, submission: Submission) -> Told | Response:
        """Submit, and wait for what is said of it. Raises Unavailable, DeadlineExceeded or ProtocolError."""
        if self._transport is None:  # it ended between its opening and the turn of who waited for that
            raise broken(self._line.address, submission.request(), EOFError("the link ended before the job was sent"))
        self._number = number = self._number + 1
        answer: asyncio.Future[Told | Response] = self._loop.create_future()
        self._calls[number] = (answer, submission, self._loop.time() + submission.timeout)
        self._outbox[number] = submission
        if not self._is_due:
            self._plan_flush()
        try:
            return await answer
        except asyncio.CancelledError:
            self._forget(number)
            raise

    def close(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- what the loop calls ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the link."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(opening(self._line))
        self._connected.add(self)
        timer = self._loop.call_later(OPENING, self._refuse, NoLink(0.0))
        self.opened.add_done_callback(lambda _: timer.cancel())

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the base class's signature
        """Where to read to."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Hand out what is said."""
        data: bytes | memoryview = self._room[:nbytes]
        try:
            if self._reading is not None:
                rest = self._reading.feed(bytes(data))
                if rest is None:
                    return
                self._reading, data = None, rest
                if not self.opened.done():  # a loop that ends cancels who waits for it
                    self.opened.set_result(None)
            for number, said in self._talk.heard(data):
                call = self._calls.pop(number, None)
                if call is not None and not call[0].done():
                    call[0].set_result(said)
        except NoLink as no:
            self._refuse(no)
        except ProtocolError as error:
            self._lose(error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Every call that is under way hears of it, and may be made again."""
        self._transport = None
        self._connected.discard(self)
        self._refuse(NoLink(0.0))
        self._lose(exc or EOFError("the link ended before the answer came"))

    def pause_writing(self) -> None:
        """The gateway does not keep up."""
        self._is_held = True

    def resume_writing(self) -> None:
        """It does again."""
        self._is_held = False
        self._plan_flush()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _plan_flush(self) -> None:
        self._is_due = True
        self._loop.call_soon(self._flush)
        if not self._is_looked_after:
            self._is_looked_after = True
            self._loop.call_later(_LOOKED_AFTER, self._look_after)

    def _flush(self) -> None:
        self._is_due = False
        if self._is_held or self._transport is None:
            return
        if self._outbox:
            outbox, self._outbox = self._outbox, {}
            self._transport.write(encode_submissions(outbox.items()))
        if self._forgotten:
            forgotten, self._forgotten = self._forgotten, []
            self._transport.write(encode_forgotten(forgotten))

    def _forget(self, number: int) -> None:
        """Nobody waits for it any longer. What has not left yet does not: a gateway that stands still has it kept."""
        if self._calls.pop(number, None) is None or self._outbox.pop(number, None) is not None:
            return
        self._forgotten.append(number)
        if not self._is_due:
            self._plan_flush()

    def _look_after(self) -> None:
        """Give up calls that are overdue, and with the last call a link on which one was: its other end may be gone.

        While there are none under way nothing ticks.
        """
        self._is_looked_after = False
        now = self._loop.time()
        for number, (answer, submission, until) in list(self._calls.items()):
            if now >= until:
                self._is_silent = True
                self._forget(number)
                if not answer.done():
                    answer.set_exception(too_slow(self._line.address, submission.request()))
        if self._calls:
            self._is_looked_after = True
            self._loop.call_later(_LOOKED_AFTER, self._look_after)
        elif self._is_silent:
            self.close()

    def _refuse(self, no: NoLink) -> None:
        if not self.opened.done():
            self.opened.set_exception(no)

    def _lose(self, error: Exception) -> None:
        under_way, self._calls = self._calls, {}
        self._outbox.clear()
        for answer, submission, _ in under_way.values():
            if not answer.done():
                answer.set_exception(
                    error
                    if isinstance(error, ProtocolError)
                    else broken(self._line.address, submission.request(), error)
                )
