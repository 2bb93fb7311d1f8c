"""Running a command beside a replica: with its environment, in its working directory, for so long and no longer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import psutil

from flashcore.builtin.process.places import ReplicaPlaces
from flashcore.model.errors import DeadlineExceeded, NotFound

MOST_OUTPUT = 64 * 1024
"""Bytes of output that are kept."""


async def run_beside(places: ReplicaPlaces, pid: int, command: tuple[str, ...], within: float) -> tuple[int, str]:
    """The command's exit status and what it wrote. Raises NotFound, DeadlineExceeded, OSError."""
    try:
        environ = await asyncio.to_thread(lambda: psutil.Process(pid).environ())
    except psutil.Error as error:
        raise NotFound(f"replica {places.replica} does not run: {error}") from error
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environ,
        cwd=places.work,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within):
            output = await _output(process.stdout)
            return await process.wait(), output
    except TimeoutError as error:
        raise DeadlineExceeded(f"{command[0]} had not ended after {within:g} s", replica=places.replica) from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _output(stream: asyncio.StreamReader | None) -> str:
    kept = bytearray()
    while stream is not None and (data := await stream.read(MOST_OUTPUT)):
        kept += data[: MOST_OUTPUT - len(kept)]
    return kept.decode("utf-8", "replace")
