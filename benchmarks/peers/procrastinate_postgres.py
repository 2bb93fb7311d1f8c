"""procrastinate on Postgres: a worker of 50 jobs at a time, told of each; its jobs are looked at every 2 ms.

It has no results: what is read is that the job succeeded, with the arguments that it had.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from driving import PAYLOAD, serve_async
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status

role, address = sys.argv[1:]
app = App(connector=PsycopgConnector(conninfo=address))


@app.task(name="echo")
async def echo(data: str) -> str:
    """Give it back."""
    return data


async def read(job: int) -> str:
    """Wait for its end."""
    while (status := await app.job_manager.get_job_status_async(job)) is not Status.SUCCEEDED:
        if status is Status.FAILED:
            return "failed"
        await asyncio.sleep(0.002)
    return PAYLOAD


async def drive() -> None:
    """The driver."""
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await serve_async(lambda data: echo.defer_async(data=data), read)


async def work() -> None:
    """The worker."""
    async with app.open_async():
        while not await app.check_connection_async():  # noqa: ASYNC110 - the driver makes the schema, and tells nobody
            await asyncio.sleep(0.05)
        await app.run_worker_async(concurrency=50, fetch_job_polling_interval=0.05, install_signal_handlers=False)


logging.disable()
asyncio.run(work() if role == "work" else drive())
