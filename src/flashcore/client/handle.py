"""A job that was spawned: ask for its status, wait for its result, cancel it; blocking, or awaited with `_async`."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar

from flashcore.client.carry import Carrier
from flashcore.client.job_calls import JobCall, ask_result, ask_status, ask_to_cancel
from flashcore.model.job import JobStatus

R = TypeVar("R")


class JobHandle(Generic[R]):
    """One job of a queue-based endpoint. `await handle` waits for its result."""

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

    def result(self, timeout: float | None = None) -> R:
        """Wait for the value, at most `timeout` seconds.

        Raises RemoteError if the function raised, DeadlineExceeded if time ran out for it or for waiting.
        """
        value: R = self._carrier.carry(ask_result(self._call, self.id, timeout))
        return value

    def cancel(self) -> JobStatus:
        """Cancel the job; returns its status afterwards, which is another one where it had ended before."""
        return self._carrier.carry(ask_to_cancel(self._call, self.id))

    async def status_async(self) -> JobStatus:
        """Where the job is now."""
        return await self._carrier.carry_async(ask_status(self._call, self.id))

    async def result_async(self, timeout: float | None = None) -> R:
        """Wait for the value, at most `timeout` seconds; raises as `result` does."""
        value: R = await self._carrier.carry_async(ask_result(self._call, self.id, timeout))
        return value

    async def cancel_async(self) -> JobStatus:
        """Cancel the job, as `cancel` does."""
        return await self._carrier.carry_async(ask_to_cancel(self._call, self.id))
