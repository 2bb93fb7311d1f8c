"""Calls through our own client, at a fixed rate whatever becomes of those before, and what became of each."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from flashcore import FlashcoreError


@dataclass(slots=True)
class Fates:
    """What became of calls; each has a key of its own."""

    begun: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    refused: dict[str, FlashcoreError] = field(default_factory=dict)

    def __str__(self) -> str:
        kinds = Counter(reason_of(error) for error in self.refused.values())
        refused = "".join(f"\n      {count} x {what}" for what, count in kinds.most_common())
        return f"{len(self.begun)} begun, {len(self.answered)} answered, {len(self.refused)} refused{refused}"

    def faults(self) -> list[str]:
        """Calls without an end, and ends without a reason, in words."""
        ended = self.answered | self.refused.keys()
        return [f"{key} has no end" for key in self.begun - ended] + [
            f"{key}: {error!r}" for key, error in self.refused.items() if not is_reasoned(error)
        ]


def is_reasoned(error: FlashcoreError) -> bool:
    """Whether a caller can tell from it what happened: an answer that refuses, or what became of the connection."""
    if error.code not in ("unavailable", "deadline_exceeded"):
        return False
    return error.data.get("status") in (502, 503, 504) or "sent" in error.data


def may_have_run(error: FlashcoreError) -> bool:
    """Whether it says so: a connection that broke after the call was sent, or a replica that was lost with it."""
    return error.data.get("sent") is True or error.data.get("status") in (502, 504)


def reason_of(error: FlashcoreError) -> str:
    """Its kind, for counting."""
    sent = error.data.get("sent")
    what = error.data.get("status") if sent is None else "sent, then cut off" if sent else "never sent"
    return f"{type(error).__name__} ({what}): {re.split('[?(]', error.message)[0].strip()}"


class Patrons:
    """Call `rate` times a second, the kinds of calls in turn, within its `with`; then wait for the answers.

    `kinds` are given a key and return an awaited call, whose value is that key.
    """

    def __init__(self, rate: float, **kinds: Callable[[str], Awaitable[Any]]) -> None:
        self._interval = 1 / rate
        self._kinds = kinds
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._call_all()), name="patrons")
        self.fates = {name: Fates() for name in kinds}

    def wait_for(self, calls: int) -> None:
        """Until so many were begun, or something else than a typed error has ended it."""
        while self._begun < calls and self._thread.is_alive():
            time.sleep(0.05)

    @property
    def _begun(self) -> int:
        return sum(len(fates.begun) for fates in self.fates.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    async def _call_all(self) -> None:
        loop = asyncio.get_running_loop()
        moment, names = loop.time(), itertools.cycle(self._kinds)
        async with asyncio.TaskGroup() as calls:
            while not self._over.is_set():
                # Those that are late are sent at once: the rate is kept on average, whatever else the machine does.
                while moment <= loop.time():
                    name = next(names)
                    key = f"{name}-{self._begun}"
                    self.fates[name].begun.add(key)
                    calls.create_task(self._call(name, key))
                    moment += self._interval
                await asyncio.sleep(max(0.0, moment - loop.time()))

    async def _call(self, name: str, key: str) -> None:
        fates = self.fates[name]
        try:
            value = await self._kinds[name](key)
        except FlashcoreError as error:
            fates.refused[key] = error
        else:
            assert value == key
            fates.answered.add(key)
