"""Where a share lies, by what was counted: an interval that holds at every moment at once.

A usual confidence interval holds for a sample whose size was fixed beforehand. A rollout is looked at again and again
and stops when the answer pleases, which makes such an interval wrong sooner or later. This one is a confidence
sequence: with probability 1 - risk the true share is in all the intervals that are ever computed.

How: bet against a share p on each outcome, by the beta-binomial mixture with both parameters 1/2. The capital of such
a bettor is a non-negative martingale if p is true, and by Ville's inequality exceeds 1/risk ever with probability
`risk` at most. The interval is all p that have not made the bettor that rich (Robbins, 1970, "Statistical methods
related to the law of the iterated logarithm").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_HALVINGS = 40
"""Steps of the bisection; 2^-40 is nearer than any count can tell."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A share of the calls, 0 to 1, between two bounds."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.low:.1f}-{100 * self.high:.1f} %"


def interval(hits: int, trials: int, risk: float) -> Interval:
    """Where the share lies of which `hits` in `trials` were seen. `risk`, between 0 and 1: how often that is wrong."""
    seen = hits / trials if trials else 0.5

    def poor(share: float) -> bool:
        return _log_capital(hits, trials, share) < -math.log(risk)

    low = 0.0 if hits == 0 else _edge(poor, seen, 0.0)
    high = 1.0 if hits == trials else _edge(poor, seen, 1.0)
    return Interval(low, high)


def _log_capital(hits: int, trials: int, share: float) -> float:
    """Of the bettor who began with 1."""
    misses = trials - hits
    won = _log_beta(hits + 0.5, misses + 0.5) - _log_beta(0.5, 0.5)
    return won - _times_log(hits, share) - _times_log(misses, 1 - share)


def _times_log(count: int, share: float) -> float:
    if not count:
        return 0.0
    return count * math.log(share) if share > 0 else -math.inf


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _edge(inside: Callable[[float], bool], within: float, without: float) -> float:
    """The last point from `within` towards `without` that is inside, rounded outwards."""
    for _ in range(_HALVINGS):
        middle = (within + without) / 2
        if inside(middle):
            within = middle
        else:
            without = middle
    return without
