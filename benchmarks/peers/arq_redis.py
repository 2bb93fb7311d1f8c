"""arq: a worker of 50 jobs at a time; both ends look every millisecond."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker
from driving import serve_async

role, address = sys.argv[1:]
settings = RedisSettings.from_dsn(address)


async def echo(_context: Any, data: str) -> str:
    """Give it back."""
    return data


async def drive() -> None:
    """The driver."""
    pool = await create_pool(settings)

    async def read(job: Any) -> str:
        return str(await job.result(timeout=30, poll_delay=0.001))

    await serve_async(lambda data: pool.enqueue_job("echo", data), read)


if role == "work":
    Worker([echo], redis_settings=settings, poll_delay=0.001, max_jobs=50, queue_read_limit=50).run()
else:
    asyncio.run(drive())
