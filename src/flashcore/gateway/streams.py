"""How much of a job's stream may be kept for its readers: a generator without an end that nobody reads fills the disk.

What has come is counted here, and what is kept is known by the store: readers take items away, an earlier gateway had
others stored. So the store is asked, once as much has come as could make it too much. A job that streams little is
never asked for.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

from flashcore.gateway.books import Attempt, Worker
from flashcore.hookspecs.jobs import JobStore, WeighsStreams
from flashcore.model.codec import to_json
from flashcore.model.errors import StateError, StorageFull, StreamFull
from flashcore.wire.envelope import RemoteFailure

_log = logging.getLogger(__name__)

_ITEM = 64
"""About how many bytes a kept item takes beside its payload."""

_PARTS = 64
"""The store is asked at most so often while as much comes as may be kept."""


class StreamLimit:
    """At most `limit` bytes for each job, 0 for any number; `exceeded` is told of an attempt that has more."""

    def __init__(self, store: JobStore, limit: int, exceeded: Callable[[Worker, Attempt, StreamFull], None]) -> None:
        self._store = store if isinstance(store, WeighsStreams) and limit else None
        self._limit = limit
        self._exceeded = exceeded
        self._asking: dict[Attempt, asyncio.Task[None]] = {}

    def add(self, worker: Worker, attempt: Attempt, size: int) -> None:
        """One more item of so many bytes, which is about to be stored."""
        attempt.unweighed += size + _ITEM
        if attempt.unweighed <= max(attempt.stream_room, self._limit // _PARTS) or attempt in self._asking:
            return
        if self._store is not None:
            self._asking[attempt] = asyncio.create_task(self._ask(self._store, worker, attempt))

    def close(self) -> None:
        """Ask no more."""
        for task in self._asking.values():
            task.cancel()

    async def _ask(self, store: WeighsStreams, worker: Worker, attempt: Attempt) -> None:
        counted = attempt.unweighed
        try:
            kept = await store.stream_size(attempt.claimed.id)
        except (StateError, StorageFull):
            return  # it stores nothing now, either: it is asked again at the next item
        except Exception:  # noqa: BLE001 - whatever a store's mistake is, the job goes on as with a store that cannot tell
            _log.exception("the job store cannot tell how much of job %s's stream it keeps", attempt.claimed.id)
            kept = 0
        finally:
            del self._asking[attempt]
        attempt.unweighed -= counted
        attempt.stream_room = self._limit - kept
        if kept > self._limit:
            self._exceeded(worker, attempt, _too_much(kept, self._limit))


def failure_text(error: StreamFull) -> str:
    """The error of a job that failed for it, as those are shown that functions raise."""
    kind = type(error)
    return json.dumps(to_json(RemoteFailure(f"{kind.__module__}.{kind.__qualname__}", str(error), "")))


def _too_much(kept: int, limit: int) -> StreamFull:
    return StreamFull(
        f"{kept:,} bytes of the job's stream are kept that nobody has read; the most are {limit:,} (stream_limit)",
        next_step="read the stream while the job runs, or have it yield less; or raise stream_limit under [gateway]",
        kept=kept,
        limit=limit,
    )
