"""A process that can accept no connection says so, and fills no disk with it."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest
from tests.descriptors import no_file_can_be_opened
from tests.gateway.conftest import eventually

from flashcore.gateway.descriptors import complain_seldom


async def test_it_is_said_once_and_a_connection_is_accepted_later(caplog: pytest.LogCaptureFixture) -> None:
    """Python's own loop wrote two megabytes of tracebacks a second; other accidents are told as ever."""
    loop = asyncio.get_running_loop()
    complain_seldom(loop)
    with caplog.at_level(logging.ERROR), socket.socket() as client:
        came = asyncio.Event()

        def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.set()
            writer.close()

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        client.setblocking(False)
        with no_file_can_be_opened():
            await loop.sock_connect(client, server.sockets[0].getsockname())
            await eventually(lambda: caplog.records)
        await came.wait()
        loop.call_exception_handler({"message": "something else"})
        server.close()

    said = [record.message for record in caplog.records]
    assert said == ["no connection can be accepted: [Errno 24] Too many open files", "something else"]
