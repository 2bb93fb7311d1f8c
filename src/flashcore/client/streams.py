"""One HTTP/1.1 connection for awaited requests. Large bodies go straight from and to the memory where they belong."""

from __future__ import annotations

import asyncio
from typing import cast

from flashcore.client.address import Address
from flashcore.client.exchange import Request, Response, is_ours
from flashcore.wire.memory import memory_for

_LONGEST_HEAD = 1 << 20
_SCRATCH = 1 << 16
_PIECE = 1 << 20


class Connection(asyncio.BufferedProtocol):
    """Carries one exchange after another. Whatever goes wrong is an OSError, EOFError or ValueError, and its end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._scratch = bytearray(_SCRATCH)
        self._data = bytearray()
        self._reading: _Body | None = None
        self._method = ""
        self.reusable = False
        """Whether another request may follow on it."""

    async def exchange(self, address: Address, request: Request) -> Response:
        """Send a request and read its answer."""
        self._method, self._reading, self.reusable = request.method, None, False
        answer: asyncio.Future[Response] = self._loop.create_future()
        self._answer = answer
        try:
            await self._send(address, request, answer)
            return await answer
        finally:
            self._answer = None
            if not answer.done() or answer.cancelled() or answer.exception() is not None:
                self.close()

    def close(self) -> None:
        """End it at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # -- writing ---------------------------------------------------------------------------------------------------

    async def _send(self, address: Address, request: Request, answer: asyncio.Future[Response]) -> None:
        pieces = request.pieces
        small = bool(pieces) and len(pieces[0]) <= _SCRATCH
        self._write(_head(address, request) + bytes(pieces[0] if small else b""))
        for piece in pieces[small:]:
            with memoryview(piece) as view:
                for at in range(0, len(view), _PIECE):
                    if answer.done():
                        return  # it is refused, or lost: nobody reads the rest
                    self._write(view[at : at + _PIECE])
                    await self._drained()

    def _write(self, data: bytes | memoryview) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection was closed")
        self._transport.write(data)

    async def _drained(self) -> None:
        if self._writable is not None:
            await self._writable

    # -- what the loop calls ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._transport = None
        self.reusable = False
        self.resume_writing()
        answer = self._answer
        if answer is None or answer.done():
            return
        if exc is None and self._reading is not None and self._reading.ends_with_connection:
            answer.set_result(self._reading.response())
        else:
            answer.set_exception(exc or EOFError("the connection ended before the answer did"))

    def pause_writing(self) -> None:
        """The other side does not keep up."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """It does again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:  # noqa: ARG002 - the base class's signature
        """Where to put what comes next: into the body itself where its length is known."""
        place = self._reading.place() if self._reading is not None and not self._data else None
        return self._scratch if place is None else place

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes are there."""
        try:
            self._take(nbytes)
        except (ValueError, IndexError) as error:
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(ValueError(f"the answer is not HTTP: {error}"))
            self.close()

    def _take(self, count: int) -> None:
        if self._answer is None:
            self.close()  # bytes that belong to no request
            return
        if self._reading is not None and not self._data and self._reading.place() is not None:
            self._reading.filled += count
        else:
            self._data += memoryview(self._scratch)[:count]
        while self._reading is None and self._begin():
            pass
        if self._reading is not None and self._reading.take(self._data) and not self._answer.done():
            self.reusable = self._reading.keeps_open and not self._data
            self._answer.set_result(self._reading.response())

    def _begin(self) -> bool:
        """Read a head; whether there was one. An interim answer is passed over."""
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > _LONGEST_HEAD:
                raise ValueError("its head does not end")
            return False
        first, *lines = bytes(self._data[:end]).decode("latin-1").split("\r\n")
        del self._data[: end + 4]
        version, status = first.split(None, 2)[:2]
        if int(status) >= 200:
            pairs = (line.partition(":") for line in lines)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            self._reading = _Body(self._method, version, int(status), headers)
        return True


class _Body:
    """An answer whose head is read."""

    def __init__(self, method: str, version: str, status: int, headers: dict[str, str]) -> None:
        self._status = status
        self._headers = headers
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self.filled = 0
        self.keeps_open = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        length = 0 if method == "HEAD" or status in (204, 304) else int(headers.get("content-length", -1))
        self._chunked = self._chunked and length < 0
        self.ends_with_connection = length < 0 and not self._chunked
        self._known = not (self._chunked or self.ends_with_connection)
        self._content = bytearray()
        self._memory = memory_for(max(0, length))
        if self.ends_with_connection:
            self.keeps_open = False

    def place(self) -> memoryview | None:
        """Where the rest of it goes, where its length is known."""
        if not self._known or self.filled == len(self._memory):
            return None
        return self._memory[self.filled :]

    def take(self, data: bytearray) -> bool:
        """Take from `data` what belongs to it; whether it is complete."""
        if self._known:
            count = min(len(data), len(self._memory) - self.filled)
            self._memory[self.filled : self.filled + count] = data[:count]
            self.filled += count
            del data[:count]
            return self.filled == len(self._memory)
        if self._chunked:
            return self._take_chunks(data)
        self._content += data
        data.clear()
        return False

    def response(self) -> Response:
        """The answer."""
        if is_ours(self._headers):
            return Response(
                self._status, self._headers, b"", self._memory if self._known else memoryview(self._content)
            )
        return Response(self._status, self._headers, bytes(self._memory if self._known else self._content))

    def _take_chunks(self, data: bytearray) -> bool:
        while (line := data.find(b"\r\n")) >= 0:
            size = int(bytes(data[:line]).split(b";")[0], 16)
            if size == 0:
                return self._take_trailer(data, line)
            if len(data) < line + 2 + size + 2:
                return False
            self._content += data[line + 2 : line + 2 + size]
            del data[: line + 2 + size + 2]
        return False

    @staticmethod
    def _take_trailer(data: bytearray, line: int) -> bool:
        """Trailers say nothing that a call needs."""
        end = line if data[line : line + 4] == b"\r\n\r\n" else data.find(b"\r\n\r\n")
        if end < 0:
            return False
        del data[: end + 4]
        return True


def _head(address: Address, request: Request) -> bytes:
    host = f"[{address.host}]" if ":" in address.host else address.host
    headers = {
        "Host": f"{host}:{address.port}",
        "Accept-Encoding": "identity",
        **request.headers,
        **request.framing,
    }
    lines = [f"{request.method} {address.prefix}{request.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
