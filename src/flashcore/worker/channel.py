"""A connection that speaks in messages: bytes in, messages out, and the other way round."""

from __future__ import annotations

import asyncio
import mmap
import os
import threading
from collections.abc import Callable
from typing import cast

from flashcore.model.errors import ProtocolError
from flashcore.wire.frames import FrameDecoder, FrameLimits
from flashcore.wire.heads import encode_message
from flashcore.wire.messages import Message, from_frame

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
        self._loop: asyncio.AbstractEventLoop
        self._descriptor = -1
        self._writing = threading.Lock()
        """Held by whoever writes: `send_now` may be called while the loop does, or closes the socket."""
        self._is_queued = False
        """Whether the transport kept some of what the loop wrote last; another thread cannot ask it safely."""
        self._rest = b""
        self._problem: Exception | None = None
        self.writable = True
        """False while the other side does not read what was sent."""
        self.on_writable: Callable[[], None] | None = None

    def send(self, message: Message) -> None:
        """Queue a message for sending; on a closed connection it is dropped."""
        self.send_bytes(encode_message(message))

    def send_bytes(self, frames: bytes) -> None:
        """Queue encoded frames."""
        with self._writing:
            self._write(frames)

    def send_now(self, frames: bytes) -> bool:
        """From any thread: send encoded frames at once; False where others go first, and nothing of these is sent.

        Where only a part of them has room, the loop sends the rest.
        """
        with self._writing:
            transport = self._transport
            if transport is None or transport.is_closing() or self._is_queued:
                return False
            try:
                sent = os.write(self._descriptor, frames)
            except OSError:
                return False  # there is no room; or nobody reads any more, which the loop finds out by itself
            if sent < len(frames):
                self._rest, self._is_queued = frames[sent:], True
                self._loop.call_soon_threadsafe(self.send_bytes, b"")
        return True

    def close(self) -> None:
        """Send what is queued, then close."""
        if self._transport is not None:
            self.send_bytes(b"")
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, transport)
        self._descriptor = self._transport.get_extra_info("socket").fileno()
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
        with self._writing:  # the socket is closed next, and its number may be another one's then
            self._transport = None
        self._lost(self._problem or exc)

    def _write(self, frames: bytes) -> None:
        """On the loop, by whom nobody writes beside."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._rest:
            frames, self._rest = self._rest + frames, b""
        transport.write(frames)
        self._is_queued = transport.get_write_buffer_size() > 0
