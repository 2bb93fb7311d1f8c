"""flashcore's own client, as users write it; its replica runs the function of this file."""

from __future__ import annotations

import asyncio

from driving import serve_async

from flashcore import QueueEndpoint

jobs = QueueEndpoint("jobs", max_concurrency=50)


@jobs.function
async def echo(data: str) -> str:
    """Give it back."""
    return data


async def submit(data: str) -> asyncio.Task[str]:
    """A call, under way."""
    return asyncio.create_task(echo(data))


async def read(call: asyncio.Task[str]) -> str:
    """Its value."""
    return await call


if __name__ == "__main__":
    asyncio.run(serve_async(submit, read))
