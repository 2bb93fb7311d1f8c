"""The event loops of the gateway's tests: they say what was left open, and their clocks can be put forward."""

from __future__ import annotations

import asyncio
import warnings

import uvloop


class _Forward:
    """A clock that a test puts forward, so that what takes a minute need not be waited for."""

    ahead = 0.0

    def time(self) -> float:
        """Seconds, with those that the test has skipped."""
        seconds: float = super().time()  # type: ignore[misc]  # the loop's, which stands behind this class
        return seconds + self.ahead


class UvLoop(_Forward, uvloop.Loop):  # type: ignore[misc]  # uvloop's stubs differ from asyncio's
    """uvloop's, which can be closed where warnings are errors."""

    def close(self) -> None:
        """Close whatever was left open, then raise ResourceWarning for it.

        uvloop warns of a handle before it closes it. A warning that is raised there leaves the handle open, and uvloop
        then waits for it for ever, in C, where no time limit of a test reaches: one failed test hung all others.
        """
        with warnings.catch_warnings(record=True) as left_open:
            warnings.simplefilter("always")
            super().close()
        for warning in left_open:
            raise ResourceWarning(str(warning.message))


class PlainLoop(_Forward, asyncio.SelectorEventLoop):
    """asyncio's own."""


async def skip(seconds: float, looks_every: float) -> None:
    """Put the clock forward, and wait until somebody who looks at it every so many seconds has seen that."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _Forward)
    loop.ahead += seconds
    await asyncio.sleep(2 * looks_every)  # a timer that was set after the other's, and runs out later
