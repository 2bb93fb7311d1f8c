"""Commands of people on their way into a deployment's loop, and their outcomes on the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flashcore.control.draft import Draft
from flashcore.model.errors import FlashcoreError

Command = Callable[[Draft], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command."""

    done: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def deliver(self) -> None:
        """Tell who asked, unless they have gone away."""
        if self.done.done():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


class Errands:
    """Commands wait here until a pass that ran them is committed; a pass that failed leaves them for the next."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []

    def add(self, command: Command) -> asyncio.Future[Any]:
        """Take a command; the future is done when it is committed or refused."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, done))
        return done

    def run(self, draft: Draft) -> list[Outcome]:
        """Run all that wait, in their order. A command that is refused has changed nothing."""
        return [_outcome(command, done, draft) for command, done in self._waiting]

    def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Tell those who asked. Theirs are the first errands; others may have come meanwhile."""
        del self._waiting[: len(outcomes)]
        for outcome in outcomes:
            outcome.deliver()

    def fail(self, error: Exception) -> None:
        """Tell all who wait that it cannot be done."""
        self.deliver([Outcome(done, error=error) for _, done in self._waiting])


def _outcome(command: Command, done: asyncio.Future[Any], draft: Draft) -> Outcome:
    try:
        return Outcome(done, command(draft))
    except FlashcoreError as error:
        return Outcome(done, error=error)
