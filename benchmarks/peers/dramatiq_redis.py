"""dramatiq on Redis: a worker of 50 threads; results are waited for in Redis, not looked for."""

from __future__ import annotations

import sys
import threading
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from driving import serve

role, address = sys.argv[1:]
broker = RedisBroker(url=address, middleware=[Results(backend=RedisBackend(url=address))])
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def echo(data: str) -> str:
    """Give it back."""
    return data


def read(message: Any) -> str:
    """The result."""
    return str(message.get_result(block=True, timeout=30_000))


if role == "work":
    dramatiq.Worker(broker, worker_threads=50, worker_timeout=1).start()
    threading.Event().wait()
else:
    serve(echo.send, read)
