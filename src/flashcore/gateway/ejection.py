"""Which replicas are left out of the choice because they fail, and how many may be.

The more of a pool is left out, the more the rest has to carry; beyond a share, leaving out does more harm than asking
those that fail. So where more circuits of a pool are open than that share, none of its replicas is left out: panic.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flashcore.gateway.targets import Pool, Target


class Ejected(NamedTuple):
    """Of the pools that a request may go to."""

    replicas: frozenset[str]
    """Not to be asked now."""
    panicking: frozenset[str]
    """Replicas of pools in panic: asked as if nothing were wrong with any of them."""


def is_panicking(pools: Iterable[Pool], troubled: frozenset[Target], share: float) -> bool:
    """Whether more of one of the pools than `share` fail."""
    return any(len(troubled.intersection(pool.targets.values())) > int(share * len(pool.targets)) for pool in pools)


NOBODY = Ejected(frozenset(), frozenset())


def ejected(pools: Iterable[Pool], troubled: frozenset[Target], share: float, now: float) -> Ejected:
    """Who of `troubled`, whose circuits are not closed, is left out; at most `share` of each pool."""
    out: list[str] = []
    panicking: list[str] = []
    for pool in pools:
        failing = [target for target in troubled if pool.targets.get(target.candidate.replica) is target]
        # Asked in a panic, too: it is by time that circuits come to their trials.
        unwanted = [target.candidate.replica for target in failing if not target.circuit.admits(now)]
        if len(failing) > int(share * len(pool.targets)):
            panicking += pool.targets
        else:
            out += unwanted
    return Ejected(frozenset(out), frozenset(panicking))
