"""As much of HTTP/1.1 as RunPod's package speaks: bodies whose length is told, answers of JSON or nothing."""

from __future__ import annotations

import asyncio
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

LARGEST_HEAD = 1 << 16
LARGEST_BODY = 1 << 30


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is JSON, or empty."""

    status: int
    body: bytes = b""


Respond: TypeAlias = Callable[[Asked], Awaitable[Answer]]

_REASONS = {200: b"OK", 204: b"No Content", 401: b"Unauthorized", 404: b"Not Found"}


class LocalServer:
    """Listens on a free port of the loopback interface. Belongs to one event loop."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._server: asyncio.Server | None = None

    async def listen(self) -> int:
        """Begin; the port. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LARGEST_HEAD)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while True:
                answer = await self._respond(await _read(reader))
                writer.write(_written(answer))
                await writer.drain()
        except (IncompleteReadError, LimitOverrunError, ValueError, OSError):
            return  # it hung up, or it speaks otherwise
        finally:
            writer.close()


async def _read(reader: StreamReader) -> Asked:
    """The next request. Raises IncompleteReadError, LimitOverrunError, ValueError."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = int(headers.get("content-length", "0"))
    if length > LARGEST_BODY or "transfer-encoding" in headers:
        raise ValueError("a body whose length is not told, or one that is too large")
    parts = urlsplit(target)
    body = await reader.readexactly(length)
    return Asked(method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, body)


def _written(answer: Answer) -> bytes:
    head = b"HTTP/1.1 %d %b\r\n" % (answer.status, _REASONS[answer.status])
    if answer.status == 204:
        return head + b"\r\n"
    return b"%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (head, len(answer.body), answer.body)
