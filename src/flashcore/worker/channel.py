"""A connection that speaks in messages: bytes in, messages out, and the other way round."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable
from typing import cast

from flashcore.model.errors import ProtocolError
from flashcore.wire.frames import FrameDecoder, FrameLimits, encode_frame
from flashcore.wire.messages import Message, from_frame, to_frame

ROOM = 1 << 18
"""Bytes that are read at once, at most. Pages that nothing was read into yet take up no memory."""


class MessageChannel(asyncio.BufferedProtocol):
    """One connection. The callbacks run on its loop; `lost` is called once, with what went wrong if anything did.

    It has room of its own to read into: asyncio would ask the system for as much, and give it back, for each read.
    """

    def __init__(
        self,
        received: Callable[[Message], None],
        lost: Callable[[Exception | None], None],
        connected: Callable[[MessageChannel], None] | None = None,
        limits: FrameLimits | None = None,
    ) -> None:
        self._received = received
        self._lost = lost
        self._connected = connected
        self._decoder = FrameDecoder(limits)
        self._room = memoryview(mmap.mmap(-1, ROOM, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        self._transport: asyncio.Transport | None = None
        self._problem: Exception | None = None
        self.writable = True
        """False while the other side does not read what was sent."""
        self.on_writable: Callable[[], None] | None = None

    def send(self, message: Message) -> None:
        """Queue a message for sending; on a closed connection it is dropped."""
        self.send_bytes(encode_frame(to_frame(message)))

    def send_bytes(self, frames: bytes) -> None:
        """Queue encoded frames."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames)

    def close(self) -> None:
        """Send what is queued, then close."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        if self._connected is not None:
            self._connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the base class's signature
        """Where to read to."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Hand over each message that is complete; a peer that speaks otherwise is hung up on."""
        try:
            for frame in self._decoder.feed(self._room[:nbytes]):
                self._received(from_frame(frame))
        except ProtocolError as error:
            self._problem = error
            self.abort()

    def pause_writing(self) -> None:
        """The other side does not keep up."""
        self.writable = False

    def resume_writing(self) -> None:
        """It does again."""
        self.writable = True
        if self.on_writable is not None:
            self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._transport = None
        self._lost(self._problem or exc)
