"""A queue worker that speaks the wire protocol and runs a handler of the test's: the public twin of a replica.

    async with FakeWorker(layout.worker_socket, worker_hello("hello", revision), answer=lambda job: b'"hi"') as worker:
        ...

It keeps its results until they are received, reconnects, and says what it works on, as a replica does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from flashcore.model.errors import ProtocolError
from flashcore.model.job import Payload
from flashcore.model.names import EndpointName, JobId, ReplicaId, RevisionId, new_instance_id
from flashcore.model.table import ReplicaRoute
from flashcore.wire.frames import FrameDecoder
from flashcore.wire.heads import encode_message
from flashcore.wire.hello import Hello, Identity, Stage, Status
from flashcore.wire.messages import (
    Assignment,
    Beat,
    Chunk,
    Leaving,
    Message,
    Progress,
    Received,
    Refusal,
    Result,
    Results,
    Serves,
    Stop,
    Taken,
    Welcome,
    Work,
    from_frame,
)

Answer: TypeAlias = Callable[[Assignment], "bytes | memoryview | Result | Awaitable[bytes | memoryview | Result]"]
"""Gives a job's output as JSON bytes, or the whole result."""


def worker_hello(
    endpoint: str, revision: str = "r" * 64, *, replica: str | None = None, slots: int = 1, boot_id: str = ""
) -> Hello:
    """The hello of a worker with a fresh instance id."""
    who = Identity(
        EndpointName(endpoint),
        ReplicaId(replica or f"{endpoint}-1"),
        new_instance_id(),
        RevisionId(revision),
        os.getpid(),
        time.time(),
        boot_id,
    )
    return Hello(who, Status(Stage.READY), slots)


def route_of(hello: Hello) -> ReplicaRoute:
    """The route by which a table lists this worker."""
    return ReplicaRoute(hello.identity.replica, hello.identity.instance, None, hello.slots)


class FakeWorker:
    """One worker; connected and welcomed within its `async with`."""

    def __init__(self, path: Path, hello: Hello, answer: Answer, *, beat_every: float = 0.2) -> None:
        self.hello = hello
        self.seen: list[Assignment] = []
        """Every assignment that came, repeated ones too."""
        self.stopped: list[JobId] = []
        self.refusals: list[Refusal] = []
        self.taken: list[Taken] = []
        """What it was told of chunks that are stored."""
        self.unreceived: dict[JobId, Result] = {}
        self.welcomes = 0
        self.leaving = False
        self.takes: Mapping[str, str] = {}
        """What it says of its functions, whenever it is welcomed."""
        self.ignores_stops = False
        """As a plain function does that cannot be interrupted."""
        self._path = path
        self._answer = answer
        self._beat_every = beat_every
        self._writer: asyncio.StreamWriter | None = None
        self._running: dict[JobId, asyncio.Task[Result]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Condition()
        self._awake = asyncio.Event()
        self._awake.set()

    async def __aenter__(self) -> Self:
        """Connect and be welcomed."""
        self.start()
        await self.until(lambda: self.welcomes > 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up without a word."""
        await self.stop()

    def start(self) -> None:
        """Connect, and connect again whenever the connection ends."""
        self._tasks = [asyncio.create_task(self._stay_connected()), asyncio.create_task(self._beat())]

    async def stop(self) -> None:
        """Hang up, for good."""
        self.hang_up()
        if self._running:
            await self.forget()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.hang_up()

    def hang_up(self) -> None:
        """End the connection; the worker comes back."""
        if self._writer is not None:
            self._writer.transport.abort()

    @property
    def unsent(self) -> int:
        """Bytes that the gateway does not take."""
        return 0 if self._writer is None else self._writer.transport.get_write_buffer_size()

    def freeze(self) -> None:
        """Say nothing more, and hear nothing, while the connection stays: as a process that is stopped."""
        self._awake.clear()

    def thaw(self) -> None:
        """Go on."""
        self._awake.set()

    def send(self, message: Message) -> None:
        """Say something; without a connection it is lost."""
        if self._writer is not None and self._awake.is_set():
            self._writer.write(encode_message(message))

    def leave(self) -> None:
        """Take no more jobs."""
        self.leaving = True
        self.send(Leaving())

    def chunk(self, job: Assignment, data: bytes, number: int | None = None) -> None:
        """One item of a stream."""
        self.send(Chunk(job.id, job.attempt, Payload(data), number))

    def progress(self, job: Assignment, data: bytes) -> None:
        """Progress of a job."""
        self.send(Progress(job.id, job.attempt, Payload(data)))

    async def finish(self, job: JobId) -> None:
        """Let go of a job, as if its function had come to its end."""
        self._running[job].cancel()
        await asyncio.wait([self._running[job]])

    async def forget(self) -> None:
        """Drop what runs without a word of it, as no worker should."""
        await asyncio.sleep(0)  # what has just come may not have begun: it begins, then it is dropped
        running, self._running = self._running, {}
        for task in running.values():
            task.remove_done_callback(self._done)
            task.cancel()
        if running:
            await asyncio.wait(running.values())

    async def until(self, true: Callable[[], bool], seconds: float = 60.0) -> None:
        """Return when it is true of this worker; raises TimeoutError."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(true)

    async def _stay_connected(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(str(self._path))
                self._writer = writer
                try:
                    writer.write(encode_message(self.hello))
                    await self._converse(reader)
                finally:
                    self._writer = None
                    writer.close()
            await asyncio.sleep(0.05)

    async def _converse(self, reader: asyncio.StreamReader) -> None:
        decoder = FrameDecoder()
        while data := await reader.read(1 << 18):
            await self._awake.wait()
            if self._writer is None or self._writer.is_closing():
                return  # what came before it hung up was never read
            for frame in decoder.feed(data):
                self._take(from_frame(frame))
            async with self._changed:
                self._changed.notify_all()

    def _take(self, message: Message) -> None:
        match message:
            case Welcome():
                self._welcomed()
            case Refusal():
                self.refusals.append(message)
            case Work(jobs):
                self._begin(jobs)
            case Stop(ids):
                self._interrupt(ids)
            case Received(ids):
                for job in ids:
                    self.unreceived.pop(job, None)
            case Taken():
                self.taken.append(message)
            case _:
                raise ProtocolError(f"a gateway does not send a {type(message).__name__}")

    def _welcomed(self) -> None:
        self.welcomes += 1
        if self.leaving:
            self.send(Leaving())
        if self.takes:
            self.send(Serves(self.takes))
        self.send(Beat(tuple(self._running)))
        if self.unreceived:
            self.send(Results(tuple(self.unreceived.values())))

    def _begin(self, jobs: tuple[Assignment, ...]) -> None:
        self.seen.extend(jobs)
        results = []
        for job in jobs:
            if job.id in self._running or job.id in self.unreceived:
                continue
            answer = self._answer(job)
            if isinstance(answer, bytes | memoryview | Result):
                results.append(_result(job, answer))
            else:
                self._running[job.id] = task = asyncio.create_task(self._finish(job, answer))
                task.add_done_callback(self._done)
        self._report(results)

    async def _finish(self, job: Assignment, answer: Awaitable[bytes | memoryview | Result]) -> Result:
        try:
            return _result(job, await answer)
        except asyncio.CancelledError:
            return Result(job.id, job.attempt, released=True)

    def _done(self, task: asyncio.Task[Result]) -> None:
        result = task.result()
        self._running.pop(result.id, None)
        self._report([result])

    def _report(self, results: list[Result]) -> None:
        if results:
            self.unreceived.update({result.id: result for result in results})
            self.send(Results(tuple(results)))

    def _interrupt(self, ids: tuple[JobId, ...]) -> None:
        self.stopped.extend(ids)
        for job in ids:
            if job in self._running and not self.ignores_stops:
                self._running[job].cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._beat_every)
            self.send(Beat((*self._running, *self.unreceived)))


def _result(job: Assignment, answer: bytes | memoryview | Result) -> Result:
    return answer if isinstance(answer, Result) else Result(job.id, job.attempt, Payload(answer))
