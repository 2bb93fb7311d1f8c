"""What is told of an exception in user code: RunPod's names, as a JSON text, the same for jobs and for HTTP."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import json
import os
import traceback
from pathlib import Path
from types import TracebackType

from flashcore.model.codec import to_json
from flashcore.model.errors import FlashcoreError
from flashcore.wire.envelope import RemoteFailure

MAX_TEXT = 64 * 1024
"""Characters of a message or a traceback that are kept; the middle of a longer one is left out."""

_CALLERS = (__file__, asyncio.__file__, concurrent.futures.__file__, importlib.__file__)
ABOVE_THE_USER = (*(f"{Path(file).parent}{os.sep}" for file in _CALLERS), "<frozen importlib")
"""Where the code is that calls or imports user code."""


def failure_of(error: BaseException, worker_id: str = "") -> RemoteFailure:
    """Type, message and traceback of `error`, without flashcore's own frames above the user's."""
    return RemoteFailure(
        error_type=_type_name(type(error)),
        error_message=_cut(_message(error)),
        error_traceback=_cut(_traceback(error)),
        worker_id=worker_id,
        hostname=os.uname().nodename,
    )


def text_of(failure: RemoteFailure) -> str:
    """The failure as the `error` of a job."""
    return json.dumps(to_json(failure))


def response_body(error: BaseException) -> bytes:
    """What is answered where no user code ran: our errors as the API shows them, others as failures."""
    shown = {"error": error.as_json()} if isinstance(error, FlashcoreError) else to_json(failure_of(error))
    return json.dumps(shown).encode()


def _type_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001 - it is the user's class, and its __str__ may raise anything
        return f"(its __str__ raised {type(problem).__name__})"


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, _users_frames(error.__traceback__)))
    except Exception as problem:  # noqa: BLE001 - formatting calls the user's __str__ and __repr__
        return f"{_type_name(type(error))} (its traceback cannot be shown: {type(problem).__name__})\n"


def _users_frames(trace: TracebackType | None) -> TracebackType | None:
    """Where the user's code begins; None for an error of the worker's own, whose message says it all."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(ABOVE_THE_USER):
        trace = trace.tb_next
    return trace


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
