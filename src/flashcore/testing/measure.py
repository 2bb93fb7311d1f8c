"""What code costs, counted rather than timed, so that a busy machine does not change the answer."""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any, Self

_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType)


class Instructions:
    """Counts the Python instructions that this thread executes within a `with` block."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        """Begin to count."""
        self._before = sys.gettrace()
        # Python 3.12 looks only when tracing begins whether any frame asks for its instructions.
        inspect.currentframe().f_trace_opcodes = True  # type: ignore[union-attr]  # CPython has frames
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_reason: object) -> None:
        """Leave tracing as it was."""
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Callable[[FrameType, str, object], Any]:
        frame.f_trace_opcodes = True
        self.count += event == "opcode"
        return self._trace


def reachable(root: object) -> list[object]:
    """All objects that an object holds on to, itself left out; code, classes and modules are nobody's own."""
    seen: dict[int, object] = {id(root): root}
    waiting = [root]
    while waiting:
        for found in _referents(waiting.pop()):
            if id(found) not in seen and not isinstance(found, _SHARED):
                seen[id(found)] = found
                waiting.append(found)
    return list(seen.values())[1:]


def _referents(holder: object) -> list[object]:
    # The collector passes over the keys of a dict when they are all strings: strings are in no cycle.
    keys = list(holder) if isinstance(holder, dict) else []
    return [*keys, *gc.get_referents(holder)]
