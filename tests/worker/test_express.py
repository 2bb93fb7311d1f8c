"""A lone job's result on its way past the control loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flashcore.model.names import JobId, WorkerId
from flashcore.testing.fake_gateway import FakeGateway
from flashcore.testing.fake_worker import worker_hello
from flashcore.wire.messages import Beat, Progress, Results
from flashcore.worker.call import HandlerCallables
from flashcore.worker.channel import MessageChannel
from flashcore.worker.job import current_job
from flashcore.worker.link import GatewayLink
from flashcore.worker.logs import LogFile, Output
from flashcore.worker.loop_thread import LoopThread
from flashcore.worker.main_loop import MainLoop
from flashcore.worker.queue import QueueWorker
from flashcore.worker.runner import JobRunner

MORE_THAN_HAS_ROOM = 4 << 20


@contextmanager
def a_loop_that_stands_still(threads: LoopThread) -> Iterator[None]:
    """Nothing is done on that loop within the block."""
    is_still, may_go_on = threading.Event(), threading.Event()

    def stand() -> None:
        is_still.set()
        may_go_on.wait(30)

    threads.call(stand)
    assert is_still.wait(30)
    try:
        yield
    finally:
        may_go_on.set()


class Function:
    """User code that a test holds back."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, job: Mapping[str, Any]) -> Any:
        """Give the input back, once it may."""
        if "progress" in job["input"]:
            current_job().progress(job["input"]["progress"])
        self.has_begun.set()
        self.may_end.wait(30)
        return job["input"]


class Bench:
    """A queue worker in this process, and its gateway."""

    def __init__(self, gateway: FakeGateway, function: Function, slots: int) -> None:
        self.gateway = gateway
        self.function = function
        self.threads = LoopThread("control")
        main = MainLoop(lambda _: None)
        main.loop.close()  # no coroutine is run here
        output = Output(LogFile(None, 0))
        runner = JobRunner(HandlerCallables(function), slots, WorkerId("hello-1/life-1"), self.threads, main, output)
        self.worker = QueueWorker(runner, lambda _: None)
        runner.hurry_by(self.worker.express)
        hello = worker_hello("hello", slots=slots)
        self.link = GatewayLink(gateway.path, lambda: hello, self.worker, lambda _: None)
        self.work = asyncio.run_coroutine_threadsafe(self.worker.work(self.link), self.threads.loop)

    async def begun(self, **job: str) -> JobId:
        """A job with this input that has begun."""
        given = self.gateway.give(job)
        assert await asyncio.to_thread(self.function.has_begun.wait, 30)
        return given

    async def close(self) -> None:
        """End what runs."""
        self.function.may_end.set()
        self.threads.call(self.link.end)
        await asyncio.wrap_future(self.work)
        await asyncio.to_thread(self.threads.end)
        await self.gateway.stop()


@asynccontextmanager
async def standing(folder: Path, slots: int = 4) -> AsyncIterator[Bench]:
    """A worker that a gateway has welcomed."""
    gateway = FakeGateway(folder / "gateway", heartbeat=60.0)
    await gateway.start()
    bench = Bench(gateway, Function(), slots)
    try:
        await gateway.until(lambda: any(isinstance(message, Beat) for message in gateway.messages))
        yield bench
    finally:
        await bench.close()


async def test_the_result_of_a_lone_job_needs_no_turn_of_the_control_loop(tmp_path: Path) -> None:
    """To wake its thread would be a part of each call."""
    async with standing(tmp_path) as bench:
        job = await bench.begun(say="hello")
        with a_loop_that_stands_still(bench.threads):
            bench.function.may_end.set()
            result = await bench.gateway.result(job)

    assert result.output is not None
    assert bytes(result.output.data) == b'{"say":"hello"}'


async def test_progress_arrives_before_the_result(tmp_path: Path) -> None:
    """The result of a job that has spoken goes the way that its words went."""
    async with standing(tmp_path) as bench:
        job = await bench.begun(progress="half")
        bench.function.may_end.set()
        await bench.gateway.result(job)

    assert [type(m) for m in bench.gateway.messages if isinstance(m, Progress | Results)] == [Progress, Results]


async def test_a_job_whose_result_went_ahead_has_ended(tmp_path: Path) -> None:
    """No heartbeat names it, and who drains does not wait for it."""
    async with standing(tmp_path) as bench:
        job = await bench.begun(say="hello")
        bench.function.may_end.set()
        await bench.gateway.result(job)
        drained = asyncio.run_coroutine_threadsafe(bench.worker.drain(600.0), bench.threads.loop)
        async with asyncio.timeout(30):
            await asyncio.wrap_future(drained)

    assert len(bench.gateway.results) == 1


async def test_a_job_that_ends_within_a_drain_ends_it(tmp_path: Path) -> None:
    """Also when the loop is asked for the drain and has not heard of the end yet."""
    async with standing(tmp_path) as bench:
        await bench.begun(say="hello")
        with a_loop_that_stands_still(bench.threads):
            drained = asyncio.run_coroutine_threadsafe(bench.worker.drain(600.0), bench.threads.loop)
            bench.function.may_end.set()
        async with asyncio.timeout(30):
            await asyncio.wrap_future(drained)

    assert len(bench.gateway.results) == 1


async def test_the_next_job_begins_when_the_slot_is_free(tmp_path: Path) -> None:
    """Whichever of the two is quicker: the receipt with the next job, or the note that the slot is free."""
    async with standing(tmp_path, slots=1) as bench:
        bench.function.may_end.set()
        jobs = [bench.gateway.give({"say": str(number)}) for number in range(100)]
        for job in jobs:
            await bench.gateway.result(job)
        for number in range(100):
            await bench.gateway.call({"say": str(number)})

    assert len(bench.gateway.results) == 200


async def test_a_result_that_was_sent_and_not_received_is_sent_again(tmp_path: Path) -> None:
    """The gateway may have died with it."""
    async with standing(tmp_path) as bench:
        bench.gateway.acknowledges = False
        job = await bench.begun(say="hello")
        with a_loop_that_stands_still(bench.threads):
            bench.function.may_end.set()
            await bench.gateway.result(job)
        await bench.gateway.stop()
        bench.gateway.acknowledges = True
        await bench.gateway.start()
        await bench.gateway.until(lambda: len(bench.gateway.results) == 2)

    assert {result.id for result in bench.gateway.results} == {job}


async def test_a_result_without_a_gateway_waits_for_one(tmp_path: Path) -> None:
    """There is nobody to send it to, so the loop keeps it."""
    async with standing(tmp_path) as bench:
        job = await bench.begun(say="hello")
        await bench.gateway.stop()
        bench.function.may_end.set()
        await bench.gateway.start()
        await bench.gateway.result(job)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[MessageChannel, socket.socket]]:
    """A channel and the other end of its connection."""
    ours, theirs = socket.socketpair()
    is_lost = asyncio.Event()
    channel = MessageChannel(lambda _: None, lambda _: is_lost.set())
    theirs.setblocking(False)
    with theirs:
        await asyncio.get_running_loop().create_connection(lambda: channel, sock=ours)
        yield channel, theirs
        channel.abort()
        await is_lost.wait()


async def read(sock: socket.socket, size: int) -> bytes:
    """So many bytes."""
    data = b""
    while len(data) < size:
        data += await asyncio.get_running_loop().sock_recv(sock, 1 << 20)
    return data


async def test_what_has_no_room_at_once_follows_in_its_place() -> None:
    """Neither the loop nor another thread gets between the two halves of a frame."""
    async with connected() as (channel, other):
        large = bytes(range(256)) * (MORE_THAN_HAS_ROOM // 256)

        assert await asyncio.to_thread(channel.send_now, large)
        assert not channel.send_now(b"not now")
        channel.send_bytes(b"then this")

        assert await read(other, len(large) + 9) == large + b"then this"


async def test_what_was_begun_at_once_is_sent_before_the_end() -> None:
    """Closing waits for the second half of a frame as for all that was queued."""
    async with connected() as (channel, other):
        large = bytes(range(256)) * (MORE_THAN_HAS_ROOM // 256)

        assert channel.send_now(large)
        channel.close()

        assert await read(other, len(large)) == large


async def test_nothing_overtakes_what_is_queued() -> None:
    """The loop has begun to send something and is not done."""
    async with connected() as (channel, other):
        channel.send_bytes(bytes(MORE_THAN_HAS_ROOM))

        assert not await asyncio.to_thread(channel.send_now, b"me first")

        assert await read(other, MORE_THAN_HAS_ROOM) == bytes(MORE_THAN_HAS_ROOM)
        channel.send_bytes(b"and on")
        assert channel.send_now(b"and on")


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_nothing_is_sent_at_once_on_a_connection_that_ends(end: str) -> None:
    """Its socket's number may be another one's soon."""
    async with connected() as (channel, _):
        getattr(channel, end)()

        assert not await asyncio.to_thread(channel.send_now, b"too late")
