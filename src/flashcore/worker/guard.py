"""What every HTTP request passes on its way into a replica, whatever ASGI application is inside.

* A request without the revision's key (`x-flashcore-hop`) is answered 403: only the gateway and probes have it.
* A request for another life of this address (`x-flashcore-instance`) is answered 421: the gateway goes elsewhere.
* A draining replica answers 503 with `x-flashcore-draining: 1` to what is new, and finishes what it has. WebSockets,
  which may never be finished, are closed at once (1012, service restart): their clients come back, to another replica.
* `/ping/live` is answered 200 as long as the process runs, also while it drains: so says liveness, and readiness is
  what `/ping` says.
* The request's id (`x-request-id`, or a new one) stands in its log lines and in its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from flashcore.model.names import InstanceId
from flashcore.wire.hop import HOP_HEADER, REFUSED
from flashcore.worker.job import CURRENT, CurrentJob
from flashcore.worker.logs import Output

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

INSTANCE_HEADER = b"x-flashcore-instance"
DRAINING_HEADER = b"x-flashcore-draining"
REQUEST_ID_HEADER = b"x-request-id"

LIVENESS_PATH = "/ping/live"

LONGEST_REQUEST_ID = 128

_SENT_ALONG = {"traceparent": b"traceparent", "tracestate": b"tracestate", "request_id": REQUEST_ID_HEADER}

_RESTARTING = 1012
_WEBSOCKET_ANSWER = "websocket.http.response"
"""The extension of ASGI by which a WebSocket that is not accepted is answered like any request."""
_CODES = {403: "forbidden", 421: "misdirected", 503: "unavailable"}


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: Application, instance: InstanceId, output: Output, hop_key: str = "") -> None:
        self._app = app
        self._instance = instance.encode()
        self._output = output
        self._hop_key = hop_key.encode()
        self._in_flight = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._sockets: set[_WebSocket] = set()
        self.startup_failure = ""
        """The traceback with which the application refused to start."""

    @property
    def in_flight(self) -> int:
        """Requests and WebSockets inside, to the end of their answers."""
        return self._in_flight

    async def drain(self) -> None:
        """Let nothing more in; returns when nothing is inside."""
        self._draining = True
        for socket in list(self._sockets):
            await socket.end("this replica is draining")
        while self._in_flight:
            self._idle.clear()
            await self._idle.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, WebSocket or lifespan."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._watching(send))
            return
        if self._hop_key and not hmac.compare_digest(_header(scope, HOP_HEADER), self._hop_key):
            why = "requests reach this replica through the gateway alone"
            await _refuse(scope, send, 403, why, [(HOP_HEADER, REFUSED)])
            return
        wanted = _header(scope, INSTANCE_HEADER)
        if wanted and wanted != self._instance:
            own = [(INSTANCE_HEADER, self._instance)]
            await _refuse(scope, send, 421, "this address belongs to another replica now", own)
        elif scope["type"] == "http" and scope["path"] == LIVENESS_PATH:
            await _answer(send, 200, {"status": "draining" if self._draining else "ok"}, [])
        elif self._draining:
            own = [(DRAINING_HEADER, b"1"), (b"connection", b"close")]
            await _refuse(scope, send, 503, "this replica is draining", own)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._hop_key:
            # The application has no use for it, and might show it: many answer with the headers that they got.
            scope["headers"] = [header for header in scope["headers"] if header[0] != HOP_HEADER]
        request = _header(scope, REQUEST_ID_HEADER)[:LONGEST_REQUEST_ID] or os.urandom(8).hex().encode()
        current = CurrentJob(request.decode("latin-1"), context=_Context(scope), kind="request")
        CURRENT.set(current)
        self._in_flight += 1
        send = _with_header(send, (REQUEST_ID_HEADER, request))
        socket = _WebSocket(send) if scope["type"] == "websocket" else None
        if socket is not None:
            self._sockets.add(socket)
            send = socket.send
        try:
            await self._app(scope, receive, send)
        finally:
            if socket is not None:
                self._sockets.discard(socket)
            self._in_flight -= 1
            self._output.finish(current)
            if not self._in_flight:
                self._idle.set()

    def _watching(self, send: Send) -> Send:
        async def watching(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "lifespan.startup.failed":
                self.startup_failure = str(message.get("message", "")) or "the application refused to start"
            await send(message)

        return watching


class _Context(Mapping[str, str]):
    """What the caller sent along, read when somebody asks for it."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __getitem__(self, name: str) -> str:
        value = _header(self._scope, _SENT_ALONG[name])
        if not value:
            raise KeyError(name)
        return value.decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name for name, header in _SENT_ALONG.items() if _header(self._scope, header))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _WebSocket:
    """What an application sends over one WebSocket, until it is closed over its head."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._ended = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass it on. Raises OSError after the end, as servers do: an application that only sends hears of it so."""
        if self._ended:
            raise ConnectionResetError("this replica is draining, and has closed the WebSocket")
        await self._send(message)

    async def end(self, reason: str) -> None:
        """Close it; the application is told by its next `receive`."""
        self._ended = True
        # Whoever is gone already needs no farewell, and says so in as many ways as there are servers.
        with contextlib.suppress(Exception):
            await self._send({"type": "websocket.close", "code": _RESTARTING, "reason": reason})


def _header(scope: Scope, name: bytes) -> bytes:
    headers: Iterable[Header] = scope["headers"]
    return next((value for key, value in headers if key == name), b"")


def _with_header(send: Send, header: Header) -> Send:
    async def adding(message: MutableMapping[str, Any]) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            message["headers"] = [*message.get("headers", ()), header]
        await send(message)

    return adding


async def _refuse(scope: Scope, send: Send, status: int, message: str, headers: list[Header]) -> None:
    said = {"code": _CODES[status], "message": message}
    if scope["type"] == "http":
        await _answer(send, status, said, headers)
    elif _WEBSOCKET_ANSWER in scope.get("extensions", {}):
        await _answer(send, status, said, headers, _WEBSOCKET_ANSWER)
    else:
        # A server that can answer a WebSocket only in its own words says 403, and the gateway goes nowhere else.
        await send({"type": "websocket.close", "code": _RESTARTING, "reason": message})


async def _answer(
    send: Send, status: int, said: dict[str, str], headers: list[Header], kind: str = "http.response"
) -> None:
    body = json.dumps(said).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": f"{kind}.start", "status": status, "headers": head})
    await send({"type": f"{kind}.body", "body": body})
