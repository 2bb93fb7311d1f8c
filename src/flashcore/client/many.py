"""Many calls at a time, at most so many, fed from anything that can be iterated."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

R = TypeVar("R")

_END = object()


@dataclass(frozen=True, slots=True)
class MapOptions:
    """How many calls are under way, in which order results come, and what becomes of errors."""

    concurrency: int
    ordered: bool
    """In the order of the items; otherwise as they are done."""
    return_errors: bool
    """Errors stand among the results; otherwise the first one ends it, and calls not begun are not made."""

    def __post_init__(self) -> None:
        """Refuse a number of calls that would never begin."""
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {self.concurrency}")


def map_blocking(call: Callable[..., R], arguments: Iterable[tuple[Any, ...]], options: MapOptions) -> Iterator[Any]:
    """Yield the results; arguments are taken as there is room for another call."""
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    running: list[Future[R]] = []
    with ThreadPoolExecutor(options.concurrency, thread_name_prefix="flashcore-map") as pool:
        try:
            for one in arguments:
                if len(running) == options.concurrency:
                    yield _result(_take_done(running, options), options)
                # Each in a context of its own: code that works on a call makes these calls as part of it.
                running.append(pool.submit(copy_context().run, call, *one))
            while running:
                yield _result(_take_done(running, options), options)
        finally:
            for future in running:
                future.cancel()


def _take_done(running: list[Future[R]], options: MapOptions) -> Future[R]:
    """The next one whose result is due, once it is done."""
    from concurrent.futures import FIRST_COMPLETED, wait

    if options.ordered:
        return running.pop(0)
    wait(running, return_when=FIRST_COMPLETED)
    return running.pop(next(at for at, future in enumerate(running) if future.done()))


async def map_awaited(
    call: Callable[..., Awaitable[R]],
    arguments: Iterable[tuple[Any, ...]] | AsyncIterable[tuple[Any, ...]],
    options: MapOptions,
) -> AsyncIterator[Any]:
    """The same, awaited: results do not wait for arguments that are long in coming.

    When it ends early, calls under way are no longer waited for.
    """
    import asyncio

    line = _Line(call, _items(arguments), options)
    try:
        while True:
            line.look_for_more()
            done = line.take_done()
            if done is not None:
                yield _result(done, options)
            elif not await line.step():
                return
    finally:
        await asyncio.shield(line.close())


class _Line:
    """The calls under way, and the next arguments on their way here."""

    def __init__(
        self, call: Callable[..., Awaitable[R]], source: AsyncGenerator[tuple[Any, ...], None], options: MapOptions
    ) -> None:
        self._call = call
        self._source = source
        self._options = options
        self._running: list[asyncio.Task[Any]] = []
        self._coming: asyncio.Task[Any] | None = None
        self._ended = False

    def look_for_more(self) -> None:
        """Ask for the next arguments where there is room for another call."""
        import asyncio

        if not self._ended and self._coming is None and len(self._running) < self._options.concurrency:
            self._coming = asyncio.ensure_future(self._next())

    def take_done(self) -> asyncio.Task[Any] | None:
        """The next one whose result is due, if it is done."""
        due = self._running[:1] if self._options.ordered else self._running
        found = next((task for task in due if task.done()), None)
        if found is not None:
            self._running.remove(found)
        return found

    async def step(self) -> bool:
        """Wait until something happens; False when nothing can happen any more."""
        import asyncio

        waiting = {*self._running, *(() if self._coming is None else (self._coming,))}
        if not waiting:
            return False
        await asyncio.wait(waiting, return_when="FIRST_COMPLETED")
        if self._coming is not None and self._coming.done():
            arguments, self._coming = self._coming.result(), None
            if arguments is _END:
                self._ended = True
            else:
                self._running.append(asyncio.ensure_future(self._call(*arguments)))
        return True

    async def close(self) -> None:
        """Let go of everything."""
        import asyncio

        left = [*self._running, *(() if self._coming is None else (self._coming,))]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._source.aclose()

    async def _next(self) -> Any:
        return await anext(self._source, _END)


async def zip_awaited(sources: tuple[Iterable[Any] | AsyncIterable[Any], ...]) -> AsyncIterator[tuple[Any, ...]]:
    """Tuples of the items of several iterables, awaitable or not, until the first one ends."""
    iterators = [_items(source) for source in sources]
    try:
        while iterators:
            items = [await anext(iterator, _END) for iterator in iterators]
            if any(item is _END for item in items):
                return
            yield tuple(items)
    finally:
        for iterator in iterators:
            await iterator.aclose()


async def _items(source: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item


def _result(done: Future[R] | asyncio.Task[R], options: MapOptions) -> Any:
    """Its value; its error, raised or given."""
    if not options.return_errors:
        return done.result()
    try:
        return done.result()
    except Exception as error:  # noqa: BLE001 - that is what was asked for
        return error
