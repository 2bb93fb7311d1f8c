"""Passing one request on to a replica, and its answer back.

    start -> choose -> [wait] -> Upstream -> [connect] -> ask -> answer ... complete
               ^                                |           |
               +------ try_elsewhere <----------+-----------+   only before the first byte of an answer

While nothing has to be waited for, all of it happens within the callbacks of the two connections: no task, no future.
"""

from __future__ import annotations

from asyncio import Future, Task
from math import inf
from time import monotonic

from flashcore.gateway.http.errors import BadAnswer, BadFraming, Outcome, OutcomeKind
from flashcore.gateway.http.exchange import Client, Dismissal
from flashcore.gateway.http.forward import NOTHING_ADDED, answer_start, passes_upgrade, request_block
from flashcore.gateway.http.framing import LAST_CHUNK, encode_chunk
from flashcore.gateway.http.head import RequestHead, ResponseHead
from flashcore.gateway.http.parse import has_answer_body
from flashcore.gateway.http.respond import error_response
from flashcore.gateway.http.route import Choice, Proxy, Unavailable, Upstream
from flashcore.gateway.http.shared import Shared
from flashcore.gateway.http.tunnel import Tunnel
from flashcore.gateway.http.upstream import UpstreamConnection
from flashcore.gateway.http.websocket import FrameEnds
from flashcore.wire.hop import HOP_HEADER, REFUSED

_NOTHING_TRIED: frozenset[str] = frozenset()
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE", b"QUERY"})
_AGAIN = frozenset({403, 421, 503})

_FAILURES = {
    OutcomeKind.CONNECT_FAILED: (502, "upstream_connect_failed", "No connection to the replica could be made."),
    OutcomeKind.LOST: (502, "upstream_lost", "The replica closed the connection before it answered."),
    OutcomeKind.INVALID: (502, "upstream_invalid", "The replica's answer is not HTTP/1.1."),
    OutcomeKind.UNAVAILABLE: (503, "upstream_unavailable", "The replica answered 503, and no other one was found."),
    OutcomeKind.DRAINING: (502, "upstream_draining", "The replica is going away; too much was sent to ask another."),
    OutcomeKind.MISMATCH: (502, "upstream_mismatch", "Another instance answered; too much was sent to ask again."),
    OutcomeKind.KEY_REFUSED: (
        502,
        "upstream_key_refused",
        "The replica began with another hop.key than this gateway. Run `flashcore rollout restart` for its endpoint.",
    ),
    OutcomeKind.TIMED_OUT: (504, "upstream_timed_out", "The replica did not answer in time."),
}
# After these nothing is known of why nobody else is there: the route's own words say more.
_SAYS_NOTHING = frozenset({OutcomeKind.DRAINING, OutcomeKind.MISMATCH})


class Relay:
    """The exchange of a request that a replica answers."""

    __slots__ = (
        "_answered",
        "_chosen_at",
        "_chunks",
        "_client",
        "_connection",
        "_failures",
        "_first_byte",
        "_gone",
        "_head",
        "_held",
        "_pending",
        "_proxy",
        "_replay",
        "_replay_size",
        "_shared",
        "_status",
        "_until_close",
        "_upstream",
        "request_done",
    )

    def __init__(self, client: Client, shared: Shared, head: RequestHead, proxy: Proxy) -> None:
        self._client = client
        self._shared = shared
        self._head = head
        self._proxy = proxy
        self._failures: tuple[tuple[str, OutcomeKind, str], ...] = ()
        self._upstream: Upstream | None = None
        self._connection: UpstreamConnection | None = None
        self._pending: Future[Choice] | Task[UpstreamConnection] | None = None
        self._replay: list[bytes] | None = []
        self._replay_size = 0
        self._status = 0
        self._chosen_at = 0.0
        self._first_byte = 0.0
        self._answered = False
        self._chunks = False
        self._until_close = False
        self._gone = False
        self._held = False
        self.request_done = not head.has_body

    # -- choosing --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Choose a replica, for the first time or again; mostly the request is sent within this call."""
        onward = self._shared.onward
        if onward is not None and not onward.has(self._proxy):
            self._proxy = onward.dispatch(self._head, self._client.peer)
        try:
            tried = frozenset(tried for tried, _, _ in self._failures) if self._failures else _NOTHING_TRIED
            choice = self._proxy.route.choose(tried)
            if isinstance(choice, Future):
                self._pending = choice
                choice.add_done_callback(self._chosen_later)
            else:
                self._chosen(choice)
        except Exception as error:  # noqa: BLE001 - the route is the layer above's: the client is told 500, the loop why
            self._client.crash(error)

    def start_with(self, pieces: list[bytes], *, complete: bool) -> None:
        """As `start`, with what has come of the body already."""
        for piece in pieces:
            self.receive(piece)
        self.request_done = complete
        self.start()

    def _chosen_later(self, future: Future[Choice]) -> None:
        self._pending = None
        if future.cancelled():
            if not self._gone:
                self._hold_ended()
            return
        error = future.exception()
        if error is None:
            self._chosen(future.result())
        elif not self._gone:
            self._client.crash(error)

    def _hold_ended(self) -> None:
        """Nobody is waited for here any more; where there is a next gateway the request waits there."""
        if self._shared.onward is not None:
            self.start()
        else:
            self._refuse(Unavailable("hold_cancelled", "The gateway stopped holding this request. Send it again."))

    def _chosen(self, choice: Choice) -> None:
        if isinstance(choice, Unavailable):
            self._refuse(choice)
            return
        self._upstream = choice
        self._chosen_at = monotonic()
        if self._gone:
            self._settle(OutcomeKind.CLIENT_GONE)
            return
        connection = self._shared.pool.take(choice.address)
        if connection is None:
            self._connect(choice)
        else:
            self._ask(choice, connection)

    def _refuse(self, unavailable: Unavailable) -> None:
        """Nobody is left to ask: what the last replica did, where that is the reason, else what the route says."""
        if self._gone:
            return
        if self._failures and self._failures[-1][1] not in _SAYS_NOTHING:
            self._answer_failure()
            return
        self._client.respond(
            error_response(
                unavailable.status, unavailable.code, unavailable.message, unavailable.headers, **unavailable.data
            )
        )

    # -- connecting ------------------------------------------------------------------------------------------------

    def _connect(self, upstream: Upstream) -> None:
        self._pending = task = self._shared.pool.connect(upstream.address)
        task.add_done_callback(self._connected)

    def _connected(self, task: Task[UpstreamConnection]) -> None:
        self._pending = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._failed(OutcomeKind.CONNECT_FAILED, _describe(error))
        elif self._upstream is None:
            self._shared.pool.keep(task.result())
        elif task.result().is_closed:
            self._failed(OutcomeKind.CONNECT_FAILED, "closed as soon as it was open")
        else:
            self._ask(self._upstream, task.result())

    def _ask(self, upstream: Upstream, connection: UpstreamConnection) -> None:
        head = self._head
        self._connection = connection
        data = request_block(head, self._proxy.target or head.target, self._client.peer_lines, upstream.request_headers)
        if head.has_body:
            data += self._begun_body()
            self._client.release_input()
        if self.request_done:
            self._await_answer()
        connection.ask(self, head.method, data)
        if self._held:
            connection.hold()  # the client is still to read what came of the replica before

    def _await_answer(self) -> None:
        """From here on it is the replica's time: how long a client takes over its body has limits of its own."""
        if self._proxy.answer_seconds != inf:
            self._client.answer_by(self._shared.loop.time() + self._proxy.answer_seconds)

    def _begun_body(self) -> bytes:
        """As much of the request body as has come, framed."""
        body = b"".join(self._replay or ())
        if self._replay_size > self._shared.limits.replay_bytes:
            self._replay = None
        if not self._head.chunked:
            return body
        framed = encode_chunk(body) if body else b""
        return framed + LAST_CHUNK if self.request_done else framed

    # -- the request body ------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """On to the replica, or kept until there is one."""
        connection = self._connection
        if self._replay is not None:
            self._replay.append(data)
            self._replay_size += len(data)
            if self._replay_size > self._shared.limits.replay_bytes:
                if connection is None:
                    self._client.hold_input()
                else:
                    self._replay = None
        if connection is not None:
            connection.write(encode_chunk(data) if self._head.chunked else data)

    def receive_end(self) -> None:
        """The replica is told, or will be."""
        self.request_done = True
        if self._connection is None:
            return
        if self._head.chunked:
            self._connection.write(LAST_CHUNK)
        if not self._answered:
            self._await_answer()

    def hold_upload(self) -> None:
        """The replica is slow: read less from the client."""
        self._client.hold_input()

    def release_upload(self) -> None:
        """The replica has room again."""
        self._client.release_input()

    # -- the answer ------------------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        """100 and 103 are passed on to those who can understand them."""
        if self._head.minor:
            self._client.write(answer_start(head, NOTHING_ADDED) + b"\r\n")

    def answer(self, head: ResponseHead, piece: bytes, done: bool) -> None:  # noqa: FBT001 - see Asker.answer
        """The answer's head and what came with it, in one write."""
        upstream = self._upstream
        if upstream is None:
            return
        self._status = head.status
        self._first_byte = monotonic() - self._chosen_at
        if head.status in _AGAIN and self._is_sent_elsewhere(head):
            return
        self._answered = True
        self._replay = None
        client = self._client
        if done:
            self._connection = None
        elif self._proxy.answer_seconds != inf:
            client.answer_by(inf)
        framing = b"" if head.tells_length else self._framing(head, piece, done)
        lines = (
            answer_start(head, upstream.answer_headers),
            upstream.answer_headers.block,
            framing,
            client.connection_line(),
            b"x-request-id: ",
            self._head.request_id,
            b"\r\n\r\n",
            encode_chunk(piece) if piece and self._chunks else piece,
        )
        client.write(b"".join(lines))
        if done:
            self._complete()

    def _framing(self, head: ResponseHead, piece: bytes, done: bool) -> bytes:  # noqa: FBT001 - see Asker.answer
        """How the client is told where a body ends whose length the replica has not told."""
        if not has_answer_body(self._head.method, head.status):
            return b""
        if done:
            return b"content-length: %d\r\n" % len(piece)
        if self._head.minor:
            self._chunks = True
            return b"transfer-encoding: chunked\r\n"
        self._client.close_after()
        self._until_close = True
        return b""

    def answer_more(self, piece: bytes, done: bool) -> None:  # noqa: FBT001 - see Asker.answer_more
        """More of the body."""
        if self._upstream is None:
            return
        if done:
            self._connection = None
        if self._chunks:
            piece = encode_chunk(piece) if piece else b""
            piece = piece + LAST_CHUNK if done else piece
        if piece:
            self._client.write(piece)
        if done:
            self._complete()

    def _complete(self) -> None:
        self._settle(OutcomeKind.ANSWERED)
        self._client.finish()

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        """The replica agreed to change protocols: the tunnel takes over."""
        connection, upstream = self._connection, self._upstream
        if connection is None or upstream is None:
            return
        if not passes_upgrade(self._head):
            connection.fail(BadAnswer("The replica changed protocols though nobody had asked it to."))
            return
        self._status = head.status
        self._first_byte = monotonic() - self._chosen_at
        protocol = head.get(b"upgrade") or self._head.upgrade
        frames = FrameEnds(rest) if protocol.lower() == b"websocket" else None
        tunnel = Tunnel(self._client, connection, self._settle, frames)
        connection.become_tunnel(tunnel)
        self._client.write(
            b"%b%bconnection: upgrade\r\nupgrade: %b\r\nx-request-id: %b\r\n\r\n%b"
            % (
                answer_start(head, upstream.answer_headers),
                upstream.answer_headers.block,
                protocol,
                self._head.request_id,
                rest,
            )
        )
        self._client.become_tunnel(tunnel)

    # -- when it does not work out ---------------------------------------------------------------------------------

    def _is_sent_elsewhere(self, head: ResponseHead) -> bool:
        if head.status == 403:
            if head.get(HOP_HEADER) != REFUSED:
                return False  # the application's own
            kind = OutcomeKind.KEY_REFUSED
        elif head.status == 421:
            kind = OutcomeKind.MISMATCH
        elif head.get(b"x-flashcore-draining") == b"1":
            kind = OutcomeKind.DRAINING
        elif self._replay is not None and self._proxy.route.has_another(self._tried()):
            kind = OutcomeKind.UNAVAILABLE
        else:
            return False
        self._drop_connection()
        self._failed(kind)
        return True

    def _tried(self) -> frozenset[str]:
        tried = [tried for tried, _, _ in self._failures]
        return frozenset(tried if self._upstream is None else [*tried, self._upstream.id])

    def lost(self, error: Exception | None) -> None:
        """The connection to the replica ended too early."""
        connection, self._connection = self._connection, None
        if connection is None or self._upstream is None:
            return
        if self._answered:
            self._truncate(_describe(error))
        elif isinstance(error, BadAnswer | BadFraming):
            self._failed_for_good(OutcomeKind.INVALID, str(error))
        elif isinstance(error, TimeoutError):
            self._failed_for_good(OutcomeKind.TIMED_OUT, str(error))
        elif connection.has_answer_begun or self._head.method not in _IDEMPOTENT:
            self._failed_for_good(OutcomeKind.LOST, _describe(error))
        elif connection.requests > 1 and self._replay is not None:
            # It was kept open and the replica closed it at the same time: no fault of the replica's (RFC 9112 9.3.1).
            self._connect(self._upstream)
        else:
            self._failed(OutcomeKind.LOST, _describe(error))

    def _truncate(self, detail: str) -> None:
        self._settle(OutcomeKind.TRUNCATED, detail)
        if self._until_close:
            self._client.reset()
        else:
            self._client.cut()

    def _failed(self, kind: OutcomeKind, detail: str = "") -> None:
        """This replica did not answer; another one may, as long as it can be sent the same request."""
        upstream = self._upstream
        if upstream is None:
            return
        self._note(upstream, kind, detail)
        if self._replay is None:
            self._answer_failure()
        else:
            self.start()

    def _failed_for_good(self, kind: OutcomeKind, detail: str) -> None:
        """This replica may have done what it was asked, or will not answer anyone: nobody else is asked."""
        if self._upstream is not None:
            self._note(self._upstream, kind, detail)
        self._answer_failure()

    def _note(self, upstream: Upstream, kind: OutcomeKind, detail: str) -> None:
        self._failures = (*self._failures, (upstream.id, kind, detail))
        self._settle(kind, detail)
        self._status = 0
        self._first_byte = 0.0
        if self._proxy.answer_seconds != inf:
            self._client.answer_by(inf)

    def _answer_failure(self) -> None:
        replica, kind, detail = self._failures[-1]
        status, code, message = _FAILURES[kind]
        tried = [tried for tried, _, _ in self._failures]
        self._client.respond(error_response(status, code, message, replica=replica, tried=tried, detail=detail))

    # -- from the client connection --------------------------------------------------------------------------------

    @property
    def is_ours(self) -> bool:
        """A replica answers."""
        return False

    def hold_output(self) -> None:
        """The client is slow: read less from the replica."""
        self._held = True
        if self._connection is not None:
            self._connection.hold()

    def release_output(self) -> None:
        """The client has room again."""
        self._held = False
        if self._connection is not None:
            self._connection.release()

    def expire(self) -> None:
        """The replica took too long to begin its answer."""
        self._drop_connection()
        self._failed_for_good(OutcomeKind.TIMED_OUT, f"no answer within {self._proxy.answer_seconds:g} s")

    def end_input(self) -> bool:
        """A client that closes its side is one that left: the two look the same."""
        return False

    def leave(self) -> bool:
        """It ends with its answer."""
        return True

    def dismiss(self, why: Dismissal) -> bool:  # noqa: ARG002 - within an answer there is no room for it
        """An answer whose end is the connection's must not look whole; any other one is the connection's to end."""
        if not (self._answered and self._until_close):
            return False
        self.abandon()
        self._client.reset()
        return True

    def retire(self) -> None:
        """It goes on; whoever chooses a replica from here on is sent onward."""

    def abandon(self) -> None:
        """Stop what is under way: the wait for a replica, the connecting, or the request itself."""
        self._gone = True
        if self._pending is not None:
            self._pending.cancel()
        self._drop_connection()
        self._settle(OutcomeKind.CLIENT_GONE)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop()

    def _settle(self, kind: OutcomeKind, detail: str = "") -> None:
        """The only place where a lease ends."""
        upstream, self._upstream = self._upstream, None
        if upstream is None:
            return
        try:
            upstream.release()
            self._proxy.route.on_outcome(
                upstream,
                Outcome(kind, self._status, self._first_byte, detail),
                monotonic() - self._chosen_at,
            )
        except Exception as error:  # noqa: BLE001 - the route is the layer above's, and the client has its answer
            self._shared.report("a route failed to hear of an outcome", error)


def _describe(error: BaseException | None) -> str:
    return "" if error is None else f"{type(error).__name__}: {error}"
