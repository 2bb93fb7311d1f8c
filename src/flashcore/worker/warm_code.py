"""Where the code lies that every replica runs: together, in few pages, not between code that nobody calls.

Whatever is called counts its references, and so it is written to. A fork that runs four hundred functions out of
fifteen thousand would take almost a page for each of them out of what it shares.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterable
from types import CodeType, FrameType, FunctionType
from typing import Any

from flashcore.worker.warm_memory import fill_gaps


def observed(work: Callable[[], object]) -> tuple[CodeType, ...]:
    """The code that ran, in this thread and in those that were started, while `work` was done."""
    ran: dict[int, CodeType] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            ran[id(frame.f_code)] = frame.f_code

    here, elsewhere = sys.getprofile(), threading.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(here)
        threading.setprofile(elsewhere)
    return tuple(ran.values())


def gather(code: Iterable[CodeType]) -> None:
    """Give the functions that have this code copies of it, which lie side by side. Nothing else about them changes.

    The copies begin anew with what Python learns about code that it runs. From Python 3.13 on they would never learn
    all of it again, and calls would be slower for ever: there the code stays where it is.
    """
    if sys.version_info >= (3, 13):
        return
    moved = _Moved(code)
    filling = fill_gaps()
    for function in [one for one in gc.get_objects() if type(one) is FunctionType]:
        moved.take(function)
    del filling


class _Moved:
    """Copies of code, one of each."""

    def __init__(self, code: Iterable[CodeType]) -> None:
        self._wanted = {id(one): one for one in code}
        self._copies: dict[int, CodeType] = {}

    def take(self, function: FunctionType) -> None:
        """Have this function run the copy of its code, if that is to be moved, or what it defines within."""
        code = function.__code__
        if self._holds(code):
            function.__code__ = self._copy(code)

    def _holds(self, code: CodeType) -> bool:
        return id(code) in self._wanted or any(self._holds(one) for one in code.co_consts if type(one) is CodeType)

    def _copy(self, code: CodeType) -> CodeType:
        if id(code) not in self._copies:
            # What is defined within is touched each time that it is defined, whether it runs or not.
            within = [self._copy(one) if type(one) is CodeType else one for one in code.co_consts]
            self._copies[id(code)] = code.replace(co_consts=tuple(within))
        return self._copies[id(code)]
