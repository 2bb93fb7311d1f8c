"""taskiq on Redis lists: a worker of 50 jobs at a time; the driver looks every millisecond."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from driving import serve_async
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

role, address = sys.argv[1:]
broker = ListQueueBroker(address).with_result_backend(RedisAsyncResultBackend(address, keep_results=False))


@broker.task(task_name="echo")
async def echo(data: str) -> str:
    """Give it back."""
    return data


async def read(task: Any) -> str:
    """The result, removed with the reading."""
    return str((await task.wait_result(check_interval=0.001, timeout=30)).return_value)


async def drive() -> None:
    """The driver."""
    await broker.startup()
    await serve_async(echo.kiq, read)


async def work() -> None:
    """The worker."""
    broker.is_worker_process = True
    await broker.startup()
    await run_receiver_task(broker, max_async_tasks=50)


asyncio.run(work() if role == "work" else drive())
