"""What a caller is to hear over its link, until it is written: bounded by bytes, however much there is to be told.

Beyond the bound a caller hears that its job has ended, without the result: that is kept, and asked for over HTTP.
"""

from __future__ import annotations

from collections import deque

from flashcore.gateway.documents import brief_text, status_text
from flashcore.model.job import Job
from flashcore.wire import calls
from flashcore.wire.calls import Refusal, WrittenAnswer
from flashcore.wire.spill import SPILLED_FROM

MOST_KEPT = 8 * calls.LARGEST
"""Bytes of outputs, errors and progress of one link that wait for its caller to read."""

MOST_KEPT_OF_ALL = 256 * calls.LARGEST
"""The same of all links together."""


class Room:
    """How much all links of a gateway may keep."""

    __slots__ = ("left",)

    def __init__(self, size: int = MOST_KEPT_OF_ALL) -> None:
        self.left = size
        """Bytes."""


class Outbox:
    """Answers and refusals of one link, in the order in which they came."""

    __slots__ = ("_answers", "_refusals", "_room", "size")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size = 0
        """Bytes that others have written into the answers."""
        self._answers: deque[tuple[WrittenAnswer, int]] = deque()
        self._refusals: deque[Refusal] = deque()

    def __bool__(self) -> bool:
        """Whether anything is to be said."""
        return bool(self._answers or self._refusals)

    @property
    def has_answers(self) -> bool:
        """Whether any of it is an answer."""
        return bool(self._answers)

    @property
    def has_refusals(self) -> bool:
        """Whether any of it is a refusal."""
        return bool(self._refusals)

    def add_brief(self, number: int, job: Job) -> None:
        """Say which job it is and how it stands, to who does not wait for more."""
        self._answers.append((WrittenAnswer(number, brief_text(job), None), 0))

    def add_whole(self, number: int, job: Job) -> None:
        """Say all that is known of a job, or what can be said here. Raises what a job raises that cannot be shown."""
        beside = _beside(job)
        length = 0 if job.output is None else len(job.output.data)
        size = beside + length
        is_large = length > SPILLED_FROM or beside > calls.LONGEST_DOCUMENT
        if is_large or size > MOST_KEPT - self.size or size > self._room.left:
            self._answers.append((WrittenAnswer(number, brief_text(job), None, is_apart=True), 0))
            return
        output = job.output if job.status.final else None
        self._answers.append((WrittenAnswer(number, status_text(job), output), size))
        self.size += size
        self._room.left -= size

    def refuse(self, refusal: Refusal) -> None:
        """Say that a job is not taken, or that nobody knows what became of it."""
        self._refusals.append(refusal)

    def next_answers(self) -> list[WrittenAnswer]:
        """As many as make up a frame."""
        answers: list[WrittenAnswer] = []
        before = self.size
        while self._answers and before - self.size < calls.LARGEST and len(answers) < calls.MOST_JOBS:
            answer, size = self._answers.popleft()
            answers.append(answer)
            self.size -= size
        self._room.left += before - self.size
        return answers

    def next_refusals(self) -> list[Refusal]:
        """As many as make up a frame."""
        return [self._refusals.popleft() for _ in range(min(len(self._refusals), calls.MOST_JOBS))]

    def clear(self) -> None:
        """Nobody is left to hear it."""
        self._answers.clear()
        self._refusals.clear()
        self._room.left += self.size
        self.size = 0


def _beside(job: Job) -> int:
    """How much stands in the document that others have written."""
    return (0 if job.error is None else len(job.error)) + (0 if job.progress is None else len(job.progress.data))
