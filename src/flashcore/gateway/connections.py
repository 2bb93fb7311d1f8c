"""A connection that carries messages of ours, as an asyncio protocol: no task and no future for each of them."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol, cast

from flashcore.model.errors import ProtocolError
from flashcore.model.names import JobId
from flashcore.wire.frames import Frame, FrameDecoder, frame_pieces
from flashcore.wire.heads import encode_message, written
from flashcore.wire.messages import Message, Received, Work, from_frame
from flashcore.wire.spill import SPILLED_FROM

_log = logging.getLogger(__name__)

HELD_FOR = 0.005
"""Seconds that a receipt waits at most, for others: sending it by itself would wake the peer, which for a small job is
a third of what it costs both of them; sending it with the next job would have the peer read it before that one."""


class Decoder(Protocol):
    """Turns a stream of bytes into frames."""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now. Raises ProtocolError."""
        ...


class MessageConnection(asyncio.Protocol, ABC):
    """One connection. Who serves it says what to do with a message, and when it has ended."""

    def __init__(self, decoder: Decoder | None = None) -> None:
        self._decoder = decoder or FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._held: dict[JobId, None] = {}
        """Receipts, in their order."""
        self._held_until: asyncio.TimerHandle | None = None
        self.is_paused = False

    @abstractmethod
    def take(self, message: Message) -> None:
        """A message came. Raises ProtocolError for one that ends the connection."""

    @abstractmethod
    def ended(self) -> None:
        """The connection is no more."""

    def refused(self, error: ProtocolError) -> None:
        """The peer broke the protocol; the connection ends after what is sent here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        # A stream socket has no other kind; uvloop's are not of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        try:
            for frame in self._decoder.feed(data):
                self.take(from_frame(frame))
        except ProtocolError as error:
            _log.warning("a connection is closed: %s", error)
            self.refused(error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it ended changes nothing
        """It ended."""
        self._transport = None
        self._held.clear()
        self.ended()

    def send(self, message: Message) -> None:
        """Send one message; dropped when the connection is closing."""
        if self._transport is None or self._transport.is_closing():
            return
        frame, head = written(message)
        pieces = frame_pieces(frame, head)
        if self._held and not self._may_go_ahead(message):
            pieces = (self._take_held(), *pieces)
        if any(len(buffer) > SPILLED_FROM for buffer in frame.buffers):
            # The transport keeps references to views of files; one string of all would be a copy in memory.
            self._transport.writelines(pieces)
        else:
            self._transport.write(b"".join(pieces))

    def send_soon(self, receipt: Received) -> None:
        """Send a receipt in a few milliseconds, or before the next message that is no work on other jobs.

        Dropped as `send` drops it.
        """
        if self._transport is None or self._transport.is_closing():
            return
        self._held.update(dict.fromkeys(receipt.ids))
        if self._held_until is None:
            # It is not cancelled when they go earlier: there is one timer for all that is held in these moments.
            self._held_until = asyncio.get_running_loop().call_later(HELD_FOR, self._hold_no_longer)

    def close(self) -> None:
        """End the connection after what was sent."""
        if self._transport is not None:
            self._send_held()
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Read no further."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self.is_paused = True

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self.is_paused = False

    def _hold_no_longer(self) -> None:
        self._held_until = None
        self._send_held()

    def _may_go_ahead(self, message: Message) -> bool:
        """Whether it is work on none of the jobs whose receipts are held."""
        # Until it has a job's receipt a worker takes no more work on it, and a caller may have had it retried.
        return isinstance(message, Work) and self._held.keys().isdisjoint([job.id for job in message.jobs])

    def _send_held(self) -> None:
        if self._held and self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._take_held())

    def _take_held(self) -> bytes:
        held, self._held = self._held, {}
        return encode_message(Received(tuple(held)))
