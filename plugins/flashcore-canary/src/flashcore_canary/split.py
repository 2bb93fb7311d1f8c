"""How many replicas each side has at a weight, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Split:
    """Replicas of both sides."""

    old: int
    target: int


def beside_the_whole(weight: int, goal: int) -> Split:
    """All of the old side, and of the target what `weight` percent of the calls need; one at least."""
    return Split(goal, min(goal, max(1, -(-weight * goal // 100))))


def within(weight: int, goal: int, surge: int) -> Split:
    """The nearest that counts come to `weight` percent, with `goal` replicas, or one more where `surge` allows it.

    Each side keeps one where there are two. A tie keeps the old side larger, unless one more replica ends it.
    """
    totals = [goal, goal + 1] if surge else [goal]
    splits = [split for total in totals for split in _of(weight, total) if split.old <= goal]
    return min(splits, key=lambda split: (_distance(split, weight), split.old + split.target, split.target))


def _of(weight: int, total: int) -> list[Split]:
    least = 1
    most = max(least, total - 1)
    counts = {weight * total // 100, -(-weight * total // 100)}
    return [Split(total - count, count) for count in {min(most, max(least, count)) for count in counts}]


def _distance(split: Split, weight: int) -> Fraction:
    return abs(Fraction(100 * split.target, max(1, split.old + split.target)) - weight)
