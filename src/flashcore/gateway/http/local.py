"""A request that the gateway answers itself."""

from __future__ import annotations

from asyncio import Event, Task
from collections.abc import AsyncIterator, Awaitable, Coroutine

from flashcore.gateway.http.errors import BadRequest
from flashcore.gateway.http.exchange import Client, Dismissal
from flashcore.gateway.http.framing import LAST_CHUNK, encode_chunk
from flashcore.gateway.http.head import RequestHead, without_expectation
from flashcore.gateway.http.onward import Onward
from flashcore.gateway.http.relay import Relay
from flashcore.gateway.http.respond import CONTINUE, Later, Request, Response, has_no_content, own_lines
from flashcore.gateway.http.route import Local
from flashcore.gateway.http.shared import Shared
from flashcore.wire.spill import SPILLED_FROM, Spill

_READ_ANYWAY = 65_536
"""Bytes of a body that nobody asks for: so much is read, for the connection to go on."""


class LocalExchange:
    """Collects the body, calls the handler, writes its answer. A handler that has to wait runs as a task."""

    __slots__ = (
        "_client",
        "_handler",
        "_head",
        "_is_begun",
        "_is_unread",
        "_limit",
        "_pending",
        "_pieces",
        "_shared",
        "_size",
        "_spill",
        "_writable",
    )

    def __init__(self, client: Client, shared: Shared, head: RequestHead, verdict: Local) -> None:
        self._client = client
        self._shared = shared
        self._head = head
        self._handler = verdict.handler
        self._limit = shared.limits.local_body_bytes if verdict.body_bytes is None else verdict.body_bytes
        self._is_begun = self._is_unread = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._spill: Spill | None = None
        self._pending: Task[None] | Later | None = None
        self._writable: Event | None = None

    # -- from the client connection --------------------------------------------------------------------------------

    @property
    def is_ours(self) -> bool:
        """The handler is at work; what follows the start of its answer needs nothing but time."""
        return self._pending is not None and not self._is_begun

    def start(self) -> None:
        """Call the handler, or wait for the body. Raises `BadRequest` where that will be too long."""
        head = self._head
        if not self._limit and head.has_body:
            self._pass_over(head)
            return
        if head.content_length is not None:
            self._check_size(head.content_length)
        if not head.has_body:
            self._handle()
        elif head.expects_continue:
            self._client.write(CONTINUE)

    def _pass_over(self, head: RequestHead) -> None:
        """Answer, after a short body or in place of a longer one: the connection ends then."""
        length = head.content_length
        if length is None or length > _READ_ANYWAY or head.expects_continue:
            self._is_unread = True
            self._handle()
        else:
            self._limit = length

    def receive(self, data: bytes) -> None:
        """Keep a piece, in a file where there are many. Raises `BadRequest` for too many, and for a full disk."""
        if self._is_unread:
            return
        self._size += len(data)
        self._check_size(self._size)
        self._pieces.append(data)
        if self._spill is not None or self._size > SPILLED_FROM:
            self._write_pieces()

    def receive_end(self) -> None:
        """The handler can be called, or whoever is in its place by now."""
        if self._is_unread:
            return
        onward = self._shared.onward
        if onward is None:
            self._handle()
        else:
            self._hand_on(onward)

    def hold_output(self) -> None:
        """Take no more pieces from the handler's iterator."""
        self._writable = Event()

    def release_output(self) -> None:
        """Go on."""
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def expire(self) -> None:
        """No time was set."""

    def end_input(self) -> bool:
        """A client that closes its side is one that left: the two look the same."""
        return False

    def leave(self) -> bool:
        """It ends with its answer."""
        return True

    def dismiss(self, why: Dismissal) -> bool:  # noqa: ARG002 - it is said in place of the answer
        """It has no way of its own."""
        return False

    def retire(self) -> None:
        """A handler that is at work gives its answer; what comes of a body until then goes onward."""

    def abandon(self) -> None:
        """Cancel the handler, what it awaits hears of it; drop what has come of the body."""
        if self._spill is not None:
            self._spill.close()
            self._spill = None
        if self._pending is not None:
            self._pending.cancel()

    def _write_pieces(self) -> None:
        pieces, self._pieces = self._pieces, []
        try:
            if self._spill is None:
                self._spill = Spill(self._shared.folder)
            self._spill.append(b"".join(pieces))
        except OSError as error:
            raise _no_room(error) from error

    def _whole_body(self) -> bytes | memoryview:
        """Everything that came; raises `BadRequest` where it cannot be read again."""
        if self._spill is None:
            return b"".join(self._pieces)
        try:
            return self._spill.view()
        except OSError as error:
            raise _no_room(error) from error

    def _check_size(self, size: int) -> None:
        limit = self._limit
        if size > limit:
            # Of what comes in chunks nobody knows the end.
            said = f"{size} bytes" if size == self._head.content_length else f"more than {limit} bytes"
            raise BadRequest(413, "body_too_large", f"the body has {said}, {limit} are allowed", size=size, limit=limit)

    def _hand_on(self, onward: Onward) -> None:
        """All of it came, and another gateway is to answer."""
        client, head = self._client, self._head
        if head.expects_continue:
            head = without_expectation(head)
        relay = Relay(client, self._shared, head, onward.dispatch(head, client.peer))
        client.hand_over(relay)
        body = bytes(self._whole_body())
        self._pieces, self._spill = [], None
        relay.start_with([body], complete=True)

    # -- the handler -----------------------------------------------------------------------------------------------

    def _handle(self) -> None:
        body = self._whole_body()
        self._pieces, self._spill = [], None
        try:
            client = self._client
            answer = self._handler(Request(self._head, body, client.peer, client.peer_lines.base, client))
            if isinstance(answer, Response) and isinstance(answer.body, bytes):
                self._client.respond(answer)
                return
        except Exception as error:  # noqa: BLE001 - the handler is the layer above's: 500, and the loop hears why
            self._client.crash(error)
            return
        if isinstance(answer, Later):
            self._pending = answer
            answer.tell(self._answered)
        else:
            self._begin_task(answer)

    def _answered(self, answer: Response | Exception) -> None:
        try:
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer.body, bytes):
                self._client.respond(answer)
            else:
                self._begin_task(answer)
        except Exception as error:  # noqa: BLE001 - as in _handle
            self._client.crash(error)

    def _begin_task(self, answer: Response | Awaitable[Response]) -> None:
        self._pending = task = self._shared.loop.create_task(self._run(answer))
        self._shared.tasks.add(task)
        task.add_done_callback(self._shared.tasks.discard)
        if isinstance(answer, Coroutine):  # where the task is cancelled before it begins, nobody ever awaits it
            task.add_done_callback(lambda _: answer.close())

    async def _run(self, answer: Response | Awaitable[Response]) -> None:
        try:
            response = answer if isinstance(answer, Response) else await answer
            if isinstance(response.body, bytes):
                self._client.respond(response)
            else:
                await self._stream(response, response.body)
        except Exception as error:  # noqa: BLE001 - as in _handle
            self._client.crash(error)

    async def _stream(self, response: Response, body: AsyncIterator[bytes]) -> None:
        try:
            if self._begin(response):
                await self._pass_on(body, chunked=response.length is None and self._head.minor > 0)
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()
        self._client.finish()

    def _begin(self, response: Response) -> bool:
        """Write the head; whether the pieces are to follow."""
        own = own_lines(response)
        head = self._head
        has_body = head.method != b"HEAD" and not has_no_content(response.status)
        framing = b""
        if response.length is not None:
            framing = b"content-length: %d\r\n" % response.length
        elif head.minor and not has_no_content(response.status):
            framing = b"transfer-encoding: chunked\r\n"
        elif has_body:
            self._client.close_after()
        self._is_begun = True
        request_id = b"x-request-id: %b\r\n\r\n" % head.request_id
        self._client.write(b"".join((own, framing, self._shared.date_line, self._client.connection_line(), request_id)))
        return has_body

    async def _pass_on(self, body: AsyncIterator[bytes], *, chunked: bool) -> None:
        async for piece in body:
            if piece:
                self._client.write(encode_chunk(piece) if chunked else piece)
            if self._writable is not None:
                await self._writable.wait()
        if chunked:
            self._client.write(LAST_CHUNK)


def _no_room(error: OSError) -> BadRequest:
    return BadRequest(503, "no_room", f"The gateway has no room for the body: {error.strerror or error}.")
