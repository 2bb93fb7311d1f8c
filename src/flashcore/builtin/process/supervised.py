"""One replica from the wish to its end: what is in the way, its process, what it says, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any, TypeVar

from flashcore.builtin.process.ending import ChildProcess, OtherProcess, RunningProcess
from flashcore.builtin.process.families import own_environment, why_spawned
from flashcore.builtin.process.launch import Launch
from flashcore.builtin.process.link import ReplicaLink
from flashcore.builtin.process.obituary import obituary
from flashcore.builtin.process.places import ReplicaPlaces
from flashcore.builtin.process.ready_pipe import ReadyPipe
from flashcore.builtin.process.spawn import Start, prepare_places, spawn
from flashcore.builtin.process.strays import kill_strays
from flashcore.builtin.process.tail import last_lines
from flashcore.builtin.process.tasks import beside, first_of
from flashcore.builtin.process.warm_parent import NotWarm
from flashcore.builtin.process.workshop import Full, Obstacle, Workshop
from flashcore.hookspecs.providers import Gone, Hints, Instance, InstanceState, Pending, Running, Stopping
from flashcore.model.errors import IncompatiblePeer
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.revision import Revision
from flashcore.wire.hello import Stage, Status
from flashcore.worker.record import read_record
from flashcore.worker.warm_words import Fork

log = logging.getLogger(__name__)

T = TypeVar("T")

Listening = Callable[[], Awaitable[bool]]
"""Waits until a process listens; False if it never will."""

KILL_MARGIN = 2.0
"""Seconds beyond its grace that a replica has to release what it did not finish."""

DRAIN_FIRST = 0.2
"""Seconds between a drain message, which brings its own grace, and the signal that user code may listen to."""

RETRIES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until a start that failed is tried again."""

LOG_TAIL = 50
"""Lines of output that are told of a replica that ended."""


class SupervisedReplica:
    """Belongs to one event loop. Begun once, with `start` or `adopt`."""

    def __init__(self, endpoint: EndpointName, replica: ReplicaId, revision: RevisionId, workshop: Workshop) -> None:
        self.id = replica
        self.revision = revision
        self.places = ReplicaPlaces(workshop.layout, replica)
        self._endpoint = endpoint
        self._workshop = workshop
        self._state: InstanceState = Pending("it is being started")
        self._grace = 0.0
        self._stop_asked = asyncio.Event()
        self._heard: Status | None = None
        self._met = asyncio.Event()
        self._link: ReplicaLink | None = None
        self._problem = ""
        self._permanent = False
        self._task: asyncio.Task[None] | None = None

    @property
    def instance(self) -> Instance:
        """What the provider tells of it."""
        return Instance(self._endpoint, self.id, self.revision, self._state)

    @property
    def pid(self) -> int | None:
        """Its process, while it can be heard."""
        link = self._link
        return link.identity.pid if link is not None and link.connected and link.identity is not None else None

    @property
    def over(self) -> bool:
        """Whether nothing is left of it."""
        return self._task is not None and self._task.done()

    def start(self, revision: Revision, hints: Hints) -> None:
        """Begin: start the process as soon as it can be."""
        self._begin(self._from_the_start(revision, hints))

    def adopt(self, launch: Launch, process: RunningProcess, hello_within: float) -> None:
        """Begin with a process that an earlier control plane started."""
        self._begin(self._live(launch, process, _at_once, hello_within))

    def stop(self, grace: float) -> None:
        """It is no longer wanted: let it finish within `grace` seconds. The first word stands."""
        if not self._stop_asked.is_set():
            self._grace = grace
            self._stop_asked.set()

    async def heard(self) -> None:
        """Return when it has been heard for the first time, or is over."""
        await first_of(self._met.wait(), self.wait())

    async def wait(self) -> None:
        """Return when nothing is left of it."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def let_go(self) -> None:
        """Stop looking after it; its process goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _begin(self, life: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._lived(life), name=f"replica {self.id}")

    async def _lived(self, life: Coroutine[Any, Any, None]) -> None:
        try:
            await life
        except Exception as error:
            log.exception("replica %s cannot be looked after", self.id)
            self._set(Gone(f"the provider failed: {type(error).__name__}: {error}"))
        finally:
            self._workshop.give_back(self.id)
            self._workshop.changed()

    async def _from_the_start(self, revision: Revision, hints: Hints) -> None:
        for attempt in count():
            try:
                launch, process, listening = await self._attempt(revision, hints)
            except Obstacle as obstacle:
                if obstacle.permanent:
                    self._set(Gone(obstacle.reason, permanent=True, log_tail=obstacle.output[-LOG_TAIL:]))
                    return
                await self._wait_after(obstacle, RETRIES[min(attempt, len(RETRIES) - 1)])
                if self._stop_asked.is_set():
                    return
            else:
                await self._live(launch, process, listening, self._workshop.options.hello_within)
                return

    async def _attempt(self, revision: Revision, hints: Hints) -> tuple[Launch, RunningProcess, Listening]:
        code, python = await self._unless_stopped(self._workshop.python_for(revision, self._is_pending))
        if self._stop_asked.is_set():
            raise Obstacle("it is no longer wanted")
        start = self._workshop.reserve(self.id, revision, code, python, hints)
        try:
            return start.launch, *await self._start_process(start)
        except OSError as error:
            self._workshop.give_back(self.id)
            raise Obstacle(f"the process cannot be started: {error}") from error
        except Obstacle:
            self._workshop.give_back(self.id)
            raise

    async def _start_process(self, start: Start) -> tuple[RunningProcess, Listening]:
        reason = why_spawned(start, self._workshop.options)
        if reason is None:
            try:
                return await self._fork(start)
            except NotWarm as error:
                reason = error.reason
        log.info("replica %s is not forked: %s", self.id, reason)
        return await self._spawn(start, f"this replica imports its code itself: {reason}")

    async def _fork(self, start: Start) -> tuple[OtherProcess, Listening]:
        families = self._workshop.families
        if not families.is_warm(start):
            now = self._workshop.clock.now()
            self._set(Running(start.launch.instance, Stage.LOADING, now, "its code is being imported"))
        parent = await self._unless_stopped(families.parent_for(start, self.places))
        await asyncio.to_thread(prepare_places, start, self.places)
        ready = ReadyPipe()
        try:
            word = Fork(own_environment(start, self.places), str(self.places.work))
            return await parent.fork(word, ready.writing), ready.wait
        except NotWarm:
            ready.close()
            # It may have been forked all the same, by a parent that could not tell any more: one instance runs once.
            await asyncio.to_thread(kill_strays, "FLASHCORE_INSTANCE", start.launch.instance)
            raise
        except BaseException:
            ready.close()
            raise
        finally:
            ready.close_writing()

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that may be cancelled. Raises Obstacle when the replica is no longer wanted meanwhile."""
        task = asyncio.get_running_loop().create_task(work)
        try:
            await first_of(self._stop_asked.wait(), asyncio.wait([task]))
        finally:
            task.cancel()
            await asyncio.wait([task])
        if task.cancelled():
            raise Obstacle("it is no longer wanted")
        return task.result()

    def _is_pending(self, reason: str) -> None:
        self._set(Pending(reason))

    async def _spawn(self, start: Start, remark: str) -> tuple[ChildProcess, Listening]:
        ready = ReadyPipe()
        spawning = asyncio.ensure_future(asyncio.to_thread(spawn, start, self.places, ready.writing, remark))
        try:
            return ChildProcess(await asyncio.shield(spawning)), ready.wait
        except asyncio.CancelledError:
            ready.close()
            with contextlib.suppress(OSError):  # then nothing was started
                # The thread goes on: the process that it starts is found again by its record.
                ChildProcess(await spawning).let_go()
            raise
        except OSError:
            ready.close()
            raise
        finally:
            ready.close_writing()

    async def _wait_after(self, obstacle: Obstacle, seconds: float) -> None:
        """Until it is worth trying again, or not wanted any more."""
        if isinstance(obstacle, Full):
            self._set(Pending(obstacle.reason))
            await first_of(self._stop_asked.wait(), self._workshop.something_freed())
        else:
            retry_at = self._workshop.clock.now() + seconds
            self._set(Pending(obstacle.reason, retry_at))
            await first_of(self._stop_asked.wait(), self._workshop.clock.sleep_until(retry_at))

    async def _live(self, launch: Launch, process: RunningProcess, listening: Listening, hello_within: float) -> None:
        link = self._link = ReplicaLink(self.places.control_socket, self.id, launch.instance, self._told)
        try:
            async with beside(
                self._talk(link, listening),
                self._expect_hello(process, link, hello_within),
                self._see_to_its_end(process, link),
            ):
                status = await process.ended()
        except asyncio.CancelledError:
            process.let_go()
            raise
        except BaseException:
            # It is told to be gone: nobody would look after it any more. It may not lead its group yet.
            process.signal(signal.SIGKILL)
            process.kill_group()
            process.let_go()
            raise
        await self._bury(launch, status)

    async def _talk(self, link: ReplicaLink, listening: Listening) -> None:
        if await listening():
            await link.keep()

    async def _expect_hello(self, process: RunningProcess, link: ReplicaLink, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                await link.heard.wait()
        except TimeoutError:
            self._problem = f"it did not say who it is within {within:g} s"
        if link.refusal is not None:
            self._problem = link.refusal.message
            self._permanent = isinstance(link.refusal, IncompatiblePeer)
        self._met.set()
        if self._problem:
            process.kill_group()

    async def _see_to_its_end(self, process: RunningProcess, link: ReplicaLink) -> None:
        await self._stop_asked.wait()
        self._set(Stopping(self._workshop.clock.now()))
        draining = self._heard is not None and self._heard.stage is Stage.DRAINING
        link.drain(self._grace)
        if link.connected:
            await asyncio.sleep(DRAIN_FIRST)
        if not draining:  # a second signal would be an order to end at once
            process.signal(signal.SIGTERM)
        await asyncio.sleep(self._grace + KILL_MARGIN)
        log.warning("replica %s did not end within %.0f s and is killed", self.id, self._grace + KILL_MARGIN)
        process.kill_group()

    async def _bury(self, launch: Launch, status: int | None) -> None:
        strays = await asyncio.to_thread(kill_strays, "FLASHCORE_INSTANCE", launch.instance)
        if strays:
            log.warning("replica %s left processes running: killed %s", self.id, strays)
        for path in (self.places.control_socket, self.places.http_socket):
            path.unlink(missing_ok=True)
        record = read_record(self.places.record)
        written = record.status if record is not None and record.identity.instance == launch.instance else None
        last = written if written is not None and written.stage is Stage.FAILED else self._heard
        self._set(
            Gone(
                obituary(status, last, self._problem),
                permanent=self._permanent,
                exit_code=status,
                log_tail=await asyncio.to_thread(last_lines, self.places.log, LOG_TAIL),
            )
        )

    def _told(self, status: Status | None, connected: bool) -> None:  # noqa: FBT001 - the link's callback
        self._heard = status or self._heard
        link, heard = self._link, self._heard
        if link is None or link.identity is None or heard is None or isinstance(self._state, Stopping):
            return
        since = self._state.since if isinstance(self._state, Running) else self._since(link.identity.started_at)
        instance = link.identity.instance
        self._set(Running(instance, heard.stage, since, heard.detail, heard.address, connected))

    def _since(self, started_at: float) -> float:
        """When it began to run, by the store's clock; an adopted one has been running for a while."""
        return min(self._workshop.clock.now(), started_at)

    def _set(self, state: InstanceState) -> None:
        if state != self._state:
            self._state = state
            self._workshop.changed()


async def _at_once() -> bool:
    return True
