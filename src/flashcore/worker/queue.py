"""The queue worker: takes jobs from the gateway and keeps each result until the gateway has stored it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from flashcore.model.names import JobId
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
    Serves,
    Stop,
    Taken,
    Welcome,
    Work,
)
from flashcore.wire.versions import NUMBERED
from flashcore.worker.execution import Stopped
from flashcore.worker.express import Express
from flashcore.worker.gate import StreamGate
from flashcore.worker.link import GatewayLink
from flashcore.worker.runner import Piece
from flashcore.worker.streaming import Stream

CANCELLED_WITHIN = 1.0
"""Seconds that interrupted coroutines have to clean up at the end of a drain."""

RESULTS_WITHIN = 2.0
"""Seconds, beyond the grace, that the last results may take to be stored."""

BEATS = 3
"""Heartbeats in the time in which the gateway wants one."""


class Runner(Protocol):
    """What does the jobs. All of it belongs to the control loop.

    What jobs produce comes out of `produced`; each assignment ends in exactly one result.
    """

    produced: Callable[[list[Piece]], None]

    @property
    def gate(self) -> StreamGate:
        """What chunks wait at."""
        ...

    @property
    def slots(self) -> int | None:
        """How many jobs it takes at the same time; None: as many as the hello said."""
        ...

    @property
    def takes(self) -> Mapping[str, str]:
        """What can be called here, and with what."""
        ...

    @property
    def ids(self) -> tuple[JobId, ...]:
        """Every job that is here, waiting ones included."""
        ...

    @property
    def waiting(self) -> tuple[JobId, ...]:
        """Jobs that have not begun."""
        ...

    def take(self, assignments: Iterable[Assignment]) -> None:
        """Do these, too; those that are here already are not taken twice."""
        ...

    def stop(self, ids: Iterable[JobId], why: Stopped) -> None:
        """End these jobs as soon as they can be."""
        ...

    def give_up(self) -> list[Result]:
        """The results, as of now, of what does not end; what still comes of it is ignored."""
        ...


class QueueWorker:
    """Between the runner of jobs and the link to the gateway. All of it belongs to the control loop."""

    def __init__(self, runner: Runner, say: Callable[[str], None]) -> None:
        self._runner = runner
        self._say = say
        self._link: GatewayLink | None = None
        self._stream = Stream(runner.gate.left)
        self._protocol = 0
        self._progress: dict[JobId, Progress] = {}
        self._unreceived: dict[JobId, Result] = {}
        self._unsent: list[JobId] = []
        self._heartbeat = 0.0
        self._told_slots: int | None = None
        self._next_beat: asyncio.TimerHandle | None = None
        self._leaving = False
        self._changed = asyncio.Event()
        self.express = Express(self._unreceived)
        runner.produced = self._produced

    async def work(self, link: GatewayLink) -> None:
        """Keep in touch with the gateway and do what it gives, until the link ends."""
        self._link = link
        await link.keep(self._flush)

    async def drain(self, grace: float) -> None:
        """Take nothing new; return when what runs has ended, or was released after `grace` seconds."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + grace
        self._leave()
        await self._until(lambda: not self._runner.ids, deadline)
        if self._runner.ids:
            self._say(f"the grace of {grace:g} s is over; releasing {', '.join(self._runner.ids)}")
            self._runner.stop(self._runner.ids, Stopped.BY_DRAIN)
            await self._until(lambda: not self._runner.ids, clock() + CANCELLED_WITHIN)
            self._produced([*self._runner.give_up()])
        await self._until(lambda: not self._unreceived, max(deadline, clock() + RESULTS_WITHIN))
        if self._unreceived:
            self._say(f"the gateway did not take the results of {', '.join(self._unreceived)}; they will run again")

    def welcomed(self, welcome: Welcome) -> None:
        """A gateway has taken this worker, or has taken it back."""
        self._heartbeat = welcome.heartbeat
        self._protocol = welcome.protocol
        self._stream.begin(numbered=welcome.protocol >= NUMBERED)
        self._unsent = list(self._unreceived)
        if welcome.protocol >= NUMBERED:
            self._send(Serves(self._runner.takes))
        if self._leaving:
            self._send(Leaving())
        self._beat()
        self._flush()
        if not self._leaving and self._link is not None:
            self.express.open(self._link)

    def received(self, message: Message) -> None:
        """Do what the gateway says."""
        match message:
            case Work(jobs):
                self._runner.take(job for job in jobs if job.id not in self._unreceived)
                if self._leaving:
                    self._release_waiting()
            case Stop(ids):
                self._runner.stop(ids, Stopped.BY_GATEWAY)
            case Received(ids):
                for job in ids:
                    self._unreceived.pop(job, None)
                    self._stream.drop(job)
                self.express.arrived()
                self._changed.set()
            case Taken(job, attempt, chunks):
                self._stream.taken(job, attempt, chunks)
            case _:
                self._say(f"the gateway sent a {type(message).__name__}, which is not for workers")

    def dropped(self) -> None:
        """The gateway is gone: streams wait until it is back."""
        self.express.shut()
        self._runner.gate.set_open(value=False)
        if self._next_beat is not None:
            self._next_beat.cancel()

    def _leave(self) -> None:
        self._leaving = True
        self.express.shut()
        self._send(Leaving())
        self._release_waiting()

    def _release_waiting(self) -> None:
        """Jobs that came too late to begin go back at once."""
        self._runner.stop(self._runner.waiting, Stopped.BY_DRAIN)

    def _produced(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            match piece:
                case Chunk():
                    self._stream.add(piece)
                case Progress():
                    self._progress[piece.id] = piece
                case Result():
                    self._unreceived[piece.id] = piece
                    self._unsent.append(piece.id)
        self._changed.set()
        self._flush()

    def _flush(self) -> None:
        """Send what there is while the gateway reads it: a job's chunks and progress before its result."""
        link = self._link
        if link is None or not link.writable:
            self._runner.gate.set_open(value=False)
            return
        if self._room() != self._told_slots:
            self._say_beat()
        while link.writable and (chunk := self._stream.next()) is not None:
            link.send(chunk)
        self._runner.gate.set_open(value=link.writable)
        if self._stream.waits:
            return
        for progress in self._progress.values():
            link.send(progress)
        self._progress.clear()
        if self._unsent:
            link.send(Results(tuple(self._spoken(job) for job in self._unsent if job in self._unreceived)))
            self._unsent.clear()

    def _spoken(self, job: JobId) -> Result:
        """The job's result as the gateway can read it."""
        result = self._unreceived[job]
        return result if result.unfit is None or self._protocol >= NUMBERED else replace(result, unfit=None)

    def _send(self, message: Message) -> None:
        if self._link is not None:
            self._link.send(message)

    def _beat(self) -> None:
        self._say_beat()
        self._next_beat = asyncio.get_running_loop().call_later(self._heartbeat / BEATS, self._beat)

    def _say_beat(self) -> None:
        self._told_slots = self._room()
        self._send(Beat(self._runner.ids, self._told_slots))

    def _room(self) -> int | None:
        """The runner's slots, for a gateway that reads them in a beat."""
        return self._runner.slots if self._protocol >= NUMBERED else None

    async def _until(self, true: Callable[[], bool], deadline: float) -> None:
        """Return when it is true, or at the deadline."""
        try:
            async with asyncio.timeout_at(deadline):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return
