"""A gateway's side of the worker socket, in memory: gives work to real workers and remembers all that they say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from flashcore.model.job import Payload
from flashcore.model.names import JobId
from flashcore.wire.hello import Hello
from flashcore.wire.messages import (
    Assignment,
    Beat,
    Chunk,
    Leaving,
    Message,
    Progress,
    Received,
    Result,
    Results,
    Stop,
    Taken,
    Welcome,
    Work,
)
from flashcore.worker.channel import MessageChannel


@dataclass(slots=True)
class FakeGateway:
    """Listens on `path`. `acknowledges` False means that nothing is ever said to be stored."""

    path: Path
    heartbeat: float = 1.0
    acknowledges: bool = True
    protocol: int | None = None
    """The version that it agrees on; None: the worker's newest."""
    hellos: list[Hello] = field(default_factory=list)
    """One for each time that a worker connected."""
    messages: list[Message] = field(default_factory=list)
    """Everything that workers said after their hello, in order."""
    _channels: list[MessageChannel] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _notices: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Listen; again, too, after `stop`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.get_running_loop().create_unix_server(self._accept, str(self.path))

    async def stop(self) -> None:
        """Hang up and stop listening, as a gateway that dies."""
        if self._server is not None:
            self._server.close()
        for channel in tuple(self._channels):
            channel.abort()
        await self.until(lambda: not self._channels)
        self.path.unlink(missing_ok=True)

    @property
    def connected(self) -> int:
        """How many workers are connected."""
        return len(self._channels)

    async def worker(self) -> Hello:
        """The first worker's newest hello, once it is connected."""
        await self.until(lambda: bool(self._channels))
        return self.hellos[-1]

    def give(
        self,
        input: Mapping[str, Any],  # noqa: A002 - what RunPod and everybody call it
        *,
        timeout: float = 60.0,
        context: Mapping[str, str] | None = None,
        id: str | None = None,  # noqa: A002 - as above
    ) -> JobId:
        """Give a job to the worker that connected last; returns the job's id."""
        job = JobId(id or f"job-{next(self._numbers)}")
        self.give_all([Assignment(job, 1, timeout, Payload(json.dumps(input).encode()), context or {})])
        return job

    def give_all(self, jobs: list[Assignment]) -> None:
        """Give several jobs in one message."""
        self._channels[-1].send(Work(tuple(jobs)))

    def cancel(self, *jobs: JobId) -> None:
        """Tell the worker to stop these jobs."""
        self._channels[-1].send(Stop(jobs))

    def tell(self, message: Message) -> None:
        """Say something else to the worker that connected last."""
        self._channels[-1].send(message)

    async def result(self, job: JobId, within: float = 60.0) -> Result:
        """The first result of a job. Raises TimeoutError."""
        await self.until(lambda: any(result.id == job for result in self.results), within)
        return next(result for result in self.results if result.id == job)

    async def call(self, input: Mapping[str, Any], **options: Any) -> Result:  # noqa: A002 - as above
        """Give a job and wait for its result."""
        return await self.result(self.give(input, **options))

    @property
    def results(self) -> list[Result]:
        """Every result that came, repetitions included."""
        return [result for message in self.messages if isinstance(message, Results) for result in message.results]

    def chunks(self, job: JobId) -> list[Any]:
        """The values that a job has streamed."""
        return [json.loads(bytes(m.value.data)) for m in self.messages if isinstance(m, Chunk) and m.id == job]

    def progress(self, job: JobId) -> list[Any]:
        """The progress that a job has reported."""
        return [json.loads(bytes(m.value.data)) for m in self.messages if isinstance(m, Progress) and m.id == job]

    @property
    def beats(self) -> list[Beat]:
        """Every heartbeat."""
        return [message for message in self.messages if isinstance(message, Beat)]

    @property
    def leaving(self) -> bool:
        """Whether a worker said that it takes no more."""
        return any(isinstance(message, Leaving) for message in self.messages)

    async def until(self, true: Callable[[], bool], within: float = 60.0) -> None:
        """Return when it is true; looked at whenever a worker says something. Raises TimeoutError."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(true)

    def _accept(self) -> MessageChannel:
        channel = MessageChannel(lambda message: self._received(channel, message), lambda _problem: self._lost(channel))
        return channel

    def _received(self, channel: MessageChannel, message: Message) -> None:
        if isinstance(message, Hello):
            self.hellos.append(message)
            self._channels.append(channel)
            channel.send(Welcome(self.protocol or message.identity.protocol.highest, self.heartbeat))
        else:
            self.messages.append(message)
        if isinstance(message, Results) and self.acknowledges:
            channel.send(Received(tuple(result.id for result in message.results)))
        if isinstance(message, Chunk) and message.number is not None and self.acknowledges:
            channel.send(Taken(message.id, message.attempt, message.number + 1))
        self._notice()

    def _lost(self, channel: MessageChannel) -> None:
        if channel in self._channels:
            self._channels.remove(channel)
        self._notice()

    def _notice(self) -> None:
        task = asyncio.get_running_loop().create_task(self._notify())
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
