"""Runs jobs: never more at a time than there are slots, each where its kind belongs, until it ends or is stopped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from flashcore.model.errors import NotFound, UsageError
from flashcore.model.names import JobId, WorkerId
from flashcore.wire.messages import Assignment, Chunk, Progress, Result
from flashcore.wire.sealed import SealedCall
from flashcore.worker.call import Callables
from flashcore.worker.deadlines import Deadlines
from flashcore.worker.execution import Execution, Stopped
from flashcore.worker.express import Express
from flashcore.worker.functions import Invocation
from flashcore.worker.gate import StreamGate
from flashcore.worker.logs import Output
from flashcore.worker.loop_thread import LoopThread
from flashcore.worker.main_loop import MainLoop
from flashcore.worker.opening import Opener
from flashcore.worker.pool import ThreadPool
from flashcore.worker.reply import JsonReply, SealedReply

TIMEOUT_SLACK = 0.5
"""Seconds after a job's timeout before the worker ends it itself: the gateway's clock comes first, it knows more."""

STUCK_AFTER = 10.0
"""Seconds beyond its timeout that a job may take to end, before the replica whose slot it holds is given up."""

Piece = Chunk | Progress | Result


class JobRunner:
    """Its state belongs to the control loop. What jobs produce comes out of `produced`, called on that loop in batches.

    The result of a job that is alone may go by `Express` instead.

    Each assignment ends in exactly one result, when its slot is free again: a plain function that was stopped keeps
    its slot until it returns. One that does not return is `stuck`: its slot is lost, and soon all of them would be.
    """

    def __init__(
        self,
        callables: Callables,
        slots: int,
        worker_id: WorkerId,
        threads: LoopThread,
        main: MainLoop,
        output: Output,
    ) -> None:
        self.gate = StreamGate()
        self.produced: Callable[[list[Piece]], None] = lambda _pieces: None
        self.stuck: Callable[[str], None] = lambda _reason: None
        """Told that a job does not end, by the control loop, once for each; it is not waited for any longer."""
        self.opener = Opener("", None)
        """Reads the jobs' inputs; sealed ones only where it is one with a key."""
        self._callables = callables
        self._slots = slots
        self._worker_id = worker_id
        self._threads = threads
        self._main = main
        self._output = output
        self._pool = ThreadPool(slots)
        self._waiting: deque[Execution] = deque()
        self._running: dict[JobId, Execution] = {}
        self._stuck: set[JobId] = set()
        self._on_loop: dict[JobId, str] = {}
        self._deadlines = Deadlines(self._end_late)
        self._pieces: deque[Piece] = deque()
        self._collecting = False
        self._express: Express | None = None
        self._said: deque[JobId] = deque()
        """Jobs that have ended and whose results are on their way, of which this loop has not heard yet."""

    def hurry_by(self, express: Express) -> None:
        """Let the result of a job that is alone go this way."""
        self._express = express
        express.arrived = self._settle

    @property
    def takes(self) -> Mapping[str, str]:
        """What can be called here, and with what."""
        return self._callables.takes

    @property
    def slots(self) -> None:
        """As the hello said."""
        return None

    @property
    def ids(self) -> tuple[JobId, ...]:
        """Every job that is here, waiting ones included, but for those that are stuck."""
        self._settle()
        return (*(job for job in self._running if job not in self._stuck), *self.waiting)

    @property
    def waiting(self) -> tuple[JobId, ...]:
        """Jobs for which there has been no free slot yet."""
        return tuple(execution.id for execution in self._waiting)

    def on_main_loop(self) -> str:
        """What runs on the main loop now, for people; empty when nothing does."""
        self._settle()
        return ", ".join(f"{label} (job {job})" for job, label in self._on_loop.items())

    def take(self, assignments: Iterable[Assignment]) -> None:
        """Run them as slots become free; those that are here already are not taken twice."""
        self._settle()
        here = {*self._running, *self.waiting}
        self._waiting += [Execution(a, self._worker_id, self._produce) for a in assignments if a.id not in here]
        self._start_waiting()

    def stop(self, ids: Iterable[JobId], why: Stopped) -> None:
        """End these jobs as soon as they can be."""
        self._settle()
        wanted = set(ids)
        for execution in [waiting for waiting in self._waiting if waiting.id in wanted]:
            self._waiting.remove(execution)
            self._running[execution.id] = execution  # as if it had begun, so that its result counts
            execution.stop(why, self.gate)
            self._produce(execution.unfinished())
        for job in wanted & self._running.keys():
            self._running[job].stop(why, self.gate)  # the first reason stands

    def _end_late(self, late: Collection[JobId]) -> None:
        self.stop(late, Stopped.BY_TIME)
        left = [self._running[job] for job in late if job in self._running]
        asyncio.get_running_loop().call_later(STUCK_AFTER, self._look_at_late, left)

    def _look_at_late(self, late: list[Execution]) -> None:
        self._settle()
        for execution in late:
            if self._running.get(execution.id) is execution:
                self._stuck.add(execution.id)
                past = f"{STUCK_AFTER:g} s past its execution timeout"
                self.stuck(f"job {execution.id} still runs, {past}, and cannot be interrupted")
        self.produced([])  # who waits for the last one need not wait for these

    def give_up(self) -> list[Result]:
        """The results, as of now, of what does not end; what still comes of it is ignored."""
        self._settle()
        left, self._running = self._running, {}
        return [execution.unfinished() for execution in left.values()]

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._slots:
            execution = self._waiting.popleft()
            self._running[execution.id] = execution
            try:
                value = self.opener.input(execution.assignment.input, execution.id)
                if isinstance(value, SealedCall):
                    execution.reply = SealedReply(value)
                invocation = self._callables.invocation_for(execution.id, value)
                if not isinstance(value, SealedCall):
                    execution.reply = JsonReply(enveloped=invocation.enveloped)
            except (NotFound, UsageError) as error:  # another revision may have what it asks for
                self._produce(execution.refused(error, ", ".join(self.takes.values()) or "jobs in JSON"))
            except Exception as error:  # noqa: BLE001 - the caller's input, which may be wrong in any way
                self._produce(execution.refused(error))
            else:
                self._start(execution, invocation)

    def _start(self, execution: Execution, invocation: Invocation) -> None:
        self._deadlines.set(execution.id, max(0.0, execution.assignment.timeout) + TIMEOUT_SLACK)
        if invocation.kind.on_loop:
            self._on_loop[execution.id] = invocation.label
            self._main.spawn(self._run_async(execution, invocation), partial(self._started, execution))
        else:
            self._pool.submit(lambda: self._run(execution, invocation))

    def _run(self, execution: Execution, invocation: Invocation) -> None:
        """In a thread of the pool."""
        result = execution.run(invocation, self.gate, self._main.loop)
        self._output.finish(execution.current)
        self._end(execution, result)

    async def _run_async(self, execution: Execution, invocation: Invocation) -> None:
        """On the main loop."""
        result = await execution.run_async(invocation, self.gate)
        self._output.finish(execution.current)
        self._end(execution, result)

    def _started(self, execution: Execution, task: asyncio.Task[None]) -> None:
        """On the main loop, before the task's first step."""
        execution.cancel = lambda: self._main.loop.call_soon_threadsafe(task.cancel)
        task.add_done_callback(partial(self._never_began, execution))
        if execution.stopped is not None:
            task.cancel()

    def _never_began(self, execution: Execution, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._produce(execution.unfinished())

    def _end(self, execution: Execution, result: Result) -> None:
        """From any thread: hand over a job's result, or send it from here where there is nothing else to do."""
        express = self._express
        is_alone = len(self._running) == 1 and not self._waiting and not execution.has_spoken
        if express is None or not is_alone or not express.take(result):
            self._produce(result)
            return
        self._said.append(result.id)
        if self._waiting or not express.is_open:
            # Somebody waits for its slot, or for its end, and may have looked before it was noted.
            self._threads.call(self._collect)

    def _produce(self, piece: Piece) -> None:
        """From any thread: hand over a chunk, some progress, or a result."""
        self._pieces.append(piece)
        if not self._collecting:
            self._collecting = True
            self._threads.call(self._collect)

    def _collect(self) -> None:
        self._collecting = False
        self._settle()
        pieces: list[Piece] = []
        while self._pieces:
            piece = self._pieces.popleft()
            if not isinstance(piece, Result) or self._forget(piece.id):
                pieces.append(piece)
        self.produced(pieces)
        self._start_waiting()

    def _settle(self) -> None:
        """Let go of jobs whose results went ahead."""
        while self._said:
            self._forget(self._said.popleft())

    def _forget(self, job: JobId) -> bool:
        """Whether the result of this job is still of interest."""
        self._on_loop.pop(job, None)
        self._deadlines.drop(job)
        self._stuck.discard(job)
        return self._running.pop(job, None) is not None
