"""Many single calls as few calls on many: what arrives while one is under way goes into the next."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, Task
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Coalescer(Generic[T, R]):
    """Collects items for a call on a whole batch. There is one call at a time; its failure is that of all its items."""

    def __init__(self, loop: AbstractEventLoop, call: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        self._loop = loop
        self._call = call
        self._items: list[tuple[T, Future[R]]] = []
        self._task: Task[None] | None = None

    def add(self, item: T) -> Future[R]:
        """The item's result, once its batch was called."""
        future: Future[R] = self._loop.create_future()
        self._items.append((item, future))
        if self._task is None:
            self._task = self._loop.create_task(self._run())
        return future

    async def _run(self) -> None:
        # The task begins in the next turn of the loop, so that one turn's items are one batch.
        try:
            while self._items:
                batch, self._items = self._items, []
                await self._call_batch(batch)
        finally:
            self._task = None

    async def _call_batch(self, batch: list[tuple[T, Future[R]]]) -> None:
        try:
            results = await self._call([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - whoever waits for an item is told, whatever it was
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
