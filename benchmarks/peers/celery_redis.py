"""Celery on Redis: a worker with the pool `solo`, which is its fastest for jobs that do nothing."""

from __future__ import annotations

import sys
from typing import Any

from celery import Celery
from driving import serve

role, address = sys.argv[1:]
app = Celery("bench", broker=address, backend=address)
app.conf.update(worker_prefetch_multiplier=50, task_send_sent_event=False, worker_send_task_events=False)


@app.task(name="echo")
def echo(data: str) -> str:
    """Give it back."""
    return data


def read(handle: Any) -> str:
    """The result, removed with the reading."""
    answer = str(handle.get(timeout=30))
    handle.forget()
    return answer


if role == "work":
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR")
    app.worker_main(["worker", "--pool=solo", "--concurrency=1", *quiet])
else:
    serve(echo.delay, read)
