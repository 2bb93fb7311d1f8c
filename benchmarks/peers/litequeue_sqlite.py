"""litequeue: one queue there and one back, since it has no results; both looked at every millisecond."""

from __future__ import annotations

import sys
from typing import Any

from driving import poll, serve
from litequeue import LiteQueue

role, address = sys.argv[1:]
jobs, results = (LiteQueue(f"{address}/{name}.db") for name in ("jobs", "results"))


def take(queue: Any) -> str:
    """The next message, acknowledged."""
    message = poll(queue.pop)
    queue.done(message.message_id)
    return str(message.data)


if role == "work":
    while True:
        # Acknowledged when its result is stored.
        message = poll(jobs.pop)
        results.put(message.data)
        jobs.done(message.message_id)
else:
    serve(jobs.put, lambda _: take(results))
