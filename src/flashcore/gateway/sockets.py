"""Unix sockets in the file system: one is only replaced when nobody answers behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from asyncio import AbstractServer, BaseProtocol
from collections.abc import Callable
from pathlib import Path

from flashcore.model.errors import Refused

_BACKLOG = 1024
_ANSWER_SECONDS = 1.0


async def listen_on_path(path: Path, protocol: Callable[[], BaseProtocol]) -> AbstractServer:
    """Listen at `path`, in place of a socket that a dead process left there. Raises Refused when somebody answers."""
    bound = await bound_to_path(path)
    return await asyncio.get_running_loop().create_unix_server(protocol, sock=bound, backlog=_BACKLOG)


async def bound_to_path(path: Path) -> socket.socket:
    """A socket to listen on at `path`; as `listen_on_path`."""
    if await _answers(path):
        raise Refused(f"another process listens at {path}", next_step="stop it, or let it serve", path=str(path))
    return _bound(path)


def _bound(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(path))
    path.chmod(0o600)
    return bound


async def _answers(path: Path) -> bool:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await loop.sock_connect(probe, str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except TimeoutError:
            # A full backlog is somebody who is alive.
            return True
    return True
