"""The body of a sealed call goes from the socket into its own memory: no copy, no pause, no task in between.

uvicorn hands an application its body in pieces, each of which is copied four times. That is right for small ones, and
takes longer than the way there for an array of 100 MB. Whoever reads `scope[INTAKE]` finds it whole, once `receive`
has returned; every other request is uvicorn's as ever.
"""

from __future__ import annotations

import asyncio

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flashcore.wire import seal
from flashcore.wire.memory import memory_for
from flashcore.wire.sockets import give_room
from flashcore.worker.direct import INTAKE

LARGE = 1 << 16
"""Bytes of bodies that are taken in this way; smaller ones are not worth it."""

_MEDIA = seal.MEDIA.encode()


class IntakeProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which steps aside while such a body comes."""

    _body: memoryview | None = None
    _filled = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own signature
        """Begin."""
        super().connection_made(transport)
        give_room(transport)

    def on_headers_complete(self) -> None:
        """Make room for the body."""
        super().on_headers_complete()
        size = _size_of(self.headers)
        self._filled = 0
        self._body = memory_for(size) if LARGE <= size <= seal.LARGEST_CALL else None
        if self._body is not None:
            self.scope[INTAKE] = self._body  # type: ignore[literal-required]  # a key of our own in uvicorn's typed dict

    def on_body(self, body: bytes) -> None:
        """The piece that came together with the head."""
        if self._body is None:
            super().on_body(body)
        else:
            self._body[self._filled : self._filled + len(body)] = body
            self._filled += len(body)

    def data_received(self, data: bytes) -> None:
        """Read the head, then let the rest of the body go where it belongs."""
        super().data_received(data)
        body = self._body
        if body is not None and self._filled < len(body) and not self.transport.is_closing():
            self.transport.set_protocol(_Filling(self, body, self._filled))

    def filled(self) -> None:
        """The body is whole: go on with what follows it."""
        self._body = None
        self.parser = httptools.HttpRequestParser(self)  # the old one still waits for the body
        self.transport.set_protocol(self)
        self.on_message_complete()


class _Filling(asyncio.BufferedProtocol):
    """Stands in for the protocol until the body is whole."""

    def __init__(self, owner: IntakeProtocol, body: memoryview, filled: int) -> None:
        self._owner = owner
        self._view = body[filled:]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the base class's signature
        """What is still empty of it."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """So much of it is there."""
        self._view = self._view[nbytes:]
        if not self._view:
            self._owner.filled()

    def pause_writing(self) -> None:
        """As for the owner."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """As for the owner."""
        self._owner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller left."""
        self._owner.connection_lost(exc)

    def eof_received(self) -> None:
        """As for the owner."""
        self._owner.eof_received()


def _size_of(headers: list[tuple[bytes, bytes]]) -> int:
    """The length of a sealed body; 0 for others, and for one whose length is not told."""
    found = dict(headers)
    length = found.get(b"content-length", b"")
    return int(length) if found.get(b"content-type") == _MEDIA and length.isdigit() else 0
