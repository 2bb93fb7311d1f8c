"""How long to wait before a failed replica of a revision is replaced.

The first failure is replaced at once; from the second on, each one in a row doubles the wait, up to a cap. Failures
in a row means generations: replicas that had been started before the last failure was counted fall with it.
A start that succeeds ends a row of failed starts; only a minute of service ends a row of crashes, or else a replica
that is ready for a moment and then dies would be replaced for ever without a pause.
"""

from __future__ import annotations

from dataclasses import replace

from flashcore.control.draft import Casualty
from flashcore.model.deployment import Backoff

CAP = 300.0
"""Seconds."""
STEADY = 60.0
"""Seconds of service after which a crash is the first one again."""


def delay(failures: int) -> float:
    """Seconds to wait after that many failures in a row."""
    return 0.0 if failures < 2 else min(CAP, 2.0 ** min(failures - 2, 30))


def after_failure(before: Backoff, casualty: Casualty, now: float) -> Backoff:
    """The back-off after one more replica failed."""
    if casualty.replica.created_at < before.counted_at and not casualty.permanent:
        return before
    if casualty.ran_for is None:
        counted = replace(before, starts=before.starts + 1, counted_at=now, reason=casualty.replica.reason)
    else:
        crashes = 1 if casualty.ran_for >= STEADY else before.crashes + 1
        counted = replace(before, crashes=crashes, counted_at=now, reason=casualty.replica.reason)
    wait = CAP if casualty.permanent else delay(max(counted.starts, counted.crashes))
    return replace(counted, until=now + wait)


def after_success(before: Backoff, now: float) -> Backoff:
    """The back-off after a replica got ready."""
    if not before.starts:
        return before
    return replace(before, starts=0, until=min(before.until, now + delay(before.crashes)))
