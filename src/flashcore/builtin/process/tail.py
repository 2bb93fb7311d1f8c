"""Reading a replica's log: its last lines, and what is written while one looks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

from flashcore.builtin.process.places import older

_BLOCK = 64 * 1024
_LOOK_EVERY = 0.2
"""Seconds between looks at a log that is followed."""


def last_lines(log: Path, count: int) -> tuple[str, ...]:
    """The last `count` lines, of the rotated part too. Blocks for milliseconds; a log that is gone has none."""
    try:
        with log.open("rb") as stream:
            lines, unfinished = _tail(stream, count)
    except OSError:
        return ()
    if unfinished and count:
        lines = [*lines, unfinished][-count:]
    return tuple(_text(line) for line in [*_tail_of_older(log, count - len(lines)), *lines])


async def follow(log: Path, count: int, over: Callable[[], bool]) -> AsyncIterator[str]:
    """The last `count` lines, then each line as it is completed; ends when `over()` and all is read."""
    # Not in a thread, here and below: who is called away while one opens a file would not close it.
    stream = _opened(log)
    try:
        lines, unfinished = await asyncio.to_thread(_tail, stream, count)
        for line in [*await asyncio.to_thread(_tail_of_older, log, count - len(lines)), *lines]:
            yield _text(line)
        while True:
            ended = over()
            *lines, unfinished = (unfinished + await asyncio.to_thread(stream.read)).split(b"\n")
            for line in lines:
                yield _text(line)
            fresh = _fresh(log, stream)
            if fresh is not None:
                stream.close()
                stream = fresh
            elif ended:
                break
            else:
                await asyncio.sleep(_LOOK_EVERY)
        if unfinished:
            yield _text(unfinished)
    finally:
        stream.close()


def _opened(log: Path) -> IO[bytes]:
    return log.open("rb")


def _tail(stream: IO[bytes], count: int) -> tuple[list[bytes], bytes]:
    """The last whole lines, and what is written of the next one; the stream stands at its end then."""
    position = end = stream.seek(0, os.SEEK_END)
    data = b""
    while position > 0 and data.count(b"\n") <= count:
        position = max(0, position - _BLOCK)
        stream.seek(position)
        data = stream.read(end - position)
    *lines, unfinished = data.split(b"\n")
    return lines[-count:] if count > 0 else [], unfinished


def _tail_of_older(log: Path, count: int) -> list[bytes]:
    if count <= 0:
        return []
    try:
        with older(log).open("rb") as stream:
            return _tail(stream, count)[0]
    except OSError:
        return []


def _fresh(log: Path, stream: IO[bytes]) -> IO[bytes] | None:
    """The new file, once the one that is read was rotated away and is read to its end."""
    try:
        now = os.fstat(stream.fileno())
        if log.stat().st_ino == now.st_ino or stream.tell() < now.st_size:
            return None
        return log.open("rb")
    except OSError:
        return None


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
