"""When a draining replica may be stopped: as soon as no gateway can send it anything, or after a cap.

draining -> out of the table -> every gateway has said that it serves by that table -> its provider stops it, with the
policy's grace for what it works on -> gone -> terminated.
"""

from __future__ import annotations

from flashcore.model.replica import Phase, Replica

CAP = 5.0
"""Seconds that gateways have to take over a table; one that hangs must not keep a rollout from going on."""


def is_released(replica: Replica, now: float, *, free: bool) -> bool:
    """Whether its provider may stop it. `free`: every gateway has a table without it.

    One that failed by itself is about to end by itself: its last words are worth waiting for.
    """
    if replica.phase is not Phase.DRAINING:
        return False
    return (free and not replica.failed) or now >= waits_until(replica)


def waits_until(replica: Replica) -> float:
    """When the cap is over."""
    return replica.phase_since + CAP
