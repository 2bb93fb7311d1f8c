"""Whether a gateway hangs: its process runs, its sockets are open, and calls wait without an end."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

PATIENCE = 2.0
"""Seconds for the answer to a question that a gateway answers in between any two others."""


async def is_silent(url: str) -> bool:
    """Whether nothing comes back from it. A connection that opens says nothing: the system does that by itself."""
    place = urlsplit(url)
    question = f"GET /ping/live HTTP/1.1\r\nhost: {place.netloc}\r\nconnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            try:
                writer.write(question.encode())
                return not await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return True
