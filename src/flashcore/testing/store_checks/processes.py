"""Another process that uses the store of a check, and can be killed in the middle of it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Self

from flashcore.testing.conformance import require
from flashcore.testing.store_checks.subject import PATIENCE, Subject


class Load:
    """Runs `flashcore.testing.store_checks.load` on a subject; killed, if need be, when the block ends."""

    def __init__(self, subject: Subject, work: str) -> None:
        self._killed = False
        self._arguments = ("-m", "flashcore.testing.store_checks.load", subject.ref, subject.url, work)

    async def __aenter__(self) -> Self:
        """Start it."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        return self

    async def __aexit__(self, *_reason: object) -> None:
        """Make sure that it is gone."""
        if not self._killed and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.communicate()

    async def kill_after(self, lines: int) -> list[str]:
        """Let it print so many lines, kill it with SIGKILL, and return all that it had printed in whole lines."""
        require(self._process.stdout is not None, "the process has a pipe")
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101  # for the type checker; required above
        async with asyncio.timeout(PATIENCE):
            printed = [await stdout.readline() for _ in range(lines)]
            require(all(printed), "the process went on until it was killed", printed[-1])
            self._process.kill()
            self._killed = True
            rest = await stdout.read()
        whole, _, _ = rest.rpartition(b"\n")
        return [line.decode() for line in (b"".join(printed) + whole).splitlines()]

    async def ending(self) -> str:
        """Wait until it ends by itself; returns what it printed."""
        async with asyncio.timeout(PATIENCE):
            printed, _ = await self._process.communicate()
        return printed.decode()
