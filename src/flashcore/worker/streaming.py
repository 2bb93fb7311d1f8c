"""Chunks on their way to the gateway: kept until it says that it has stored them, and sent again to the next one.

A gateway of an older protocol says nothing of the kind: to it chunks are sent once, without their numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from flashcore.model.names import JobId
from flashcore.wire.messages import Chunk


class Stream:
    """All chunks that a worker has. `left` is told the bytes of those that need not be kept any longer."""

    def __init__(self, left: Callable[[int], None]) -> None:
        self._left = left
        self._numbered = True
        self._waiting: deque[Chunk] = deque()
        self._sent: dict[JobId, deque[Chunk]] = {}

    @property
    def waits(self) -> bool:
        """Whether there are chunks that were not sent yet."""
        return bool(self._waiting)

    def begin(self, *, numbered: bool) -> None:
        """There is another connection: what may not have arrived over the last one goes first."""
        self._numbered = numbered
        for job in reversed(list(self._sent)):
            chunks = self._sent.pop(job)
            if numbered:
                self._waiting.extendleft(reversed(chunks))
            else:
                self._let_go(chunks)  # it cannot tell which of them it has

    def add(self, chunk: Chunk) -> None:
        """One more to be sent."""
        self._waiting.append(chunk)

    def next(self) -> Chunk | None:
        """The next one to send now; None when there is none."""
        if not self._waiting:
            return None
        chunk = self._waiting.popleft()
        if self._numbered:
            self._sent.setdefault(chunk.id, deque()).append(chunk)
            return chunk
        self._let_go((chunk,))
        return replace(chunk, number=None)

    def taken(self, job: JobId, attempt: int, count: int) -> None:
        """The first `count` of that attempt are stored."""
        sent = self._sent.get(job)
        while sent and sent[0].attempt == attempt and (sent[0].number or 0) < count:
            self._let_go((sent.popleft(),))
        if sent is not None and not sent:
            del self._sent[job]

    def drop(self, job: JobId) -> None:
        """Nobody waits for this job's chunks any longer."""
        self._let_go(self._sent.pop(job, ()))

    def _let_go(self, chunks: tuple[Chunk, ...] | deque[Chunk]) -> None:
        for chunk in chunks:
            self._left(len(chunk.value.data))
