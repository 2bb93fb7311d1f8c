"""One awaited HTTP/1.1 request over asyncio's streams, on a connection of its own."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from flashcore.client.address import Address
from flashcore.client.exchange import Request, Response
from flashcore.client.transport import CONNECT_PAUSES, broken, too_slow, unreachable

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

_SIZE_OF_HEAD = 1 << 20
"""The most bytes that an answer's head, or the line before a chunk, may have."""


async def exchange(address: Address, request: Request) -> Response:
    """Connect, send, read the answer, close. Raises Unavailable or DeadlineExceeded."""
    import asyncio

    try:
        async with asyncio.timeout(request.timeout):
            reader, writer = await _connect(address)
            try:
                return await _converse(address, request, reader, writer)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        raise too_slow(address, request) from error
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        raise broken(address, request, error) from error


async def _connect(address: Address) -> tuple[StreamReader, StreamWriter]:
    import asyncio

    for pause in (*CONNECT_PAUSES, None):
        try:
            return await asyncio.open_connection(
                address.host, address.port, ssl=address.secure or None, limit=_SIZE_OF_HEAD
            )
        except OSError as error:
            if pause is None or not isinstance(error, ConnectionError):
                raise unreachable(address, error) from error
        await asyncio.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


async def _converse(address: Address, request: Request, reader: StreamReader, writer: StreamWriter) -> Response:
    writer.write(_head(address, request) + (request.body or b""))
    # A server that refuses a large body may answer and close before it has read it: the answer counts.
    with suppress(ConnectionError):
        await writer.drain()
    status, headers = await _read_head(reader)
    return Response(status, headers, await _read_body(reader, request.method, status, headers))


def _head(address: Address, request: Request) -> bytes:
    host = f"[{address.host}]" if ":" in address.host else address.host
    headers = {
        "Host": f"{host}:{address.port}",
        "Connection": "close",
        "Accept-Encoding": "identity",
        **request.headers,
    }
    if request.body is not None:
        headers["Content-Length"] = str(len(request.body))
    elif request.method not in ("GET", "HEAD"):
        headers["Content-Length"] = "0"
    lines = [f"{request.method} {address.prefix}{request.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _read_head(reader: StreamReader) -> tuple[int, dict[str, str]]:
    while True:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split(None, 2)[1])
        if status >= 200:
            break
    pairs = (line.partition(":") for line in lines[1:] if line)
    return status, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _read_body(reader: StreamReader, method: str, status: int, headers: dict[str, str]) -> bytes:
    if method == "HEAD" or status in (204, 304):
        return b""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _read_chunks(reader)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read()


async def _read_chunks(reader: StreamReader) -> bytes:
    chunks = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers say nothing that a call needs
    return b"".join(chunks)
