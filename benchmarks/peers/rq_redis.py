"""RQ: a SimpleWorker, which does not fork for each job; results are waited for in Redis."""

from __future__ import annotations

import logging
import sys
from typing import Any

from driving import serve
from redis import Redis
from rq import Queue, SimpleWorker

role, address = sys.argv[1:]
redis = Redis.from_url(address)
queue = Queue(connection=redis)


def read(job: Any) -> str:
    """The result."""
    return str(job.latest_result(timeout=30).return_value)


if role == "work":
    logging.disable()
    SimpleWorker([queue], connection=redis).work(logging_level="ERROR")
else:
    serve(lambda data: queue.enqueue("builtins.str", data), read)
