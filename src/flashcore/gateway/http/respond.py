"""What a local handler is given and gives back, and how that is written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeAlias

from flashcore.gateway.http.errors import BadRequest
from flashcore.gateway.http.forward import HOP_BY_HOP, encode_headers, status_line
from flashcore.gateway.http.head import Headers, RequestHead
from flashcore.model.light import light

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

ENGINES_OWN = HOP_BY_HOP | {b"content-length", b"date", b"x-request-id"}
"""Names that a handler's response cannot set."""


class Watcher(Protocol):
    """Who wants to know how a connection ends on which somebody has asked. Exactly one of both is said, once."""

    @property
    def is_awaiting(self) -> bool:
        """Whether the connection is kept, however long nothing is asked on it: its end is what is waited for."""
        ...

    def left(self, line: Line) -> None:
        """The client closed it, or it broke."""
        ...

    def released(self, line: Line) -> None:
        """It ends, or is somebody else's, and that tells nothing of the client."""
        ...


class Line(Protocol):
    """The connection that a request came on, which may outlast the request."""

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` how it ends, in place of whoever was to be told before."""
        ...


@light
class Request:
    """A whole request for a local handler; `peer` is the client's address. A large body is a view of a file."""

    head: RequestHead
    body: bytes | memoryview
    peer: str
    base: Callable[[RequestHead], str]
    """Where a client of this connection has reached us, as `https://host`; empty where it does not name a host."""
    line: Line


@light
class Response:
    """A local handler's answer.

    A body of bytes is sent with its length. An iterator's pieces are sent as they come, each when the client has room
    for it, in chunks unless their `length` is known; the iterator is closed when the client leaves. Framing,
    Connection, Date and X-Request-Id are the engine's.
    """

    status: int
    headers: Headers = ()
    body: bytes | AsyncIterator[bytes] = b""
    length: int | None = None


class Later:
    """An answer that is to come, given once: whoever it is for is told from within, not in a later turn of the loop."""

    __slots__ = ("_answer", "_told", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        """It was given, or nobody waits for it any longer."""
        self._answer: Response | Exception | None = None
        self._told: Callable[[Response | Exception], None] | None = None

    def give(self, answer: Response | Exception) -> None:
        """This is it, or this is why there is none; ignored where it is over."""
        if self.is_over:
            return
        self.is_over = True
        self._answer = answer
        if self._told is not None:
            self._told(answer)

    def tell(self, told: Callable[[Response | Exception], None]) -> None:
        """Whom to give it to."""
        self._told = told
        if self._answer is not None:
            told(self._answer)

    def cancel(self) -> None:
        """Nobody waits for it any longer."""
        self.is_over = True


Handler: TypeAlias = Callable[[Request], Response | Later | Awaitable[Response]]
"""Answers one request. One that has its answer at once returns it as it is, and costs no task; nor does `Later`."""


def json_response(status: int, value: object, headers: Headers = ()) -> Response:
    """An answer in JSON. Raises TypeError for a value that JSON cannot hold."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Response(status, ((b"content-type", b"application/json"), *headers), body)


def error_response(status: int, code: str, message: str, headers: Headers = (), **data: object) -> Response:
    """An error as every part of the gateway tells one: `{"error": {"code", "message", ...}}`."""
    return json_response(status, {"error": {"code": code, "message": message, **data}}, headers)


def refusal_response(error: BadRequest) -> Response:
    """A refusal by the engine; what passes may be asked again soon."""
    headers = ((b"retry-after", b"1"),) if error.status == 503 else ()
    return error_response(error.status, error.reason, error.message, headers, **error.data)


def own_lines(response: Response) -> bytes:
    """What a handler says of the head. Raises ValueError, before anything of the answer is sent."""
    for name, _ in response.headers:
        if name in ENGINES_OWN:
            raise ValueError(f"{name!r} is written by the engine; leave it out of the response's headers")
    return status_line(response.status) + encode_headers(response.headers)


def has_no_content(status: int) -> bool:
    """Whether an answer of this status has neither a body nor a length."""
    return status in {204, 304} or status < 200
