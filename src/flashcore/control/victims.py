"""Which replicas go when there are to be fewer."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from flashcore.control.sides import Side
from flashcore.model.names import RevisionId
from flashcore.model.replica import Health, Phase, Replica

_CLOSENESS = {Phase.PENDING: 0, Phase.STARTING: 1, Phase.WARMING_UP: 2, Phase.RUNNING: 3}


def choose(sides: Iterable[Side], count: int, doomed: Collection[RevisionId] = ()) -> tuple[Replica, ...]:
    """`count` live replicas of these sides, those first that are missed least.

    First who cannot serve: pending, then starting, warming up, unwell; those of `doomed` (superseded) revisions before
    others. Then who is cordoned, then of `doomed` revisions, then the oldest.
    """
    ranked: list[tuple[tuple[bool, int, int, float, str], Replica]] = []
    for side in sides:
        ready = {replica.id for replica in side.ready}
        kept = int(side.revision not in doomed)
        for replica in side.live:
            serves = replica.id in ready
            missed = (int(not replica.cordoned), kept) if serves else (kept, _closeness(replica))
            ranked.append(((serves, *missed, replica.created_at, replica.id), replica))
    ranked.sort(key=lambda pair: pair[0])
    return tuple(replica for _, replica in ranked[: max(0, count)])


def _closeness(replica: Replica) -> int:
    """How near an unready replica is to serving."""
    if replica.health is Health.FAILED:
        return -1
    return _CLOSENESS.get(replica.phase, 0)
