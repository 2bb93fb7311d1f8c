"""One client connection: reads requests one after another, hands each to an exchange, ends properly.

A client that closes its side while it is owed an answer counts as gone, as with nginx and Go: on the wire, half-closing
and leaving look the same, and an inference that nobody reads costs more than a client that cannot say so.
"""

from __future__ import annotations

import socket
import struct
from asyncio import Protocol as StreamProtocol
from asyncio import Transport
from math import inf
from typing import cast

from flashcore.gateway.http.errors import BadFraming, BadRequest, accident
from flashcore.gateway.http.exchange import Dismissal, Exchange
from flashcore.gateway.http.forward import UNKNOWN, PeerLines, status_line
from flashcore.gateway.http.framing import BodyReader, ChunkedBody, EndlessBody, LengthBody
from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http.headreader import END, HeadReader
from flashcore.gateway.http.local import LocalExchange
from flashcore.gateway.http.outflow import Outflow
from flashcore.gateway.http.pace import BodyPace
from flashcore.gateway.http.parse import parse_request
from flashcore.gateway.http.peeking import PeekingExchange
from flashcore.gateway.http.recurring import RecurringHead
from flashcore.gateway.http.relay import Relay
from flashcore.gateway.http.respond import Response, Watcher, has_no_content, own_lines, refusal_response
from flashcore.gateway.http.route import Local, Proxy, Switch
from flashcore.gateway.http.shared import Shared

_REMEMBERED = 4096
"""Bytes of a head that is kept for the case that it comes again."""

_FORGOTTEN_AFTER = 2.0
"""Seconds of idling after which it is not expected any more: ten thousand idle connections hold nothing."""

_NO_LINGER = struct.pack("ii", 1, 0)


class ClientConnection(StreamProtocol):
    """The server's end of one connection."""

    __slots__ = (
        "_ahead",
        "_answer_deadline",
        "_answer_started",
        "_body",
        "_ended",
        "_exchange",
        "_fresh",
        "_head",
        "_heads",
        "_last",
        "_outflow",
        "_output_held",
        "_pace",
        "_paused",
        "_persists",
        "_read_deadline",
        "_reading",
        "_shared",
        "_transport",
        "_watcher",
        "peer",
        "peer_lines",
    )

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._heads = HeadReader()
        self._head: RequestHead | None = None
        self._last: RecurringHead | None = None
        self._exchange: Exchange | None = None
        self._body: BodyReader | None = None
        self._pace: BodyPace | None = None
        self._ahead = bytearray()
        self._persists = True
        self._fresh = True
        self._answer_started = False
        self._ended = False
        self._reading = False
        self._paused = False
        self._output_held = False
        self._read_deadline = inf
        self._answer_deadline = inf
        self._watcher: Watcher | None = None

    # -- for the event loop ----------------------------------------------------------------------------------------

    def connection_made(self, transport: object) -> None:
        """Learn who the client is."""
        shared = self._shared
        self._transport = cast(Transport, transport)
        peername = self._transport.get_extra_info("peername")
        self.peer = peername[0] if isinstance(peername, tuple) else ""
        scheme = b"http" if self._transport.get_extra_info("sslcontext") is None else b"https"
        self.peer_lines = PeerLines(
            self.peer.encode() or UNKNOWN, trusted=self.peer in shared.trusted_peers, scheme=scheme
        )
        self._outflow = Outflow(self._transport, shared.limits.write_seconds, shared.limits.body_rate)
        shared.connections.add(self)
        self._read_deadline = shared.loop.time() + shared.limits.idle_seconds
        if shared.closing:
            self.shut()

    def data_received(self, data: bytes) -> None:
        """Serve what can be served, keep the rest for later.

        `finish` may be called from within: it leaves it to this loop to go on with what is left.
        """
        self._reading = True
        try:
            while data and not self._ended:
                if self._body is not None and self._exchange is not None:
                    data = self._read_body(self._body, self._exchange, data)
                elif self._exchange is None and not self._output_held:
                    data = self._read_head(data)
                else:
                    self._queue(data)
                    break
        except (BadRequest, BadFraming) as error:
            self._refuse(error)
        except Exception as error:  # noqa: BLE001 - the dispatcher is the layer above's: 500, and the loop hears why
            self.crash(error)
        finally:
            self._reading = False

    def eof_received(self) -> bool:
        """The client will send nothing more: it is gone, but for a tunnel."""
        exchange = self._exchange
        if exchange is not None and exchange.end_input():
            return True
        self._depart()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason changes nothing
        """Let go of everything."""
        self._depart()
        shared = self._shared
        shared.connections.discard(self)
        if shared.closing:
            shared.departed.set()

    def pause_writing(self) -> None:
        """The client reads slower than it is written to."""
        self._output_held = True
        self._outflow.watch(self._shared.loop.time())
        if self._exchange is not None:
            self._exchange.hold_output()

    def resume_writing(self) -> None:
        """The client has room again; requests that waited for that are served."""
        self._output_held = False
        self._outflow.rest()
        if self._exchange is not None:
            self._exchange.release_output()
        else:
            self._read_ahead()

    # -- for the server --------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """End what has taken too long."""
        if self._outflow.is_stuck(now):
            if not self._ended:
                self._shared.count_refusal("nothing_read")
            self._transport.abort()
        elif now >= self._read_deadline:
            self._expire_reading()
        elif self._pace is not None and self._pace.is_too_slow(now):
            self._give_up_on_body()
        elif now >= self._answer_deadline and self._exchange is not None:
            self._answer_deadline = inf
            self._exchange.expire()
        elif self._last is not None and self._exchange is None:
            idle_since = self._read_deadline - self._shared.limits.idle_seconds
            if now - idle_since > _FORGOTTEN_AFTER:
                self._last = None

    def shut(self) -> None:
        """Close now if nothing is under way; else with the end of the current answer.

        A client that has just connected is about to ask: it is given the time that a refused one has to read why.
        """
        self._persists = False
        if self._fresh:
            self._read_deadline = self._shared.loop.time() + self._shared.limits.linger_seconds
        elif self._exchange is None and not self._heads.size and not self._ahead:
            self._close()
        else:
            self.shut_tunnel()

    def retire(self, until: float) -> None:
        """Another gateway is in this one's place. What a replica is at goes on; who asks nothing has until `until`."""
        exchange = self._exchange
        if exchange is None:
            if not self._heads.size and not self._ahead:
                self._read_deadline = min(self._read_deadline, until)
        else:
            exchange.retire()

    def shut_tunnel(self) -> None:
        """Begin nothing more on what outlives its request; a tunnel is closed now: nobody can say when it would end."""
        if self._exchange is not None and not self._exchange.leave():
            self._abandon()
            self.cut()

    def give_up(self) -> None:
        """The time is over for what is under way: an answer that has not begun will not come, and is said not to."""
        if self._exchange is not None and not self._answer_started:
            self._refuse(BadRequest(504, "gateway_stopping", "The gateway stops, and no answer came in time."))
        else:
            self._transport.abort()

    def dismiss(self, why: Dismissal) -> None:
        """End what is under way, in the way that its protocol has for it: who asked may not go on."""
        exchange = self._exchange
        if exchange is None or exchange.dismiss(why):
            return
        self._exchange = None
        exchange.abandon()
        if self._answer_started:
            self.cut()
        else:
            self._persists = False
            self.respond(why.answer)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._exchange is not None

    @property
    def is_idle(self) -> bool:
        """Whether it has been served, and may be used again."""
        return self._exchange is None and not (self._fresh or self._ended)

    @property
    def awaits_gateway(self) -> bool:
        """Whether the gateway itself owes something to the client."""
        return self._exchange is not None and self._exchange.is_ours

    @property
    def asked(self) -> RequestHead | None:
        """The request that is being answered."""
        return self._head if self._exchange is not None else None

    # -- reading ---------------------------------------------------------------------------------------------------

    def _read_head(self, data: bytes) -> bytes:
        """Begin the next request once its head is complete; returns what comes after it."""
        heads, limits = self._heads, self._shared.limits
        if not heads.size:
            if 0 <= data.find(END) == len(data) - 4 and data[0] > 0x20 and len(data) <= limits.head_bytes:
                self._begin(self._parse(data))  # a head and nothing else, as most of what clients send
                return b""
            data = data.lstrip(b"\r\n")  # RFC 9112 2.2: blank lines before a request are passed over
            if not data:
                return data
        raw = heads.feed(data)
        if (heads.size if raw is None else len(raw)) > limits.head_bytes:
            raise BadRequest(431, "head_too_large", f"The request's head is longer than {limits.head_bytes} bytes.")
        if raw is None:
            if heads.size == len(data):
                self._read_deadline = self._shared.loop.time() + limits.head_seconds
            return b""
        # _begin may use up what follows through finish(): it is taken out first.
        rest, heads.rest = heads.rest, b""
        self._begin(self._parse(raw))
        return rest

    def _parse(self, raw: bytes) -> RequestHead:
        """The head, by what it has in common with the connection's last one where it can be."""
        shared, last = self._shared, self._last
        if last is not None:
            head = last.again(raw, shared.new_id)
            if head is not None:
                return head
        count = shared.limits.header_count
        plain = shared.plain.request(raw, count, shared.new_id)
        head = plain or parse_request(raw, count, shared.new_id)
        self._last = RecurringHead(raw, head, plain=plain is not None) if len(raw) <= _REMEMBERED else None
        return head

    def _begin(self, head: RequestHead) -> None:
        shared = self._shared
        self._head = head
        self._fresh = False
        self._answer_started = False
        self._persists = head.keep_alive and not shared.closing
        if head.has_body:
            self._body = ChunkedBody() if head.content_length is None else LengthBody(head.content_length)
            self._read_deadline = shared.loop.time() + shared.limits.body_seconds
        else:
            self._read_deadline = inf
        verdict = shared.dispatcher.dispatch(head, self.peer)
        if isinstance(verdict, Switch):
            self._switch(verdict, head)
            return
        exchange: Exchange
        if isinstance(verdict, Proxy):
            exchange = Relay(self, shared, head, verdict)
        elif isinstance(verdict, Local):
            exchange = LocalExchange(self, shared, head, verdict)
        else:
            exchange = PeekingExchange(self, shared, head, verdict)
        self._exchange = exchange
        exchange.start()

    def _switch(self, verdict: Switch, head: RequestHead) -> None:
        self.write(
            b"%bconnection: upgrade\r\nupgrade: %b\r\nx-request-id: %b\r\n\r\n"
            % (status_line(101), verdict.protocol, head.request_id)
        )
        exchange = verdict.begin(self)
        self.become_tunnel(exchange)
        exchange.start()
        if self._shared.closing:
            self.shut_tunnel()

    def _read_body(self, body: BodyReader, exchange: Exchange, data: bytes) -> bytes:
        piece = body.feed(data)
        if not body.done:
            self._keep_pace(len(piece))
        if piece:
            exchange.receive(piece)
        if not body.done:
            if not self._paused and not isinstance(body, EndlessBody):
                self._read_deadline = self._shared.loop.time() + self._shared.limits.body_seconds
            return b""
        self._body = self._pace = None
        self._read_deadline = inf
        if self._exchange is not None:  # `receive` may have handed over to another, or ended it
            self._exchange.receive_end()
        return body.rest

    def _keep_pace(self, size: int) -> None:
        """Count what came of a body that is not complete; what comes beside an answer may take its time."""
        limits = self._shared.limits
        if self._pace is None:
            if self._answer_started or not limits.body_rate:
                return
            least = limits.body_rate * limits.pace_seconds
            self._pace = BodyPace(least, limits.pace_seconds, self._shared.loop.time())
        self._pace.came(size)

    def _queue(self, data: bytes) -> None:
        """Keep what came ahead of its turn, up to a limit."""
        self._ahead += data
        if len(self._ahead) > self._shared.limits.pipelined_bytes:
            self._pause()

    def _read_ahead(self) -> None:
        if self._reading or self._ended:
            return
        ahead, self._ahead = bytes(self._ahead), bytearray()
        self._resume()
        if ahead:
            self.data_received(ahead)

    def _pause(self) -> None:
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # -- for the exchange ------------------------------------------------------------------------------------------

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` how the connection ends, in place of whoever was to be told before."""
        previous, self._watcher = self._watcher, watcher
        if previous is not None and previous is not watcher:
            previous.released(self)

    def write(self, data: bytes) -> None:
        """Send bytes of the answer; those of an exchange that was given up go nowhere."""
        if not self._ended and not self._transport.is_closing():
            self._transport.write(data)

    def close_after(self) -> None:
        """This answer is the connection's last."""
        self._persists = False

    def connection_line(self) -> bytes:
        """The Connection header of the answer; from here on nothing can be refused."""
        self._answer_started = True
        self._pace = None
        self._persists = self._persists and self._body is None and not self._shared.closing
        if not self._persists:
            return b"connection: close\r\n"
        return b"" if self._head is None or self._head.minor else b"connection: keep-alive\r\n"

    def respond(self, response: Response) -> None:
        """Send a whole answer and finish."""
        head, body = self._head, response.body
        if not isinstance(body, bytes):
            raise TypeError("only an answer with a body of bytes is sent at once")
        own = own_lines(response)
        no_content = has_no_content(response.status)
        framing = b"" if no_content else b"content-length: %d\r\n" % len(body)
        request_id = b"" if head is None else b"x-request-id: %b\r\n" % head.request_id
        data = b"".join((own, framing, self._shared.date_line, request_id, self.connection_line(), b"\r\n"))
        is_bodiless = no_content or (head is not None and head.method == b"HEAD")
        self.write(data if is_bodiless else data + body)
        self.finish()

    def finish(self) -> None:
        """The answer is complete: the next request, or the end."""
        if self._ended:
            return
        shared = self._shared
        self._exchange = None
        self._head = None
        self._answer_deadline = inf
        if shared.closing:
            shared.departed.set()
        if not self._persists:
            self._close()
            return
        self._read_deadline = shared.loop.time() + shared.idle_seconds
        if self._ahead or self._paused:
            self._read_ahead()

    def cut(self) -> None:
        """End the connection after what was written, without the answer's proper end."""
        self._exchange = None
        self._ended = True
        self._outflow.watch(self._shared.loop.time())
        self._transport.close()

    def part(self) -> None:
        """End the connection after what was written, and read on a little, so that the client sees that."""
        self._close()

    def turn_out(self, reason: str) -> None:
        """End the connection for what the client does, and count that."""
        self._shared.count_refusal(reason)
        self.cut()

    def reset(self) -> None:
        """End the connection so that the client cannot take it for the answer's end."""
        self._exchange = None
        self._ended = True
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()

    def crash(self, error: BaseException) -> None:
        """Report what failed above or within the engine, and say so, or cut what had begun."""
        self._shared.report("a request failed", error)
        self._refuse(accident(error))

    def answer_by(self, time: float) -> None:
        """Call `Exchange.expire` once the loop's clock passes `time`."""
        self._answer_deadline = time

    def hold_input(self) -> None:
        """Read no further from the client, which then has no deadline to keep."""
        self._pause()
        self._read_deadline = inf
        if self._pace is not None:
            self._pace.hold(self._shared.loop.time())

    def release_input(self) -> None:
        """Read on."""
        if self._paused:
            self._resume()
            if self._body is not None and not isinstance(self._body, EndlessBody):
                self._read_deadline = self._shared.loop.time() + self._shared.limits.body_seconds
            if self._pace is not None:
                self._pace.release(self._shared.loop.time())

    def hand_over(self, exchange: Exchange) -> None:
        """The request goes on as `exchange`; no time is set for it."""
        self._answer_deadline = inf
        self._exchange = exchange

    def become_tunnel(self, tunnel: Exchange) -> None:
        """From here on bytes have no meaning: all of them go to `tunnel`."""
        self._answer_started = True
        self._pace = None
        self._persists = False
        self._exchange = tunnel
        self._body = EndlessBody()
        self._read_deadline = self._answer_deadline = inf
        self._read_ahead()

    # -- ending ----------------------------------------------------------------------------------------------------

    def _depart(self) -> None:
        """It is over; where we had not ended it before, the client has."""
        watcher, self._watcher = self._watcher, None
        ended_by_us = self._ended
        self._abandon()
        if watcher is None:
            return
        if ended_by_us:
            watcher.released(self)
        else:
            watcher.left(self)

    def _abandon(self) -> None:
        self._ended = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()

    def _refuse(self, error: BadRequest | BadFraming) -> None:
        """Answer with an error and end the connection; where an answer had begun, cut it."""
        if self._ended:
            return
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
        if self._answer_started and exchange is not None:
            self.cut()
            return
        self._persists = False
        refused = error if isinstance(error, BadRequest) else BadRequest(400, error.code, error.message)
        self._shared.count_refusal(refused.reason)
        self.respond(refusal_response(refused))

    def _expire_reading(self) -> None:
        """The client did not send in time what it had begun, or anything at all."""
        if self._ended:
            # What is still on its way out has a watch of its own.
            if not self._transport.get_write_buffer_size():
                self._transport.abort()
        elif self._exchange is None and not self._heads.size:
            if self._watcher is not None and self._watcher.is_awaiting:
                self._read_deadline = self._shared.loop.time() + self._shared.limits.idle_seconds
            else:
                self._close()
        else:
            self._refuse(BadRequest(408, "request_timeout", "The rest of the request did not come in time."))

    def _give_up_on_body(self) -> None:
        limits = self._shared.limits
        self._pace = None
        rate = f"{limits.body_rate:g} bytes a second over {limits.pace_seconds:g} s"
        self._refuse(BadRequest(408, "body_too_slow", f"The request's body came more slowly than {rate}."))

    def _close(self) -> None:
        """End the connection; where the client may still be sending, read on a little so that it sees the answer.

        A socket that is closed with bytes unread resets the connection, and with it the answer on its way.
        """
        self._ended = True
        self._exchange = None
        nothing_unread = self._body is None and not self._ahead and not self._heads.size
        if self._transport.is_closing():
            return
        self._outflow.watch(self._shared.loop.time())
        if (nothing_unread and not self._reading) or not self._transport.can_write_eof():
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:  # the client reset the connection a moment ago, and the loop has yet to say so
            self._transport.abort()
            return
        self._resume()
        self._read_deadline = self._shared.loop.time() + self._shared.limits.linger_seconds
