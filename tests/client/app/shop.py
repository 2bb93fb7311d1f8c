"""Endpoints that the tests of calling declare, call, and run in real replicas."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flashcore import LoadBalancedEndpoint, QueueEndpoint
from flashcore.worker.job import current_job

calc = QueueEndpoint("calc", max_concurrency=4)
web = LoadBalancedEndpoint("web", max_concurrency=4)


@dataclass(frozen=True)
class Point:
    """A value of the user's own."""

    x: int
    y: int


class Color(Enum):
    """Colours."""

    RED = "red"


class Item(BaseModel):
    """A model of the user's own."""

    name: str
    price: float = 1.5


class Broken(Exception):
    """An exception whose constructor takes other things than its message."""

    def __init__(self, code: int, *, part: str) -> None:
        super().__init__(f"{part} is broken")
        self.code = code
        self.part = part


class Stuck(Exception):
    """An exception that holds something that cannot be sent."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())


@calc.function
def echo(value: Any, *more: Any, key: Any = None, **others: Any) -> Any:
    """Give back what came."""
    return (value, *more, key, others) if more or key is not None or others else value


@calc.function
async def echo_async(value: Any) -> Any:
    """Give it back from the event loop."""
    await asyncio.sleep(0)
    return value


@calc.function
def change(array: Any) -> Any:
    """Work on an array in its place."""
    array += 1
    return array


@calc.function
def fail(how: str) -> None:
    """Raise in one of many ways."""
    if how == "broken":
        raise Broken(7, part="lid")
    if how == "stuck":
        raise Stuck
    if how == "group":
        raise ExceptionGroup("two", [Broken(1, part="a"), ValueError("b")])
    if how == "exit":
        raise SystemExit(3)
    raise FileNotFoundError(2, "No such file", how)


@calc.function
def kinds(point: Point, color: Color) -> list[bool]:
    """Say whether they are of this module's own types."""
    return [type(point) is Point, color is Color.RED]


@calc.function
def make(what: str) -> Any:
    """Return a value of one of many types, to whoever asks."""
    import numpy as np

    return {
        "nan": math.nan,
        "bytes": b"\xff",
        "point": Point(1, 2),
        "item": Item(name="pen"),
        "array": np.arange(3),
        "error": {"error": 1},
        "status": {"status": "FAILED"},
        "refresh": {"refresh_worker": True},
        "none": None,
        "nothing": [],
    }[what]


@calc.function
async def report(steps: int) -> None:
    """Say how far it is, and go no further until it is cancelled."""
    current_job().progress({"step": steps})
    await asyncio.sleep(60)


@calc.function
def give_lock() -> Any:
    """Return what cannot be sent."""
    return {"model": [Point(1, 2), {"lock": threading.Lock()}]}


@calc.function
def count(limit: int) -> Iterator[int]:
    """Yield numbers."""
    yield from range(limit)


@calc.function
async def count_async(limit: int) -> AsyncIterator[int]:
    """Yield numbers from the event loop."""
    for number in range(limit):
        yield number


@calc.function
def count_and_fail(limit: int) -> Iterator[int]:
    """Yield numbers, then raise."""
    yield from range(limit)
    raise Broken(limit, part="end")


@calc.function
def rest(seconds: float) -> float:
    """Take some time."""
    time.sleep(seconds)
    return seconds


@calc.function
def hold(until: str) -> str:
    """Go no further than that until there is such a file."""
    while not Path(until).exists():
        time.sleep(0.01)
    return until


@calc.function
async def hold_async(until: str) -> str:
    """The same on the event loop."""
    while not Path(until).exists():  # noqa: ASYNC110, ASYNC240 - a file has no event
        await asyncio.sleep(0.01)
    return until


@calc.function
async def rest_async(seconds: float) -> float:
    """Take some time on the event loop."""
    await asyncio.sleep(seconds)
    return seconds


class Counter:
    """Counts from where it is told to."""

    def __init__(self, start: Any = 0) -> None:
        self.start = start
        self.made_by = threading.get_ident()

    def add(self, number: int) -> Any:
        """The sum."""
        return self.start + number

    async def add_async(self, number: int) -> Any:
        """The sum, from the event loop."""
        return self.start + number

    def count(self, limit: int) -> Iterator[int]:
        """Yield numbers."""
        yield from range(self.start, self.start + limit)


RemoteCounter: Any = calc.function(Counter)


@web.post("/echo")
def web_echo(value: Any) -> Any:
    """Give back what came."""
    return value


@web.get("/points/{x}")
async def point(x: int, y: int = 0) -> Point:
    """Make a point."""
    return Point(x, y)


@web.post("/fail")
def web_fail() -> None:
    """Raise."""
    raise Broken(9, part="web")


@web.post("/numbers")
def numbers(limit: int) -> Iterator[int]:
    """Yield numbers."""
    yield from range(limit)


@web.post("/relay")
async def relay(value: Any) -> Any:
    """Call another endpoint, and one of its own, from within a replica."""
    own = await web_echo(value)
    other = await echo_async(value)
    return own, other, threading.main_thread() is threading.current_thread()


@web.post("/relay_failure")
async def relay_failure() -> str:
    """What another endpoint's function raises is caught here as it was raised there."""
    try:
        await fail("broken")
    except Broken as error:
        return error.part
    return "nothing was raised"


@calc.function
def sent_along() -> dict[str, str]:
    """What the caller sent along."""
    return dict(current_job().context)


@web.post("/sent_along")
def web_sent_along() -> dict[str, str]:
    """The same of a request."""
    return dict(current_job().context)


@calc.function
def hop_to_route() -> list[dict[str, str]]:
    """What this job came with, and what a route that it calls hears."""
    return [dict(current_job().context), web_sent_along.remote()]


@web.post("/hop_to_queue")
async def hop_to_queue() -> list[dict[str, str]]:
    """What this request came with, and what a job that it calls hears."""
    return [dict(current_job().context), await sent_along()]


def main() -> None:
    """What a script does that declares endpoints and calls them."""
    given = kinds.remote(Point(1, 2), Color.RED), echo.remote(Point(3, 4)) == Point(3, 4), web_echo.remote(Color.RED)
    try:
        fail.remote("broken")
    except Broken as error:
        sys.stdout.write(f"{given} {error.code}\n")


if __name__ == "__main__":
    main()
