"""Names that somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def near_matches(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """At most three of `known` that look like `name`, the nearest first."""
    from difflib import get_close_matches

    return tuple(get_close_matches(name, sorted(known), n=3, cutoff=0.6))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """As in `, did you mean 'rolling'?`; empty when nothing is near."""
    near = near_matches(name, known)
    return f", did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
