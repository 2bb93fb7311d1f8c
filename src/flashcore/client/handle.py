"""A job that was spawned: ask for its status, wait for its result, cancel it; blocking, or awaited with `_async`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, Generic, TypeVar

from flashcore.client.carry import Carrier
from flashcore.client.job_calls import (
    JobCall,
    ask_items,
    ask_progress,
    ask_result,
    ask_status,
    ask_to_cancel,
    ask_to_wait,
)
from flashcore.model.job import JobStatus

R = TypeVar("R")


class JobHandle(Generic[R]):
    """One job of a queue-based endpoint. `await handle` waits for its result.

    All that it needs to be found again is its `id`: `function.job(id)` makes another handle, in any process.
    Whatever it waits for, it goes on waiting while the gateway is restarted.
    """

    def __init__(self, id: str, call: JobCall, carrier: Carrier) -> None:  # noqa: A002 - what everybody calls it
        self.id = id
        self._call = call
        self._carrier = carrier

    def __repr__(self) -> str:
        return f"<job {self.id} of {self._call.shown}>"

    def __await__(self) -> Generator[Any, Any, R]:
        return self.result_async().__await__()

    def status(self) -> JobStatus:
        """Where the job is now."""
        return self._carrier.carry(ask_status(self._call, self.id))

    def progress(self) -> Any:
        """What the function said of its progress last, while it runs; None if it said nothing."""
        return self._carrier.carry(ask_progress(self._call, self.id))

    def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait for its end, at most `timeout` seconds; returns how it ended. Raises DeadlineExceeded."""
        return self._carrier.carry(ask_to_wait(self._call, self.id, timeout))

    def result(self, timeout: float | None = None) -> R:
        """Wait for the value, at most `timeout` seconds.

        Raises what the function raised, or RemoteError where its type is not known here; DeadlineExceeded if time ran
        out for it or for waiting.
        """
        value: R = self._carrier.carry(ask_result(self._call, self.id, timeout))
        return value

    def stream(self) -> Iterator[Any]:
        """What a generator yields, as it does: each item once, in order. Raises what it raises."""
        known, done = 0, False
        while not done:
            items, done = self._carrier.carry(ask_items(self._call, self.id, known))
            known += len(items)
            yield from items

    def cancel(self) -> JobStatus:
        """Cancel the job; returns its status afterwards, which is another one where it had ended before."""
        return self._carrier.carry(ask_to_cancel(self._call, self.id))

    async def status_async(self) -> JobStatus:
        """Where the job is now."""
        return await self._carrier.carry_async(ask_status(self._call, self.id))

    async def progress_async(self) -> Any:
        """What the function said of its progress last, as `progress`."""
        return await self._carrier.carry_async(ask_progress(self._call, self.id))

    async def wait_async(self, timeout: float | None = None) -> JobStatus:
        """Wait for its end, as `wait` does."""
        return await self._carrier.carry_async(ask_to_wait(self._call, self.id, timeout))

    async def result_async(self, timeout: float | None = None) -> R:
        """Wait for the value, at most `timeout` seconds; raises as `result` does."""
        value: R = await self._carrier.carry_async(ask_result(self._call, self.id, timeout))
        return value

    async def stream_async(self) -> AsyncIterator[Any]:
        """What a generator yields, for `async for`; as `stream`."""
        known, done = 0, False
        while not done:
            items, done = await self._carrier.carry_async(ask_items(self._call, self.id, known))
            known += len(items)
            for item in items:
                yield item

    async def cancel_async(self) -> JobStatus:
        """Cancel the job, as `cancel` does."""
        return await self._carrier.carry_async(ask_to_cancel(self._call, self.id))
