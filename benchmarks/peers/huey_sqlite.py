"""huey on SQLite: a consumer of one thread, which looks every millisecond. In a folder `fsync` it is durable."""

from __future__ import annotations

import sys
from typing import Any

from driving import poll, serve
from huey import SqliteHuey

role, address = sys.argv[1:]
huey = SqliteHuey(filename=f"{address}/huey.db", fsync=address.endswith("fsync"))


@huey.task()
def echo(data: str) -> str:
    """Give it back."""
    return data


def read(handle: Any) -> str:
    """The result, removed with the reading."""
    return str(poll(handle.get))


if role == "work":
    consumer = huey.create_consumer(
        workers=1, worker_type="thread", initial_delay=0.001, backoff=1.0, max_delay=0.001, periodic=False
    )
    consumer.run()
else:
    serve(echo, read)
