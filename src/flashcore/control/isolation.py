"""Calling plugins so that one that hangs, raises or ends the program harms nobody but itself.

`Threaded` is for production: each call has a thread of its own and a deadline. A thread cannot be ended from outside,
so a plugin that hangs keeps one thread, and is not called again for the same key until it has come back.
`Direct` is for simulations, where plugins are known to return and every microsecond counts.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from flashcore.control.consult import Calling, PartFailed, Problem, unwatched

T = TypeVar("T")

DEADLINE = 1.0
"""Seconds. The work of a strategy is arithmetic on some counts."""


class Isolation(Protocol):
    """A way of calling plugins."""

    async def call(self, key: str, work: Callable[[Calling], T]) -> T:
        """The result of `work`, which says which part it is about to call.

        Raises PartFailed when it takes too long, and whatever the work raises.
        """
        ...


class Direct:
    """Calls where it stands."""

    async def call(self, key: str, work: Callable[[Calling], T]) -> T:  # noqa: ARG002  # nobody is kept apart
        """See Isolation."""
        return work(unwatched)


class Threaded:
    """Calls in threads, with a deadline in seconds."""

    def __init__(self, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self._hanging: dict[str, str] = {}

    async def call(self, key: str, work: Callable[[Calling], T]) -> T:
        """See Isolation."""
        if key in self._hanging:
            raise self._overdue(self._hanging[key])
        errand = _Errand(work, asyncio.get_running_loop())
        # A daemon, so that a plugin that hangs does not keep the process from ending.
        threading.Thread(target=errand.run, name=f"plugins of {key}", daemon=True).start()
        await asyncio.wait((errand.result,), timeout=self._deadline)
        if not errand.result.done():
            self._hanging[key] = errand.part
            errand.result.add_done_callback(lambda _: self._hanging.pop(key, None))
            raise self._overdue(errand.part)
        result: T = errand.result.result()
        return result

    def _overdue(self, part: str) -> PartFailed:
        return PartFailed(Problem(part, f"it did not answer within {self._deadline:g} s"))


class _Errand:
    """One call in a thread."""

    def __init__(self, work: Callable[[Calling], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.result: asyncio.Future[Any] = loop.create_future()
        # Whoever asked may have gone by then; the event loop would complain about an exception that nobody looked at.
        self.result.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.part = "a plugin"
        self._work = work
        self._loop = loop

    def run(self) -> None:
        try:
            outcome, error = self._work(self._note), None
        except BaseException as raised:  # noqa: BLE001  # whatever it is, it belongs to who waits, not to this thread
            outcome, error = None, raised
        try:
            self._loop.call_soon_threadsafe(self._settle, outcome, error)
        except RuntimeError:
            return  # the loop has been closed: nobody waits any more

    def _note(self, part: str) -> None:
        self.part = part

    def _settle(self, outcome: Any, error: BaseException | None) -> None:
        if self.result.done():
            return
        if error is None:
            self.result.set_result(outcome)
        elif isinstance(error, Exception):
            self.result.set_exception(error)
        else:
            self.result.set_exception(PartFailed(Problem(self.part, f"it raised {type(error).__name__}: {error}")))
