"""A gateway that hangs looks well to whoever asks the system, and not to whoever asks it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from flashcore.server import silence
from flashcore.server.silence import is_silent


async def test_a_gateway_that_answers_is_not_silent() -> None:
    """Whatever it says."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        assert not await is_silent(f"http://127.0.0.1:{port}")


async def test_a_gateway_that_accepts_and_says_nothing_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is stopped, or waits for a disk: its connections open all the same."""
    monkeypatch.setattr(silence, "PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert await is_silent(f"http://127.0.0.1:{listening.getsockname()[1]}")


async def test_a_gateway_that_is_not_there_is_silent() -> None:
    """Who asks knows otherwise whether it is being started."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        assert await is_silent(f"http://127.0.0.1:{bound.getsockname()[1]}")
