"""Many calls at a time, at most so many, with the results in the order of the arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

R = TypeVar("R")


def map_blocking(call: Callable[..., R], arguments: Iterable[tuple[Any, ...]], concurrency: int) -> Iterator[R]:
    """Yield the results as they are due; arguments are taken as there is room for another call.

    The first call that raises ends it: its error is raised when its turn comes, calls not begun are not made.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    _check(concurrency)
    running: deque[Future[R]] = deque()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="flashcore-map") as pool:
        try:
            for one in arguments:
                if len(running) == concurrency:
                    yield running.popleft().result()
                running.append(pool.submit(call, *one))
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


async def map_awaited(
    call: Callable[..., Awaitable[R]], arguments: Iterable[tuple[Any, ...]], concurrency: int
) -> AsyncIterator[R]:
    """The same, awaited; when it ends early, calls under way are no longer waited for."""
    import asyncio

    _check(concurrency)
    running: deque[asyncio.Task[R]] = deque()

    async def carry_out(one: tuple[Any, ...]) -> R:
        return await call(*one)

    try:
        for one in arguments:
            if len(running) == concurrency:
                yield await running.popleft()
            running.append(asyncio.create_task(carry_out(one)))
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _check(concurrency: int) -> None:
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")
