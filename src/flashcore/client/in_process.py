"""Calls that stay in the process: a replica does not send itself what it can do at once."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

from flashcore.model.names import EndpointName


def is_here(endpoint: EndpointName) -> bool:
    """Whether this process is a replica of that endpoint."""
    return os.environ.get("FLASHCORE_ENDPOINT") == endpoint


async def run_here(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call the function itself; what it yields comes as a list. One that blocks runs in a thread."""
    import asyncio

    if inspect.isasyncgenfunction(target):
        return [item async for item in target(*args, **kwargs)]
    if inspect.iscoroutinefunction(target):
        return await target(*args, **kwargs)
    return await asyncio.to_thread(_run_sync, target, args, kwargs)


def run_here_blocking(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same for a caller that waits, on an event loop's own thread too."""
    if not (inspect.isasyncgenfunction(target) or inspect.iscoroutinefunction(target)):
        return _run_sync(target, args, kwargs)
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    # The caller's thread may be running a loop, and a loop cannot be run inside another one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, lambda: asyncio.run(run_here(target, args, kwargs))).result()


def _run_sync(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    value = target(*args, **kwargs)
    return list(value) if inspect.isgeneratorfunction(target) else value
