"""A driver that keeps so many jobs in flight over one link of a gateway's: the counterpart of bench_jobs' HTTP callers.

Each job is an item of its own in a frame, with a key of its own, and has an answer of its own; a frame holds what one
turn of the loop gave. Whoever hears of a job submits the next.
"""

from __future__ import annotations

import asyncio
import time
from typing import cast

from flashcore.model.job import Payload
from flashcore.wire import calls
from flashcore.wire.calls import Answer
from flashcore.wire.frames import FrameDecoder, encode_frame

_OPENING = f"GET {calls.PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: {calls.PROTOCOL}\r\n\r\n"
_WAIT = 60_000


class LinkDriver(asyncio.Protocol):
    """Submits until the time is up, then waits for what is under way."""

    def __init__(self, endpoint: str, payload: bytes, in_flight: int, seconds: float) -> None:
        self.times: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._endpoint = endpoint
        self._input = Payload(payload)
        self._in_flight = in_flight
        self._until = time.perf_counter() + seconds
        self._sent: dict[int, float] = {}
        self._number = 0
        self._run = f"{time.monotonic_ns()}"
        self._decoder = FrameDecoder(calls.LIMITS)
        self._is_open = False
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the link."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(_OPENING.encode())

    def data_received(self, data: bytes) -> None:
        """Note what has ended, and submit as many anew."""
        if not self._is_open:
            head, _, data = data.partition(b"\r\n\r\n")
            if b" 101 " not in head:
                raise SystemExit(f"there is no link: {head!r}")
            self._is_open = True
            self._submit(self._in_flight)
        ended = 0
        for frame in self._decoder.feed(data):
            for one in cast("list[Answer]", calls.read_from_gateway(frame)):
                if not isinstance(one, Answer) or one.document["status"] != "COMPLETED" or one.output is None:
                    raise SystemExit(f"a job did not end well: {one!r}")
                self.times.append(time.perf_counter() - self._sent.pop(one.number))
                ended += 1
        if ended and time.perf_counter() < self._until:
            self._submit(ended)
        elif not self._sent and not self.done.done():
            self.done.set_result(None)

    def _submit(self, count: int) -> None:
        submissions = []
        for _ in range(count):
            self._number = number = self._number + 1
            key = f"{self._run}-{number:09}"  # one after the other, as those of our client are
            submissions.append(calls.Submission(number, self._endpoint, _WAIT, key, self._input, {}))
            self._sent[number] = time.perf_counter()
        if self._transport is not None:
            self._transport.write(encode_frame(calls.submit_frame(submissions)))


async def drive_link(
    port: int, endpoint: str, payload: bytes, in_flight: int, seconds: float
) -> tuple[float, list[float]]:
    """Jobs a second, and how long each took."""
    began = time.perf_counter()
    transport, driver = await asyncio.get_running_loop().create_connection(
        lambda: LinkDriver(endpoint, payload, in_flight, seconds), "127.0.0.1", port
    )
    await driver.done
    took = time.perf_counter() - began
    transport.close()
    return len(driver.times) / took, driver.times
