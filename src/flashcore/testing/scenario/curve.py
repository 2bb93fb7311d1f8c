"""How many requests there are between two moments, of a curve that is linear between its points."""

from __future__ import annotations

from itertools import pairwise

from flashcore.testing.scenario.values import Load


def rate_at(load: Load, when: float) -> float:
    """Requests a second at a time since the start."""
    before = load.points[0]
    for point in load.points:
        if when < point[0]:
            span = point[0] - before[0]
            return before[1] if span <= 0 else before[1] + (point[1] - before[1]) * (when - before[0]) / span
        before = point
    return before[1]


def requests_between(load: Load, begin: float, end: float) -> float:
    """How many requests there are from `begin` to `end`; a fraction counts on."""
    corners = [begin, *(when for when, _ in load.points if begin < when < end), end]
    return sum(
        (later - sooner) * (rate_at(load, sooner) + rate_at(load, later)) / 2 for sooner, later in pairwise(corners)
    )
