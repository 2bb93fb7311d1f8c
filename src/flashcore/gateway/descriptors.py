"""How many connections the system lets this process have."""

from __future__ import annotations

import contextlib
import resource

ENOUGH = 1 << 16
"""Descriptors: an idle connection costs a kilobyte or two."""


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
