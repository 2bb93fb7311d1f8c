"""One connection to a replica: sends a request, reads its answer, tells the exchange that asked."""

from __future__ import annotations

from asyncio import Protocol as StreamProtocol
from asyncio import Transport
from typing import Protocol, cast

from flashcore.gateway.http.errors import BadAnswer, BadFraming
from flashcore.gateway.http.framing import BodyReader, ChunkedBody, EndlessBody, LengthBody
from flashcore.gateway.http.head import ResponseHead
from flashcore.gateway.http.headreader import HeadReader
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.outflow import Outflow
from flashcore.gateway.http.parse import has_answer_body, parse_response
from flashcore.gateway.http.plain import PlainHeads
from flashcore.gateway.http.route import Address
from flashcore.wire.sockets import give_room


class Asker(Protocol):
    """The exchange that a connection works for."""

    @property
    def request_done(self) -> bool:
        """Whether the whole request was written."""
        ...

    def interim(self, head: ResponseHead) -> None:
        """An answer with a status below 200 came before the real one."""
        ...

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        """101: `rest` are the first bytes of the other protocol."""
        ...

    def answer(self, head: ResponseHead, piece: bytes, done: bool) -> None:  # noqa: FBT001 - part of what came, no mode
        """The answer began; `piece` came with its head. When `done`, the connection is no longer the asker's."""
        ...

    def answer_more(self, piece: bytes, done: bool) -> None:  # noqa: FBT001 - part of what came, no mode
        """More of the body; `piece` may be empty."""
        ...

    def lost(self, error: Exception | None) -> None:
        """The connection ended before the answer did; BadAnswer or BadFraming where it was ended for its bytes."""
        ...

    def hold_upload(self) -> None:
        """The replica reads slower than it is written to."""
        ...

    def release_upload(self) -> None:
        """The replica has room again."""
        ...


class Keeper(Protocol):
    """Where a connection comes from and goes back to."""

    limits: Limits
    plain: PlainHeads

    def remember(self, connection: UpstreamConnection) -> None:
        """The connection is open."""
        ...

    def keep(self, connection: UpstreamConnection) -> None:
        """Nobody uses the connection any more."""
        ...

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is closed."""
        ...

    def now(self) -> float:
        """The loop's clock."""
        ...


class UpstreamConnection(StreamProtocol):
    """Serves one asker at a time, many one after another."""

    __slots__ = (
        "_asker",
        "_body",
        "_heads",
        "_held",
        "_keeper",
        "_last_head",
        "_last_raw",
        "_method",
        "_reusable",
        "_transport",
        "address",
        "idle_since",
        "outflow",
        "requests",
    )

    def __init__(self, address: Address, keeper: Keeper) -> None:
        self.address = address
        self.requests = 0
        self.idle_since = 0.0
        self._keeper = keeper
        self._asker: Asker | None = None
        self._heads = HeadReader()
        self._body: BodyReader | None = None
        self._last_raw = b""
        self._last_head: ResponseHead | None = None
        self._method = b""
        self._reusable = True
        self._held = False

    # -- for the exchange ------------------------------------------------------------------------------------------

    def ask(self, asker: Asker, method: bytes, data: bytes) -> None:
        """Send a request whose head, and perhaps body, is `data`; the rest of the body goes through `write`."""
        self._asker = asker
        self._method = method
        self._body = None
        self.requests += 1
        self._transport.write(data)

    def write(self, data: bytes) -> None:
        """Send more of the request; where the connection is closed, `Asker.lost` will say so."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def write_eof(self) -> None:
        """Say that nothing more will be sent: only in a tunnel."""
        if self._transport.is_closing():
            return
        try:
            self._transport.write_eof()
        except OSError:  # reset a moment ago, and the loop has yet to say so
            self._transport.abort()

    def hold(self) -> None:
        """Read no further."""
        if not self._held and not self._transport.is_closing():
            self._held = True
            self._transport.pause_reading()

    def release(self) -> None:
        """Read on."""
        if self._held:
            self._held = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def drop(self) -> None:
        """Let go of the asker and of the connection at once: what the replica still does is in vain."""
        self._asker = None
        self._transport.abort()

    def fail(self, error: Exception) -> None:
        """End the connection, and tell the asker why."""
        asker, self._asker = self._asker, None
        self._transport.abort()
        if asker is not None:
            asker.lost(error)

    def become_tunnel(self, tunnel: Asker) -> None:
        """From here on bytes have no meaning: all of them go to `tunnel`."""
        self._asker = tunnel
        self._body = EndlessBody()
        self._reusable = False

    @property
    def has_answer_begun(self) -> bool:
        """Whether any byte of the current answer has come."""
        return self._body is not None or self._heads.size > 0

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()

    # -- for the event loop ----------------------------------------------------------------------------------------

    def connection_made(self, transport: object) -> None:
        """Remember the transport."""
        self._transport = cast(Transport, transport)
        give_room(self._transport)
        self.outflow = Outflow(self._transport, self._keeper.limits.write_seconds)
        self._keeper.remember(self)

    def data_received(self, data: bytes) -> None:
        """Part of an answer; without an asker it is nobody's, and the connection cannot be trusted any more."""
        if self._asker is None:
            self._transport.abort()
            return
        try:
            last = self._last_head
            if self._body is not None:
                self._read_body(self._asker, self._body, data)
            elif last is not None and data.startswith(self._last_raw) and last.status >= 200 and not self._heads.size:
                self._begin_answer(self._asker, last, data[len(self._last_raw) :])  # as of most replicas
            else:
                self._read_heads(self._asker, data)
        except (BadAnswer, BadFraming) as error:
            self.fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of an answer without another end, or a loss."""
        asker, self._asker = self._asker, None
        self._keeper.forget(self)
        if asker is None:
            return
        if isinstance(self._body, EndlessBody) and exc is None:
            asker.answer_more(b"", True)
        else:
            asker.lost(exc)

    def pause_writing(self) -> None:
        """The replica does not keep up with the request body."""
        self.outflow.watch(self._keeper.now())
        if self._asker is not None:
            self._asker.hold_upload()

    def resume_writing(self) -> None:
        """The replica has caught up."""
        self.outflow.rest()
        if self._asker is not None:
            self._asker.release_upload()

    # -- reading ---------------------------------------------------------------------------------------------------

    def _read_heads(self, asker: Asker, data: bytes) -> None:
        """Read what begins with a head, and go on after interim ones: in a loop, however many a replica sends."""
        while data and self._asker is asker and self._body is None:
            data = self._read_head(asker, data)

    def _read_head(self, asker: Asker, data: bytes) -> bytes:
        """Take one head, and with a final one what came after it; returns what follows an interim one."""
        raw = self._heads.feed(data)
        if (self._heads.size if raw is None else len(raw)) > self._keeper.limits.head_bytes:
            raise BadAnswer(f"The head of the replica's answer is longer than {self._keeper.limits.head_bytes} bytes.")
        if raw is None:
            return b""
        count = self._keeper.limits.header_count
        head = self._last_head = self._keeper.plain.answer(raw, count) or parse_response(raw, count)
        self._last_raw = raw
        rest = self._heads.rest
        if head.status >= 200:
            self._begin_answer(asker, head, rest)
            return b""
        if head.status == 101:
            asker.switched(head, rest)
            return b""
        asker.interim(head)
        return rest

    def _begin_answer(self, asker: Asker, head: ResponseHead, rest: bytes) -> None:
        self._reusable = head.keep_alive
        if rest and len(rest) == head.content_length and has_answer_body(self._method, head.status):
            self._retire(asker, b"")  # all of it is here, as of most answers
            asker.answer(head, rest, True)
            return
        self._body = body = self._reader(head)
        piece = body.feed(rest) if rest else b""
        if body.done:
            self._retire(asker, body.rest)
        asker.answer(head, piece, body.done)

    def _reader(self, head: ResponseHead) -> BodyReader:
        if not has_answer_body(self._method, head.status):
            return LengthBody(0)
        if head.content_length is not None:
            return LengthBody(head.content_length)
        return ChunkedBody() if head.chunked else EndlessBody()

    def _read_body(self, asker: Asker, body: BodyReader, data: bytes) -> None:
        piece = body.feed(data)
        if body.done:
            self._retire(asker, body.rest)
        asker.answer_more(piece, body.done)

    def _retire(self, asker: Asker, rest: bytes) -> None:
        """The answer is complete: keep the connection where nothing is left on it, in either direction."""
        self._asker = None
        if self._held:
            self.release()
        clean = asker.request_done and not rest and not self._transport.get_write_buffer_size()
        if clean and self._reusable and not self._transport.is_closing():
            self._keeper.keep(self)
        else:
            self._transport.abort()
