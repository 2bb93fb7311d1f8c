"""Load that does not wait: requests are sent at a fixed rate, whatever becomes of those before.

A caller who sends the next request when the last one is answered slows down with the server and hides its gaps. Here
each request has its moment. What was offered is compared with what was answered, request by request.

    with OpenLoop(url, rate=300, calls=(Call("/web/quick"), Call("/web/slow", fresh=True))) as load:
        deploy()
    assert load.tally.lost == 0, load.tally
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

PATIENCE = 60.0
"""Seconds that a request may take."""


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request."""

    path: str
    body: bytes | None = None
    """JSON to POST; None is a GET."""
    fresh: bool = False
    """A connection of its own, instead of one that was used before."""


@dataclass(slots=True)
class Tally:
    """What was offered, and what became of it."""

    offered: int = 0
    answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """Requests that were not answered with a 2xx, by what happened instead."""
    bodies: Counter[str] = field(default_factory=Counter)
    """The first 200 characters of what was answered."""

    @property
    def lost(self) -> int:
        """Requests without a good answer."""
        return self.offered - self.answered

    def __str__(self) -> str:
        failed = "".join(f"\n  {count} x {what}" for what, count in self.failures.most_common(10))
        return f"{self.offered} offered, {self.answered} answered, {self.lost} lost{failed}"


class OpenLoop:
    """Sends `rate` requests a second, the kinds of calls in turn, within its `with`; then waits for the answers."""

    def __init__(self, url: str, *, rate: float, calls: Sequence[Call], headers: Sequence[str] = ()) -> None:
        address = urlsplit(url)
        self._address = (address.hostname or "127.0.0.1", address.port or 80)
        self._headers = (f"Host: {address.netloc}", *headers)
        self._interval = 1 / rate
        self._calls = itertools.cycle(calls)
        self._idle: list[_Connection] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._offer()), name="open loop")
        self.tally = Tally()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def wait_for(self, answers: int, within: float = 30.0) -> None:
        """Until so many more were answered. Raises TimeoutError after `within` seconds."""
        wanted, deadline = self.tally.answered + answers, time.monotonic() + within
        while self.tally.answered < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{answers} more answers were not there after {within:g} s: {self.tally}")
            time.sleep(0.02)

    async def _offer(self) -> None:
        loop = asyncio.get_running_loop()
        running: set[asyncio.Task[None]] = set()
        moment = loop.time()
        while not self._over.is_set():
            # Those that are late are sent at once: the rate is kept on average, whatever else the machine does.
            while moment <= loop.time():
                task = loop.create_task(self._send(next(self._calls)))
                running.add(task)
                task.add_done_callback(running.discard)
                moment += self._interval
            await asyncio.sleep(max(0.0, moment - loop.time()))
        await asyncio.gather(*running)
        for connection in self._idle:
            connection.close()

    async def _send(self, call: Call) -> None:
        self.tally.offered += 1
        try:
            async with asyncio.timeout(PATIENCE):
                status, body = await self._exchange(call)
        except (OSError, EOFError, ValueError) as error:
            self.tally.failures[f"{call.path}: {type(error).__name__}: {error}"] += 1
            return
        if 200 <= status < 300:
            self.tally.answered += 1
            self.tally.bodies[body[:200].decode(errors="replace")] += 1
        else:
            self.tally.failures[f"{call.path}: {status} {body[:200]!r}"] += 1

    async def _exchange(self, call: Call) -> tuple[int, bytes]:
        reused = not call.fresh and bool(self._idle)
        connection = self._idle.pop() if reused else await _Connection.open(self._address)
        try:
            answer = await connection.exchange(call, (*self._headers, *(("Connection: close",) if call.fresh else ())))
        except BaseException:
            connection.close()
            raise
        if call.fresh or connection.ended:
            connection.close()
        else:
            self._idle.append(connection)
        return answer


class _Connection:
    """One connection to the server, for one exchange at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.ended = False

    @classmethod
    async def open(cls, address: tuple[str, int]) -> _Connection:
        return cls(*await asyncio.open_connection(*address))

    async def exchange(self, call: Call, headers: Sequence[str]) -> tuple[int, bytes]:
        """Status and body. Raises EOFError when the server hangs up."""
        body = b"" if call.body is None else call.body
        described = ("Content-Type: application/json", f"Content-Length: {len(body)}") if call.body is not None else ()
        method = "GET" if call.body is None else "POST"
        head = "\r\n".join((f"{method} {call.path} HTTP/1.1", *headers, *described, "", ""))
        self._writer.write(head.encode() + body)
        received = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in received[1:-2])}
        self.ended = fields.get("connection", "").lower() == "close"
        return int(received[0].split()[1]), await self._body(fields)

    async def _body(self, fields: dict[str, str]) -> bytes:
        if "content-length" in fields:
            return await self._reader.readexactly(int(fields["content-length"]))
        if fields.get("transfer-encoding") != "chunked":
            self.ended = True
            return await self._reader.read()
        parts = []
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(parts)

    def close(self) -> None:
        self._writer.close()


def json_call(path: str, document: object, *, fresh: bool = False) -> Call:
    """A POST of a JSON document."""
    return Call(path, json.dumps(document).encode(), fresh)
