"""A queue with nothing to it: frames, one transaction for each turn of the loop, and no more. The limit of such queues.

It has no ids, keys, leases, attempts, retries, limits, tokens, counts or HTTP; a job that its worker does not finish is
lost. What is left is what no queue of this kind can do without: a job crosses two sockets twice, and is synced to disk
before the worker hears of it, its result before the driver does. All of it is in one process, on the event loop that
ours is on.

    python bare_broker.py serve FOLDER | work FOLDER | drive FOLDER
"""

from __future__ import annotations

import asyncio
import json
import marshal
import sqlite3
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias, cast

import uvloop

PAYLOAD = b"x" * 1024
_LENGTH = struct.Struct("<I")

Items: TypeAlias = list[tuple[int, bytes]]
"""Jobs or results, by number."""


class Peer(asyncio.Protocol):
    """A connection that carries lists of items, each after its length in bytes."""

    def __init__(self, came: Callable[[Peer, Items], None]) -> None:
        self._came = came
        self._rest = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        data = self._rest + data if self._rest else data
        at = 0
        while len(data) >= at + _LENGTH.size:
            end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
            if len(data) < end:
                break
            self._came(self, marshal.loads(data[at + _LENGTH.size : end]))  # noqa: S302 - from a process of this benchmark
            at = end
        self._rest = data[at:]

    def send(self, items: Items) -> None:
        """Send a list."""
        if self._transport is not None:
            data = marshal.dumps(items)
            self._transport.write(_LENGTH.pack(len(data)) + data)


class Broker:
    """One driver, one worker, and a table in between."""

    def __init__(self, path: Path) -> None:
        self._jobs: Items = []
        self._results: Items = []
        self._unsent: Items = []
        """On disk; there are some while the worker starts."""
        self._driver: Peer | None = None
        self._worker: Peer | None = None
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = full")
        self._connection.execute("create table job (n integer primary key, input blob, output blob)")

    def submitted(self, driver: Peer, jobs: Items) -> None:
        """From the driver."""
        self._driver = driver
        self._plan()
        self._jobs += jobs

    def finished(self, worker: Peer, results: Items) -> None:
        """From the worker; the first time, that it is there."""
        self._worker = worker
        self._plan()
        self._results += results

    def _plan(self) -> None:
        if not (self._jobs or self._results):
            asyncio.get_running_loop().call_soon(self._commit)

    def _commit(self) -> None:
        jobs, self._jobs = self._jobs, []
        results, self._results = self._results, []
        if not (jobs or results or self._unsent):
            return
        self._connection.execute("begin")
        self._connection.executemany("insert into job (n, input) values (?, ?)", jobs)
        self._connection.executemany("update job set output = ? where n = ?", ((output, n) for n, output in results))
        self._connection.execute("commit")
        self._unsent += jobs
        if self._unsent and self._worker is not None:
            self._worker.send(self._unsent)
            self._unsent = []
        if results and self._driver is not None:
            self._driver.send(results)


async def serve(folder: Path) -> None:
    """Until it is killed."""
    broker = Broker(folder / "jobs.db")
    loop = asyncio.get_running_loop()
    await loop.create_unix_server(partial(Peer, broker.finished), str(folder / "worker.sock"))
    await loop.create_unix_server(partial(Peer, broker.submitted), str(folder / "driver.sock"))
    await loop.create_future()


async def work(folder: Path) -> None:
    """Give each job's input back at once."""
    _, worker = await _connect(folder / "worker.sock", Peer.send)
    worker.send([])
    await asyncio.get_running_loop().create_future()


class Driving:
    """One order: whoever hears of a result submits the next job."""

    def __init__(self, driver: Peer, first: int, seconds: float) -> None:
        self.times: list[float] = []
        self.next = first
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._driver = driver
        self._until = time.perf_counter() + seconds
        self._sent: dict[int, float] = {}

    def submit(self, count: int) -> None:
        """So many more jobs."""
        numbers = range(self.next, self.next + count)
        self.next += count
        self._sent.update(dict.fromkeys(numbers, time.perf_counter()))
        self._driver.send([(n, PAYLOAD) for n in numbers])

    def hear(self, _: Peer, results: Items) -> None:
        """Some have ended."""
        now = time.perf_counter()
        self.times += [now - self._sent.pop(n) for n, _ in results]
        if now < self._until:
            self.submit(len(results))
        elif not self._sent and not self.done.done():
            self.done.set_result(None)


async def drive(folder: Path) -> None:
    """Follow orders, as `peers/driving.py` has it."""
    orders: list[Driving] = []

    def came(peer: Peer, results: Items) -> None:
        orders[-1].hear(peer, results)

    _, driver = await _connect(folder / "driver.sock", came)
    loop = asyncio.get_running_loop()
    print("{}", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        began = time.perf_counter()
        driving = Driving(driver, orders[-1].next if orders else 1, order["seconds"])
        orders.append(driving)
        driving.submit(order["in_flight"])
        await driving.done
        print(json.dumps({"took": time.perf_counter() - began, "times": driving.times}), flush=True)


async def _connect(path: Path, came: Callable[[Peer, Items], None]) -> tuple[asyncio.BaseTransport, Peer]:
    """Once somebody listens there."""
    until = time.monotonic() + 20
    while True:
        try:
            return await asyncio.get_running_loop().create_unix_connection(partial(Peer, came), str(path))
        except OSError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    uvloop.run({"serve": serve, "work": work, "drive": drive}[sys.argv[1]](Path(sys.argv[2])))
