"""Many single calls as few calls on many: what arrives while one is under way goes into the next."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Task
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flashcore.model.errors import FlashcoreError

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")


# Not frozen: one is made for each item.
@dataclass(slots=True, eq=False)
class _Item(Generic[T, R]):
    """Something to be done, and who hears what came of it."""

    what: T
    done: Callable[[R], object]
    failed: Callable[[Exception], object]


class Coalescer(Generic[T, R]):
    """Collects items for a call on a whole batch. There is one call at a time.

    A failure that the call says something of is that of all its items. Any other one may be due to what a single one
    holds: each is then done by itself, and fails by itself.
    """

    def __init__(self, loop: AbstractEventLoop, call: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        self._loop = loop
        self._call = call
        self._items: list[_Item[T, R]] = []
        self._task: Task[None] | None = None

    def add(self, what: T, done: Callable[[R], object], failed: Callable[[Exception], object]) -> None:
        """Do it with the next batch, then say what it gave, or how the batch failed."""
        self._items.append(_Item(what, done, failed))
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        # The task begins in the next turn of the loop, so that one turn's items are one batch.
        try:
            while self._items:
                batch, self._items = self._items, []
                await self._call_batch(batch)
        finally:
            self._task = None

    async def _call_batch(self, batch: list[_Item[T, R]]) -> None:
        try:
            results = await self._call([item.what for item in batch])
        except Exception as error:  # noqa: BLE001 - whoever waits for an item is told, whatever it was
            if len(batch) == 1 or isinstance(error, FlashcoreError):
                for item in batch:
                    self._tell(item.failed, error)
            else:
                for item in batch:
                    await self._call_batch([item])
            return
        for item, result in zip(batch, results, strict=True):
            self._tell(item.done, result)

    def _tell(self, tell: Callable[[S], object], what: S) -> None:
        try:
            tell(what)
        except Exception as error:  # noqa: BLE001 - one who cannot take it is no reason to tell nobody else
            self._loop.call_exception_handler({"message": "somebody could not be told", "exception": error})
