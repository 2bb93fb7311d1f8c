"""How many connections the system lets this process have, and what is said when there are as many."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
from math import inf
from typing import Any

_log = logging.getLogger(__name__)

ENOUGH = 1 << 16
"""Descriptors: an idle connection costs a kilobyte or two."""

_SAY_EVERY = 10.0
"""Seconds."""


def allow_many_connections() -> None:
    """Raise this process' limit of descriptors as far as it may be raised, up to `ENOUGH`.

    Most systems begin with 1,024, for programs that use `select`, and allow far more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems promise more than they grant.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def complain_seldom(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop say now and then that no connection can be accepted.

    asyncio's own tries it once a second, as often as its backlog is long, and wrote two thousand tracebacks each time.
    """
    said_at = -inf

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said_at
        if not context["message"].startswith("socket.accept()"):
            loop.default_exception_handler(context)
        elif loop.time() - said_at >= _SAY_EVERY:
            said_at = loop.time()
            _log.error("no connection can be accepted: %s", context.get("exception"))

    loop.set_exception_handler(handle)
