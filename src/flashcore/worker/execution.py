"""One job, from its assignment to its result: in a thread, or on the event loop of user code."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import sys
from collections.abc import Callable, Coroutine
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from flashcore.model.errors import DeadlineExceeded
from flashcore.model.job import Payload
from flashcore.model.names import JobId
from flashcore.wire.messages import Assignment, Chunk, Progress, Result
from flashcore.worker.failure import failure_of, text_of
from flashcore.worker.functions import CallKind, Invocation
from flashcore.worker.gate import StreamGate
from flashcore.worker.job import CURRENT, CurrentJob
from flashcore.worker.plain import encode
from flashcore.worker.reply import JsonReply, Reply

T = TypeVar("T")


class Stopped(Enum):
    """Why a job is not to go on."""

    BY_GATEWAY = "by gateway"
    """Cancelled, or given to somebody else: what comes of it is nobody's any more."""
    BY_TIME = "by time"
    """Its execution timeout is over."""
    BY_DRAIN = "by drain"
    """The replica ends: the job goes back to the queue."""


class Execution:
    """A job that this worker has. Made on the control loop, run elsewhere; `stop` may be called from any thread."""

    def __init__(self, assignment: Assignment, worker_id: str, send: Callable[[Chunk | Progress], None]) -> None:
        self.id: JobId = assignment.id
        self.assignment = assignment
        self.stopped: Stopped | None = None
        self.cancel: Callable[[], object] | None = None
        """Interrupts it where it runs, where that is possible."""
        self.reply: Reply = JsonReply(enveloped=False)
        """The form in which the caller wants to hear of it."""
        self.current = CurrentJob(assignment.id, assignment.attempt, assignment.context, self._report_progress)
        self._worker_id = worker_id
        self._send = send
        self._items = 0
        self.has_spoken = False
        """There are chunks of it, or progress, which are to arrive before its result."""

    def run(self, invocation: Invocation, gate: StreamGate, loop: asyncio.AbstractEventLoop) -> Result:
        """Run it in this thread; `loop` is where awaitables go that a plain function returns. Never raises."""
        token = CURRENT.set(self.current)
        try:
            value = invocation.begin()
            # A decorator may have made a plain function of a generator, or of a coroutine function.
            if inspect.isgenerator(value):
                return self._stream(value, gate)
            if inspect.isasyncgen(value):
                return self._elsewhere(self._stream_async(value, gate), loop)
            if inspect.isawaitable(value):
                value = self._elsewhere(_await(value), loop)
            return self._returned(invocation, value)
        except BaseException as error:  # noqa: BLE001 - a handler that calls sys.exit ends its job, not its replica
            return self._raised(error, invocation.unfit_by(error))
        finally:
            CURRENT.reset(token)

    async def run_async(self, invocation: Invocation, gate: StreamGate) -> Result:
        """Run it as the present task. Never raises."""
        CURRENT.set(self.current)
        try:
            value = invocation.begin()
            if invocation.kind is CallKind.ASYNC_GENERATOR:
                return await self._stream_async(value, gate)
            return self._returned(invocation, await value)
        except BaseException as error:  # noqa: BLE001 - as above; a cancelled job is a result, too
            return self._raised(error, invocation.unfit_by(error))

    def stop(self, why: Stopped, gate: StreamGate) -> None:
        """Have it end as soon as it can: a coroutine at once, a generator at its next item, a plain function never.

        The first reason stands.
        """
        if self.stopped is None:
            self.stopped = why
            gate.wake()
            if self.cancel is not None:
                self.cancel()

    def refused(self, error: Exception, unfit: str | None = None) -> Result:
        """The result of a job whose input means nothing; or nothing to this revision, which takes what `unfit` says."""
        token = CURRENT.set(self.current)
        try:
            return self._raised(error, unfit)
        finally:
            CURRENT.reset(token)

    def unfinished(self) -> Result:
        """The result of a job that did not run to its end."""
        if self.stopped is Stopped.BY_TIME:
            limit = self.assignment.timeout
            late = DeadlineExceeded(f"the call ran for longer than its execution timeout of {limit:g} s")
            return self._failed(text_of(failure_of(late, self._worker_id)))
        return Result(self.id, self.assignment.attempt, released=True)

    def _stream(self, items: Any, gate: StreamGate) -> Result:
        try:
            for item in items:
                chunk = self._chunk(item)
                if not gate.enter(len(chunk.value.data), self._is_stopped):
                    return self.unfinished()
                self._send(chunk)
        finally:
            items.close()
        return self._output(self.reply.items)

    async def _stream_async(self, items: Any, gate: StreamGate) -> Result:
        try:
            async for item in items:
                chunk = self._chunk(item)
                if not await gate.enter_async(len(chunk.value.data), self._is_stopped):
                    return self.unfinished()
                self._send(chunk)
        finally:
            await items.aclose()
        return self._output(self.reply.items)

    def _chunk(self, item: Any) -> Chunk:
        chunk = Chunk(self.id, self.assignment.attempt, self.reply.item(item), self._items)
        self._items += 1
        self.has_spoken = True
        return chunk

    def _report_progress(self, value: Any) -> None:
        self.has_spoken = True
        self._send(Progress(self.id, self.assignment.attempt, Payload(encode(value, "progress"))))

    def _returned(self, invocation: Invocation, value: Any) -> Result:
        problem = invocation.failure_in(value) if invocation.failure_in else None
        return self._output(partial(self.reply.value, value)) if problem is None else self._failed(problem)

    def _elsewhere(self, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
        future = asyncio.run_coroutine_threadsafe(work, loop)
        self.cancel = future.cancel
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise asyncio.CancelledError from error

    def _output(self, encoded: Callable[[], Payload]) -> Result:
        output = encoded()
        if self.stopped is Stopped.BY_TIME:
            return self.unfinished()
        return Result(self.id, self.assignment.attempt, output)

    def _raised(self, error: BaseException, unfit: str | None = None) -> Result:
        if self.stopped is not None and isinstance(error, asyncio.CancelledError):
            return self.unfinished()
        failure = failure_of(error, self._worker_id)
        sys.stderr.write(failure.error_traceback)
        return self._failed(text_of(failure), self.reply.raised(error, failure), unfit)

    def _failed(self, error: str, itself: Payload | None = None, unfit: str | None = None) -> Result:
        return Result(self.id, self.assignment.attempt, itself, error=error, unfit=unfit)

    def _is_stopped(self) -> bool:
        return self.stopped is not None


async def _await(value: Any) -> Any:
    return await value
