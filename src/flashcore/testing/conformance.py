"""What all conformance kits share: the failure that they raise."""

from __future__ import annotations


class Nonconformance(AssertionError):
    """A part does not do what its contract says; the message names the rule and what was seen instead."""


def require(condition: object, rule: str, seen: object = None) -> None:
    """Raise Nonconformance unless the condition holds."""
    if not condition:
        raise Nonconformance(rule if seen is None else f"{rule}; seen: {seen!r}")
