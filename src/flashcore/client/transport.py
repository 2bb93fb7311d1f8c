"""How requests reach a gateway, and jobs: those over a link where the gateway has links, all else over HTTP/1.1.

HTTP is spoken with the standard library: connections are kept, per thread for blocking calls, per loop for awaited
ones.

A request that is not repeatable is sent once: when the connection breaks after a byte of it may have left, the caller
is told, because nobody here can know if it was carried out. Connecting is tried again for a moment, since a gateway
that restarts refuses connections until it listens.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar, overload
from weakref import WeakKeyDictionary, finalize

from flashcore.client.address import Address, parse_url
from flashcore.client.bulk import receive_body, send_pieces
from flashcore.client.exchange import Request, Response, Submission, Told, is_ours
from flashcore.client.link import Line, fits
from flashcore.model.errors import DeadlineExceeded, Unavailable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, BaseProtocol, BaseTransport
    from http.client import HTTPConnection, HTTPResponse

    from flashcore.client.blocking_links import BlockingLinks
    from flashcore.client.idle import LoopConnections
    from flashcore.client.loop_links import LoopLinks

P = TypeVar("P", bound="BaseProtocol")

CONNECT_PAUSES = (0.05, 0.15, 0.4)
"""Seconds between attempts to connect."""


class Kept:
    """An idle connection. Closed when its thread ends, as whatever a thread has of its own goes then."""

    def __init__(self, address: Address, connection: HTTPConnection) -> None:
        self._address = address
        self._pid = os.getpid()
        self._connection: HTTPConnection | None = connection
        # Not by __del__: collected with all that leads to it, the socket would go first and complain.
        self._closing = finalize(self, connection.close)

    def take(self, address: Address) -> HTTPConnection | None:
        """The connection, if it leads to that address and is still good."""
        # A forked child shares the parent's sockets: what one sends, the other's answers would be mixed with.
        if (address, os.getpid()) != (self._address, self._pid) or _readable(self._connection):
            return None
        connection, self._connection = self._connection, None
        self._closing.detach()
        return connection


class _OfLoop(NamedTuple):
    """What belongs to one event loop."""

    plain: LoopConnections
    links: LoopLinks


def _nobody() -> str:
    return ""


class Transport:
    """Sends requests to gateways."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._lock = threading.Lock()
        self._of_loops: WeakKeyDictionary[AbstractEventLoop, _OfLoop] = WeakKeyDictionary()
        self._links: BlockingLinks | None = None
        self._parsed: tuple[str, Address] | None = None

    @overload
    def send(self, url: str, step: Request, authorization: Callable[[], str] = ...) -> Response: ...

    @overload
    def send(self, url: str, step: Request | Submission, authorization: Callable[[], str] = ...) -> Response | Told: ...

    def send(self, url: str, step: Request | Submission, authorization: Callable[[], str] = _nobody) -> Response | Told:
        """Blocking. Raises Unavailable or DeadlineExceeded; `timeout` holds for each wait on the socket."""
        address = self._address(url)
        if isinstance(step, Submission):
            token = authorization()
            if fits(step) and (told := self._blocking_links().exchange(Line(address, token), step)) is not None:
                return told
            step = step.request(token)
        kept = self._take(address)
        if kept is not None:
            try:
                return self._exchange(address, kept, step)
            except Unavailable:
                if not step.repeatable:
                    raise
        return self._exchange(address, connect(address, step.timeout), step)

    @overload
    async def send_async(self, url: str, step: Request, authorization: Callable[[], str] = ...) -> Response: ...

    @overload
    async def send_async(
        self, url: str, step: Request | Submission, authorization: Callable[[], str] = ...
    ) -> Response | Told: ...

    async def send_async(
        self, url: str, step: Request | Submission, authorization: Callable[[], str] = _nobody
    ) -> Response | Told:
        """Awaited. Raises Unavailable or DeadlineExceeded; `timeout` holds for the whole exchange."""
        import asyncio

        loop = asyncio.get_running_loop()
        own = self._of_loops.get(loop) or self._begin(loop)
        address = self._address(url)
        if isinstance(step, Submission):
            token = authorization()
            if fits(step) and (told := await own.links.exchange(Line(address, token), step)) is not None:
                return told
            step = step.request(token)
        return await own.plain.exchange(address, step)

    def _begin(self, loop: AbstractEventLoop) -> _OfLoop:
        from flashcore.client.idle import LoopConnections
        from flashcore.client.loop_links import LoopLinks

        own = _OfLoop(LoopConnections(), LoopLinks())
        with self._lock:
            # What a loop has leads to it. One that was not let end properly, as `asyncio.run` does, goes with the next.
            for ended in [known for known in self._of_loops if known.is_closed()]:
                del self._of_loops[ended]
            return self._of_loops.setdefault(loop, own)

    def _blocking_links(self) -> BlockingLinks:
        if self._links is None:
            from flashcore.client.blocking_links import BlockingLinks

            with self._lock:
                self._links = self._links or BlockingLinks()
        return self._links

    def _address(self, url: str) -> Address:
        """The URL taken apart; the last one's parts are remembered."""
        parsed = self._parsed
        if parsed is None or parsed[0] != url:
            parsed = self._parsed = url, parse_url(url)
        return parsed[1]

    def _take(self, address: Address) -> HTTPConnection | None:
        """This thread's idle connection to the address, if it is still good."""
        kept: Kept | None = getattr(self._own, "kept", None)
        self._own.kept = None
        return None if kept is None else kept.take(address)

    def _exchange(self, address: Address, connection: HTTPConnection, request: Request) -> Response:
        from http.client import HTTPException

        try:
            connection.sock.settimeout(request.timeout)
            connection.putrequest(request.method, address.prefix + request.target)
            for name, value in {**request.headers, **request.framing}.items():
                connection.putheader(name, value)
            connection.endheaders()
            send_pieces(connection, request.pieces, request.timeout)
            answer = connection.getresponse()
            response = _response(connection, answer, request.timeout)
        except TimeoutError as error:
            connection.close()
            raise too_slow(address, request) from error
        except (HTTPException, OSError, EOFError) as error:
            connection.close()
            raise broken(address, request, error) from error
        except BaseException:  # interrupted half-way: the connection is of no use to the next call
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._own.kept = Kept(address, connection)
        return response


def _response(connection: HTTPConnection, answer: HTTPResponse, timeout: float) -> Response:
    """The answer, read to its end."""
    headers = {name.lower(): value for name, value in answer.getheaders()}
    if answer.length and is_ours(headers):
        return Response(answer.status, headers, b"", receive_body(connection, answer, timeout))
    return Response(answer.status, headers, answer.read())


def too_slow(address: Address, request: Request) -> DeadlineExceeded:
    """The error for a gateway that did not answer in time."""
    return DeadlineExceeded(f"{address} did not answer {request.method} {request.target} within {request.timeout:g} s")


def broken(address: Address, request: Request, cause: Exception) -> Unavailable:
    """The error for a connection that ended before the answer did."""
    doubt = "" if request.repeatable else "; it is not known whether the call was carried out, so it was not repeated"
    return Unavailable(
        f"the connection to {address} broke during {request.method} {request.target} ({cause!r}){doubt}",
        next_step="see what runs: flashcore status",
        url=str(address),
        sent=True,
    )


def unreachable(address: Address, cause: Exception) -> Unavailable:
    """The error for a gateway that cannot be connected to: nothing was sent."""
    return Unavailable(
        f"nothing answers at {address} ({cause})",
        next_step="see what runs: flashcore status; start it: flashcore server start",
        url=str(address),
        sent=False,
    )


def connect(address: Address, timeout: float, pauses: tuple[float, ...] = CONNECT_PAUSES) -> HTTPConnection:
    """Connected, within a few attempts. Raises Unavailable."""
    import time
    from http.client import HTTPConnection, HTTPSConnection

    connection = (HTTPSConnection if address.secure else HTTPConnection)(address.host, address.port, timeout=timeout)
    try:
        connection.connect()
    except TimeoutError as error:
        raise unreachable(address, error) from error
    except OSError as error:
        connection.close()
        if not pauses or not isinstance(error, ConnectionError):
            raise unreachable(address, error) from error
    else:
        return connection
    time.sleep(pauses[0])
    return connect(address, timeout, pauses[1:])


async def connect_async(address: Address, protocol: Callable[[], P]) -> tuple[BaseTransport, P]:
    """The same, awaited. Raises Unavailable."""
    import asyncio

    loop = asyncio.get_running_loop()
    for pause in (*CONNECT_PAUSES, None):
        try:
            return await loop.create_connection(protocol, address.host, address.port, ssl=address.secure or None)
        except OSError as error:
            if pause is None or not isinstance(error, ConnectionError):
                raise unreachable(address, error) from error
        await asyncio.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _readable(connection: HTTPConnection | None) -> bool:
    """Whether an idle connection has something to read: its end, or bytes that belong to no request."""
    import select

    if connection is None or connection.sock is None:
        return True
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))
