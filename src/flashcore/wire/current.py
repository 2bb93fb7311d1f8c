"""The call that the running code works on: the worker sets it, and the client looks for the trace that goes on.

It is neither's own, since both travel, and neither imports the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import field
from typing import Any

from flashcore.model.light import light


def _nobody_listens(_value: Any) -> None:
    """Progress of a call that nobody can ask about."""


@light
class CurrentJob:
    """The job or request that the calling code works on."""

    id: str
    attempt: int = 1
    context: Mapping[str, str] = field(default_factory=dict)
    """What the caller sent along: traceparent, request id."""
    progress: Callable[[Any], None] = _nobody_listens
    """Call it with what `status` shall show as the job's progress; a later value replaces an earlier one."""
    kind: str = "job"
    """`job` or `request`; how log lines begin."""


CURRENT: ContextVar[CurrentJob | None] = ContextVar("flashcore_job", default=None)
"""State of the running code, not of the module: each job's task or thread sees its own."""
