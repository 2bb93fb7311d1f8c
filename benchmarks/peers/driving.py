"""What every queue's driver does, with nothing but the standard library: it runs in that queue's own environment.

An order comes as a line of JSON on standard input, how many seconds and how many jobs in flight; what it came to goes
out as another. In flight means: so many are submitted, the oldest is waited for and read, and the next is submitted.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

PAYLOAD = "x" * 1000

Submit = Callable[[str], Any]
Read = Callable[[Any], str]
SubmitSoon = Callable[[str], Awaitable[Any]]
ReadSoon = Callable[[Any], Awaitable[str]]


def serve(submit: Submit, read: Read) -> None:
    """Follow orders until there are none."""
    _say({})
    for line in sys.stdin:
        order = json.loads(line)
        _say(_drive(submit, read, order["seconds"], order["in_flight"]))


async def serve_async(submit: SubmitSoon, read: ReadSoon) -> None:
    """As `serve`, for queues that are asynchronous."""
    _say({})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        _say(await _drive_async(submit, read, order["seconds"], order["in_flight"]))


def poll(look: Callable[[], Any]) -> Any:
    """What `look` finds, which is asked every millisecond: for queues that tell nobody."""
    while (found := look()) is None:
        time.sleep(0.001)
    return found


def _drive(submit: Submit, read: Read, seconds: float, in_flight: int) -> dict[str, Any]:
    flying: deque[tuple[float, Any]] = deque()
    run = _Run(seconds)
    while run.goes_on or flying:
        while run.goes_on and len(flying) < in_flight:
            began = time.perf_counter()
            flying.append((began, submit(PAYLOAD)))
        if flying:
            began, handle = flying.popleft()
            run.note(began, read(handle))
    return run.result()


async def _drive_async(submit: SubmitSoon, read: ReadSoon, seconds: float, in_flight: int) -> dict[str, Any]:
    flying: deque[tuple[float, Any]] = deque()
    run = _Run(seconds)
    while run.goes_on or flying:
        while run.goes_on and len(flying) < in_flight:
            began = time.perf_counter()
            flying.append((began, await submit(PAYLOAD)))
        if flying:
            began, handle = flying.popleft()
            run.note(began, await read(handle))
    return run.result()


class _Run:
    """One order's clock and its times."""

    def __init__(self, seconds: float) -> None:
        self._times: list[float] = []
        self._cpu = time.process_time()
        self._began = time.perf_counter()
        self._until = self._began + seconds

    @property
    def goes_on(self) -> bool:
        """Whether more is to be submitted."""
        return time.perf_counter() < self._until

    def note(self, began: float, answer: str) -> None:
        """A job was read."""
        if answer != PAYLOAD:
            raise SystemExit(f"a job did not end well: {answer!r}")
        self._times.append(time.perf_counter() - began)

    def result(self) -> dict[str, Any]:
        """Seconds of all and of each, and of the processor."""
        took = time.perf_counter() - self._began
        return {"took": took, "times": self._times, "cpu": time.process_time() - self._cpu}


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)
