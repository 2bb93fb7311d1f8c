"""What a local handler is given and gives back, and how that is written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from flashcore.gateway.http.forward import HOP_BY_HOP, encode_headers, status_line
from flashcore.gateway.http.head import Headers, RequestHead

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

ENGINES_OWN = HOP_BY_HOP | {b"content-length", b"date", b"x-request-id"}
"""Names that a handler's response cannot set."""


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request for a local handler; `peer` is the client's address. A large body is a view of a file."""

    head: RequestHead
    body: bytes | memoryview
    peer: str


@dataclass(frozen=True, slots=True)
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


Handler: TypeAlias = Callable[[Request], Response | Awaitable[Response]]
"""Answers one request. One that has its answer at once returns it as it is, and costs no task; nor does a future."""


def json_response(status: int, value: object, headers: Headers = ()) -> Response:
    """An answer in JSON. Raises TypeError for a value that JSON cannot hold."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Response(status, ((b"content-type", b"application/json"), *headers), body)


def error_response(status: int, code: str, message: str, headers: Headers = (), **data: object) -> Response:
    """An error as every part of the gateway tells one: `{"error": {"code", "message", ...}}`."""
    return json_response(status, {"error": {"code": code, "message": message, **data}}, headers)


def own_lines(response: Response) -> bytes:
    """What a handler says of the head. Raises ValueError, before anything of the answer is sent."""
    for name, _ in response.headers:
        if name in ENGINES_OWN:
            raise ValueError(f"{name!r} is written by the engine; leave it out of the response's headers")
    return status_line(response.status) + encode_headers(response.headers)


def has_no_content(status: int) -> bool:
    """Whether an answer of this status has neither a body nor a length."""
    return status in {204, 304} or status < 200
