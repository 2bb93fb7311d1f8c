"""persist-queue's SQLiteAckQueue: one there and one back, since it has no results; looked at every millisecond."""

from __future__ import annotations

import sys
from typing import Any

from driving import poll, serve
from persistqueue import Empty, SQLiteAckQueue

role, address = sys.argv[1:]
jobs, results = (SQLiteAckQueue(f"{address}/{name}", auto_commit=True) for name in ("jobs", "results"))


def next_of(queue: Any) -> Any:
    """The next message, None when there is none."""
    try:
        return queue.get(block=False)
    except Empty:
        return None


def take(queue: Any) -> str:
    """The next message, acknowledged."""
    message = poll(lambda: next_of(queue))
    queue.ack(message)
    return str(message)


if role == "work":
    while True:
        # Acknowledged when its result is stored.
        message = poll(lambda: next_of(jobs))
        results.put(message)
        jobs.ack(message)
else:
    serve(jobs.put, lambda _: take(results))
