"""Sealed calls over HTTP: a route's function called with the caller's own values, FastAPI not being asked.

The path is the route's own, so that gateways choose a replica as for any request. What is called is what was signed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

from flashcore.model.errors import ProtocolError, Unserializable
from flashcore.wire import seal, sealed
from flashcore.worker.failure import failure_of, response_body
from flashcore.worker.functions import FunctionTable, Invocation
from flashcore.worker.guard import Application, Receive, Scope, Send
from flashcore.worker.opening import Opener

_PIECE = 1 << 20
_MEDIA = seal.MEDIA.encode()

INTAKE = "flashcore.intake"
"""Where the scope has the body of a request whose server could take it in at once."""


class SealedRequests:
    """An ASGI application around another one, which gets every request that is no sealed call."""

    def __init__(self, app: Application, functions: FunctionTable, run: Callable[[Invocation], Awaitable[Any]]) -> None:
        self._app = app
        self._functions = functions
        self._run = run
        self._opener: Opener | None = None
        self._numbers = count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, WebSocket or lifespan."""
        # Not before: the process that made the app, and was forked, has another environment. Not later either: user
        # code may empty the key's variable to have its own calls go out as JSON.
        if self._opener is None:
            self._opener = Opener.of_process(os.environ)
        if scope["type"] != "http" or _header(scope, b"content-type") != _MEDIA:
            await self._app(scope, receive, send)
            return
        try:
            call = self._opener.call(await _read(scope, receive), f"request {next(self._numbers)}")
        except Exception as error:  # noqa: BLE001 - anybody may send anything; who cannot sign is told in JSON
            await _send(send, _status_of(error), b"application/json", [response_body(error)])
            return
        await self._answer(call, scope, receive, send)

    async def _answer(self, call: sealed.SealedCall, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            value = await self._run(self._functions.invocation(call))
            if callable(value) and type(value).__module__.startswith(("fastapi.", "starlette.")):
                await value(scope, receive, send)  # a Response of the user's own, which is the same for everybody
                return
            status, pieces = 200, sealed.seal_value(call, value)
            seal.check_size(seal.size_of(pieces), seal.LARGEST_CALL, "result")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything; the caller is told what
            failure = failure_of(error)
            sys.stderr.write(failure.error_traceback)
            told = failure.error_type, failure.error_message, failure.error_traceback
            status, pieces = 500, sealed.seal_raised(call, error, told)
        await _send(send, status, _MEDIA, pieces)


async def _read(scope: Scope, receive: Receive) -> seal.Bytes:
    """The body, in memory that can be written to: arrays that lie in it are the function's own."""
    intake: memoryview | None = scope.get(INTAKE)
    if intake is not None:
        await _whole(receive)
        return intake
    size = int(_header(scope, b"content-length") or 0)
    seal.check_size(size, seal.LARGEST_CALL, "arguments")
    body, filled = bytearray(size), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ProtocolError("the caller left before the call was there")
        piece = message.get("body", b"")
        body[filled : filled + len(piece)] = piece
        filled += len(piece)
        if not message.get("more_body", False):
            return body


async def _whole(receive: Receive) -> None:
    """Until the body is there; where it lies is known."""
    if (await receive())["type"] == "http.disconnect":
        raise ProtocolError("the caller left before the call was there")


async def _send(send: Send, status: int, media: bytes, pieces: Sequence[seal.Bytes]) -> None:
    size = seal.size_of(pieces)
    head = [(b"content-type", media), (b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    for piece in pieces:
        view = memoryview(piece)
        for at in range(0, len(view), _PIECE):
            await send({"type": "http.response.body", "body": view[at : at + _PIECE], "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _header(scope: Scope, name: bytes) -> bytes:
    value: bytes = next((value for key, value in scope["headers"] if key == name), b"")
    return value


def _status_of(error: Exception) -> int:
    if isinstance(error, Unserializable):
        return 413
    return 401 if getattr(error, "code", "") == "signature_refused" else 400
