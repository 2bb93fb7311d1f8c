"""What uvicorn says to the log of a replica: its warnings, and of an answer that failed where the user's code did."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from types import TracebackType

from flashcore.worker.failure import ABOVE_THE_USER

_LOGGERS = ("uvicorn.error", "uvicorn.access", "uvicorn.asgi")

_PASSED_ON = ("uvicorn", "fastapi", "starlette", "anyio")
"""Packages through which an error of user code comes to uvicorn, some fifty frames of them."""

_RAISED = "Exception in ASGI application"
_SAID = "This was raised while a request was answered. Its answer is cut off, if it had begun:"


def quieten() -> None:
    """Hear of uvicorn's warnings alone, and of errors what the user can do something about.

    As uvicorn would by itself, were it told `log_level`, but once: where a level is set, logging looks through all
    loggers, and a fork takes each of them out of what is shared.
    """
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if logger.level != logging.WARNING:
            logger.setLevel(logging.WARNING)
        if _shorten not in logger.filters:
            logger.addFilter(_shorten)


def _shorten(record: logging.LogRecord) -> bool:
    """Let everything pass; a traceback begins where the user's code does, if any of it is in there."""
    if isinstance(record.exc_info, tuple) and str(record.msg).startswith(_RAISED):
        kind, error, trace = record.exc_info
        record.msg = _SAID
        if kind is not None and error is not None and (own := _users_frames(trace)) is not None:
            record.exc_info = (kind, error, own)
    return True


def _users_frames(trace: TracebackType | None) -> TracebackType | None:
    modules = [sys.modules[name] for name in _PASSED_ON if name in sys.modules]
    folders = [f"{Path(module.__file__).parent}{os.sep}" for module in modules if module.__file__]
    around = (*ABOVE_THE_USER, *folders, contextlib.__file__)
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(around):
        trace = trace.tb_next
    return trace
